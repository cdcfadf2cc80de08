import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.compose.compose_file import EXAMPLE, FOLDER, SECRETS

SCRIPTS = sorted([*FOLDER.glob("*.sh"), FOLDER / "make-env"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("make-env", ".env.example"):
        shutil.copy(FOLDER / name, tmp_path)
    return tmp_path


def make_env(folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([folder / "make-env"], check=False, capture_output=True, text=True, cwd="/")


def values(folder: Path) -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", (folder / ".env").read_text(), flags=re.MULTILINE))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_script_is_correct_and_may_be_executed(script: Path) -> None:
    subprocess.run(["sh", "-n", script], check=True)

    assert script.read_text().startswith("#!/bin/sh\n")
    assert os.access(script, os.X_OK)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_shellcheck_finds_nothing(script: Path) -> None:
    subprocess.run(["shellcheck", script], check=True)


def test_secrets_are_made_for_every_name_that_wants_one_and_no_two_are_alike(folder: Path) -> None:
    result = make_env(folder)
    made = values(folder)

    assert result.returncode == 0, result.stderr
    assert list(made) == list(EXAMPLE)
    assert {name for name, value in made.items() if value} == set(SECRETS)
    assert {len(made[name]) for name in SECRETS} == {64}
    assert len({made[name] for name in SECRETS}) == len(SECRETS)
    assert all(re.fullmatch("[0-9a-f]+", made[name]) for name in SECRETS)


def test_secrets_are_random(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    shutil.copytree(folder, other, dirs_exist_ok=True)
    make_env(folder)
    make_env(other)

    assert {name for name in SECRETS if values(folder)[name] == values(other)[name]} == set()


def test_only_the_owner_reads_the_secrets_and_nothing_else_is_left(folder: Path) -> None:
    result = make_env(folder)

    assert (folder / ".env").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in folder.iterdir()) == [".env", ".env.example", "make-env"]
    assert [value for value in values(folder).values() if value and value in result.stdout + result.stderr] == []


def test_secrets_that_are_there_stay(folder: Path) -> None:
    (folder / ".env").write_text("KEEP=me\n")

    result = make_env(folder)

    assert result.returncode == 1
    assert "nothing was changed" in result.stderr
    assert (folder / ".env").read_text() == "KEEP=me\n"
    assert sorted(path.name for path in folder.iterdir()) == [".env", ".env.example", "make-env"]
