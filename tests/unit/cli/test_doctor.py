import json

import pytest

from iotsphere.audit.model import ChainHead
from iotsphere.cli.doctor import read_head, to_json
from iotsphere.cli.errors import CommandError
from iotsphere.kernel.findings import Finding

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
