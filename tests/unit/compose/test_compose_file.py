import ast
import importlib.resources
import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from iotsphere.config import read_complete_settings
from iotsphere.localstack.data_folder import OpenFolder
from iotsphere.localstack.postgres import SETTINGS
from iotsphere.localstack.valkey import ValkeyAddress, _settings
from tests.unit.compose.compose_file import (
    APPLICATION,
    COMPOSE,
    DATABASES,
    EXAMPLE,
    FOLDER,
    ROOT,
    SECRETS,
    SERVICES,
    TEXT,
    VARIABLE,
    database_settings,
    environment,
    interpolated,
)

STORES = DATABASES | {"shadow"}
# Where the two kinds of servers differ by nature, or where the image decides.
OF_THE_LOCAL_STACK_ALONE = {"listen_addresses", "port", "shared_buffers"}


def schema_errors(document: dict[str, Any]) -> list[str]:
    package = importlib.resources.files("check_jsonschema")
    schema = json.loads((package / "builtin_schemas/vendor/compose-spec.json").read_text())
    return [error.json_path for error in Draft202012Validator(schema).iter_errors(document)]


def names_read_by(source: Path) -> set[str]:
    """Find the variables that the settings module asks its environment for."""
    calls = [node for node in ast.walk(ast.parse(source.read_text())) if isinstance(node, ast.Call)]
    return {
        call.args[1].value
        for call in calls
        if len(call.args) > 1
        and isinstance(call.args[0], ast.Name)
        and call.args[0].id == "env"
        and isinstance(call.args[1], ast.Constant)
        and isinstance(call.args[1].value, str)
    }


def test_the_file_follows_the_compose_specification() -> None:
    assert schema_errors(COMPOSE) == []


def test_the_specification_sees_what_is_wrong() -> None:
    assert schema_errors({"services": {"app": {"imagge": "x"}}}) == ["$.services.app"]


def test_every_foreign_image_is_pinned_to_one_version() -> None:
    foreign = {service["image"] for name, service in SERVICES.items() if name not in APPLICATION}

    assert {image for image in foreign if not re.fullmatch(r"[\w/-]+:\d+(\.\d+){1,2}(-\w+)?", image)} == set()


def test_our_own_image_is_built_once_and_never_pulled() -> None:
    assert [name for name, service in SERVICES.items() if "build" in service] == ["migrate"]
    assert {SERVICES[name]["pull_policy"] for name in APPLICATION} == {"never"}


def test_all_that_runs_for_long_has_a_health_check_but_the_worker_who_has_no_port() -> None:
    has_check = "HEALTHCHECK" in (FOLDER / "Dockerfile").read_text()
    probed = {name for name, service in SERVICES.items() if service.get("healthcheck", {}).get("test")}
    unprobed = {name for name, service in SERVICES.items() if service.get("healthcheck") == {"disable": True}}

    assert has_check
    assert probed == STORES | {"broker"}
    assert unprobed == {"migrate", "worker"}
    assert set(SERVICES) - probed - unprobed == {"app"}


@pytest.mark.parametrize("name", sorted(DATABASES))
def test_a_database_is_not_healthy_while_only_the_scripts_of_its_first_start_reach_it(name: str) -> None:
    # Their server listens on its socket alone.
    assert "--host 127.0.0.1" in SERVICES[name]["healthcheck"]["test"][1]


def test_only_the_application_publishes_a_port_and_only_to_this_machine() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

    assert set(published) == {"app"}
    assert [interpolated(port, {}) for port in published["app"]] == ["127.0.0.1:8080:8080"]


def test_the_stores_are_on_a_network_without_a_way_out() -> None:
    assert COMPOSE["networks"]["stores"] == {"internal": True}
    assert {name for name, service in SERVICES.items() if service["networks"] != ["stores"]} == {"app"}


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_can_do_more_than_it_must(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert name in APPLICATION or service["user"] not in {"root", "0"}


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_takes_is_bounded(name: str) -> None:
    service = SERVICES[name]

    assert service["mem_limit"]
    assert service["pids_limit"]
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}


def test_every_store_keeps_its_data_in_a_volume_of_its_own() -> None:
    volumes = [
        volume.split(":")[0]
        for name, service in SERVICES.items()
        for volume in service.get("volumes", [])
        if name not in APPLICATION
    ]

    assert sorted([*volumes, "archive-data"]) == sorted(COMPOSE["volumes"])
    assert {name for name in STORES if not SERVICES[name].get("volumes")} == set()


def test_all_of_the_application_reach_one_archive_that_is_writable_to_its_user() -> None:
    folder = environment("worker")["IOTSPHERE_ARCHIVE_DIR"]

    assert {tuple(SERVICES[name]["volumes"]) for name in APPLICATION} == {(f"archive-data:{folder}",)}
    # What is in the image at that place, and whose it is, is what a new volume begins with.
    assert f"\nRUN install -d -o 10001 -g 10001 -m 0750 {folder}\n" in (FOLDER / "Dockerfile").read_text()


def test_the_schemas_are_up_to_date_before_anything_works_with_them() -> None:
    completed, healthy = {"condition": "service_completed_successfully"}, {"condition": "service_healthy"}

    assert SERVICES["migrate"]["depends_on"] == dict.fromkeys(DATABASES, healthy)
    assert SERVICES["migrate"]["restart"] == "no"
    for name in ("app", "worker"):
        assert SERVICES[name]["depends_on"] == {"migrate": completed, "shadow": healthy}
    assert {name for name in SERVICES if SERVICES[name]["restart"] != "unless-stopped"} == {"migrate"}


def test_the_broker_waits_for_an_application_that_speaks_mqtt() -> None:
    assert {name for name, service in SERVICES.items() if "profiles" in service} == {"broker"}
    assert "allow_anonymous false" in (FOLDER / "mosquitto.conf").read_text().splitlines()


def test_every_file_that_a_container_gets_is_there() -> None:
    given = {config["source"] for service in SERVICES.values() for config in service.get("configs", [])}

    assert given == set(COMPOSE["configs"])
    assert [config["file"] for config in COMPOSE["configs"].values() if not (FOLDER / config["file"]).is_file()] == []


def test_every_variable_of_the_file_is_in_the_example_and_the_other_way_round() -> None:
    uses = [match for match in VARIABLE.finditer(TEXT) if match["name"]]

    assert {match["name"] for match in uses} == set(EXAMPLE)
    assert TEXT.count("${") == len(uses)


def test_no_secret_has_a_value_before_one_was_made() -> None:
    uses = [match for match in VARIABLE.finditer(TEXT) if match["name"] in SECRETS]

    assert set(EXAMPLE.values()) == {""}
    assert {match["name"] for match in uses} == set(SECRETS)
    assert {(match["operator"], match["rest"]) for match in uses} == {("?", "Run compose/make-env first")}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_no_password_is_written_into_the_file(name: str) -> None:
    secret = {key: value for key, value in SERVICES[name].get("environment", {}).items() if "PASSWORD" in key}

    assert {key for key, value in secret.items() if not value.startswith("${")} == set()


@pytest.mark.parametrize("name", sorted(APPLICATION))
def test_the_application_reads_every_variable_that_it_gets(name: str) -> None:
    known = names_read_by(ROOT / "iotsphere/config.py")

    assert "IOTSPHERE_REGISTRY_DSN" in known
    assert set(environment(name)) <= known


@pytest.mark.parametrize("name", sorted(APPLICATION))
def test_the_application_gets_every_setting_that_it_needs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in names_read_by(ROOT / "iotsphere/config.py"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment(name).items():
        monkeypatch.setenv(variable, value)

    assert read_complete_settings().registry_dsn == environment(name)["IOTSPHERE_REGISTRY_DSN"]


def test_the_application_never_learns_the_superusers_passwords() -> None:
    handed = " ".join(value for name in APPLICATION for value in SERVICES[name]["environment"].values())

    assert [name for name in SECRETS if name.endswith("ADMIN_PASSWORD") and name in handed] == [
        "IOTSPHERE_ADMIN_PASSWORD"
    ]
    assert {name for name in APPLICATION if "IOTSPHERE_ADMIN_PASSWORD" in environment(name)} == {"migrate"}


@pytest.mark.parametrize("store", ["registry", "assets", "telemetry"])
def test_the_address_of_a_store_is_that_of_its_container(store: str) -> None:
    container = environment(f"{store}-db")
    password, database = container["ROLE_PASSWORD"], container["POSTGRES_DB"]

    assert environment("app")[f"IOTSPHERE_{store.upper()}_DSN"] == (
        f"postgresql://{database}:{password}@{store}-db/{database}"
    )


@pytest.mark.parametrize("name", sorted(DATABASES))
def test_a_database_server_is_told_what_the_local_stack_tells_its_own(name: str) -> None:
    expected = {key: value for key, value in SETTINGS.items() if key not in OF_THE_LOCAL_STACK_ALONE}
    told = database_settings(name)

    assert told.pop("hba_file") in {config["target"] for config in SERVICES[name]["configs"]}
    assert told == expected


def test_the_shadow_server_is_told_what_the_local_stack_tells_its_own() -> None:
    script = (FOLDER / "start-valkey.sh").read_text().splitlines()
    local = _settings(ValkeyAddress(Path("/"), "", ""), OpenFolder(Path("/"), 0)).splitlines()
    of_the_place = ("port", "unixsocket", "dir", "daemonize", "user ")

    assert [line for line in local if not line.startswith(of_the_place) and line not in script] == []
