import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "requirements-dev.lock")
PINNED = re.compile(r"^([a-z0-9._-]+)(?:\[[^]]*\])?==(\S+)(.*(?:\n    --hash=sha256:[0-9a-f]{64}.*)*)", re.MULTILINE)


def pins(name: str) -> dict[str, str]:
    return {package: version for package, version, _ in PINNED.findall((ROOT / name).read_text())}


def test_every_locked_package_has_a_hash() -> None:
    pinned = [pin for name in LOCKS for pin in PINNED.findall((ROOT / name).read_text())]

    assert pinned
    assert [package for package, _, rest in pinned if "--hash=sha256:" not in rest] == []


def test_no_lock_names_an_address() -> None:
    assert not any("://" in (ROOT / name).read_text() for name in LOCKS)


def test_the_development_lock_agrees_with_the_other() -> None:
    run, development = (pins(name) for name in LOCKS)

    assert {name for name, version in run.items() if development[name] != version} == set()
