"""The doors ask for services by name; a wrong one would otherwise be met in the middle of a request."""

import re
from dataclasses import replace
from functools import reduce
from pathlib import Path

import argon2
import pytest
from dependency_injector.providers import Provider

from iotsphere.config import read_settings
from iotsphere.containers.application import DOORS, Application, create_container

ROOT = Path(__file__).parents[2]
MARKER = re.compile(r'Provide\["([^"]+)"\]')
MARKERS = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): MARKER.findall(path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / "iotsphere").rglob("*.py"))
}


@pytest.fixture
def container() -> Application:
    return create_container(read_settings())


async def hash_of_a_password(monkeypatch: pytest.MonkeyPatch, mebibytes: str) -> argon2.Parameters:
    monkeypatch.setenv("IOTSPHERE_PASSWORD_MIB", mebibytes)
    passwords = create_container(read_settings()).identity.passwords()
    return argon2.extract_parameters(await passwords.hash("correct horse"))


async def test_a_password_is_as_hard_to_guess_as_is_advised_unless_it_is_set_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    advised = argon2.profiles.RFC_9106_LOW_MEMORY

    assert await hash_of_a_password(monkeypatch, "") == advised
    assert await hash_of_a_password(monkeypatch, "12") == replace(advised, memory_cost=12 * 1024)


def test_every_module_that_asks_for_a_service_is_wired() -> None:
    assert {module for module, names in MARKERS.items() if names} == set(DOORS)


@pytest.mark.parametrize("name", sorted({name for names in MARKERS.values() for name in names}))
def test_every_name_that_is_asked_for_has_a_provider(container: Application, name: str) -> None:
    assert isinstance(reduce(getattr, name.split("."), container), Provider)
