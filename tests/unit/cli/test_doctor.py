import json
from pathlib import Path

import pytest

from iotsphere.audit.model import ChainHead
from iotsphere.cli.doctor import complete, read_head, to_json
from iotsphere.cli.errors import CommandError
from iotsphere.config import read_settings
from iotsphere.kernel.findings import Finding
from iotsphere.localstack.stored_secrets import Secrets

SEAL = "0" * 64


def test_a_noted_end_is_read_as_it_was_written() -> None:
    head = ChainHead(42, bytes(range(32)))

    assert read_head(f" {str(head).upper()}\n") == head


@pytest.mark.parametrize(
    "text", ["", "42", "42:", "0:" + "0" * 64, "-1:" + "0" * 64, "42:" + "0" * 63, "x:" + "0" * 64]
)
def test_an_end_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match="--audit-head"):
        read_head(text)


def test_a_program_reads_the_findings() -> None:
    finding = Finding("registry", "answers", is_well=False, detail="It does not answer.")

    assert json.loads(to_json([finding], is_well=False)) == {
        "command": "doctor",
        "ok": False,
        "findings": [{"subject": "registry", "check": "answers", "is_well": False, "detail": "It does not answer."}],
    }


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
