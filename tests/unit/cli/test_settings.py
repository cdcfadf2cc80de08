from pathlib import Path

import pytest

from iotsphere.cli.errors import CommandError
from iotsphere.cli.settings import complete
from iotsphere.config import read_settings
from iotsphere.localstack.stored_secrets import Secrets


def test_nothing_is_made_where_nothing_runs(tmp_path: Path) -> None:
    settings = read_settings()
    folder = tmp_path / "data"

    assert complete(settings, folder) == settings
    assert not folder.exists()


def test_a_data_folder_that_is_damaged_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "secrets.json").write_text("{")

    with pytest.raises(CommandError, match="damaged"):
        complete(read_settings(), tmp_path)


def test_the_secret_key_of_a_data_folder_is_found(tmp_path: Path) -> None:
    secret_key = Secrets(tmp_path).get_or_make("secret_key")
    settings = read_settings()

    assert complete(settings, tmp_path).secret_key == (settings.secret_key or secret_key)
