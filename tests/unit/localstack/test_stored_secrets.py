import json
from pathlib import Path

import pytest

from iotsphere.localstack.errors import LocalStackError
from iotsphere.localstack.stored_secrets import Secrets


def test_a_secret_is_made_once_and_read_by_the_next_process(tmp_path: Path) -> None:
    made = Secrets(tmp_path).get_or_make("registry")

    assert Secrets(tmp_path).get_or_make("registry") == made
    assert len(made) >= 32


def test_every_name_has_its_own_secret_and_keeps_those_of_others(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path)

    made = [secrets.get_or_make("a"), secrets.get_or_make("b"), secrets.get_or_make("a")]

    assert made[0] == made[2] != made[1]
    assert json.loads((tmp_path / "secrets.json").read_text()) == {"a": made[0], "b": made[1]}


def test_the_file_is_for_its_owner_alone_and_nothing_else_is_left_in_the_folder(tmp_path: Path) -> None:
    Secrets(tmp_path / "new").get_or_make("a")

    assert [path.name for path in (tmp_path / "new").iterdir()] == ["secrets.json"]
    assert (tmp_path / "new" / "secrets.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', "\x00", '"a"'])
def test_a_damaged_file_is_refused_and_left_as_it_is(tmp_path: Path, text: str) -> None:
    (tmp_path / "secrets.json").write_text(text)

    with pytest.raises(LocalStackError, match=r"secrets\.json is damaged"):
        Secrets(tmp_path).get_or_make("a")

    assert (tmp_path / "secrets.json").read_text() == text
