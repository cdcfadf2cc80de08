from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DECISIONS = sorted((ROOT / "docs/adr").glob("*.md"))
PARTS = ["**Context.**", "**Decision.**", "**Alternatives.**", "**Consequences.**", "**Enforced by.**"]


def test_decisions_are_numbered_without_gaps() -> None:
    assert [int(page.name[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_a_decision_is_complete_and_listed(page: Path) -> None:
    text = page.read_text()

    assert [part for part in PARTS if part not in text] == []
    assert f"(adr/{page.name})" in (ROOT / "docs/architecture.md").read_text()
