"""The compose file as Docker Compose reads it: its anchors followed, its variables put in."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "compose"
TEXT = (FOLDER / "compose.yaml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
APPLICATION = {name for name, service in SERVICES.items() if service["image"] == "iotsphere:local"}
DATABASES = {name for name in SERVICES if name.endswith("-db")}
VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>\w+):(?P<operator>[-?])(?P<rest>[^}]*)\})")
EXAMPLE = dict(re.findall(r"^(\w+)=(.*)$", (FOLDER / ".env.example").read_text(), flags=re.MULTILINE))
SECRETS = {
    name: f"{name.lower()}-of-a-test-0123456789" for name in EXAMPLE if name.endswith(("PASSWORD", "SECRET_KEY"))
}


def interpolated(value: str, variables: Mapping[str, str]) -> str:
    """Put the variables in.

    :raises KeyError: one that is required is missing or empty, as Docker Compose would refuse it.
    """

    def replacement(match: re.Match[str]) -> str:
        if match["dollar"]:
            return "$"
        given = variables.get(match["name"], "")
        if not given and match["operator"] == "?":
            raise KeyError(match["name"])
        return given or match["rest"]

    return VARIABLE.sub(replacement, value)


def environment(service: str, variables: Mapping[str, str] = SECRETS) -> dict[str, str]:
    """Return the variables that the service's container gets."""
    return {name: interpolated(value, variables) for name, value in SERVICES[service].get("environment", {}).items()}


def database_settings(service: str) -> dict[str, str]:
    """Return what the command line of a database server sets."""
    program, *options = SERVICES[service]["command"]
    assert program == "postgres"
    assert all(option.startswith("-c") for option in options)
    return dict(option.removeprefix("-c").split("=", 1) for option in options)
