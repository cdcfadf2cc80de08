"""What docs/security.md says is shown by something must be there to show it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CATALOGUES = (ROOT / "docs/security.md").read_text(encoding="utf-8")
ROWS = [line for line in CATALOGUES.splitlines() if re.match(r"\| (API\d|5\.\d|6 )", line)]


def test_every_point_has_its_line() -> None:
    points = [row.split(maxsplit=2)[1] for row in ROWS]

    assert points == [f"API{number}" for number in range(1, 11)] + [f"5.{number}" for number in range(1, 14)] + ["6"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.split(maxsplit=2)[1]))
def test_what_shows_a_point_is_there(row: str) -> None:
    shown_by = re.findall(r"`([^`]+)`", row.rsplit(" | ", maxsplit=1)[-1])

    assert shown_by
    assert [path for path in shown_by if not (ROOT / path).exists()] == []
