import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from iotsphere.assets.maintenance_event import MaintenanceDraft, MaintenanceFilter, MaintenanceKind
from iotsphere.kernel.errors import RuleViolationError
from tests.factories.assets import FIRST_DAY


def draft(**given: Any) -> MaintenanceDraft:
    said: dict[str, Any] = {"kind": MaintenanceKind.FAILURE, "occurred_at": FIRST_DAY} | given
    return MaintenanceDraft(**said)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("occurred_at", datetime(1899, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("component", ""),
        ("component", "x" * 129),
        ("component", "se\0al"),
        ("component", "\ud800"),
        ("notes", ""),
        ("notes", "x" * 8193),
        ("notes", "ü" * 4097),
        ("notes", "a\0"),
        ("notes", "\udc00"),
        ("cost", -1),
        ("cost", -0.01),
        ("cost", math.nan),
        ("cost", math.inf),
        ("cost", 10**18 + 1),
        ("cost", 1e19),
        ("cost", 10**400),
    ],
)
def test_what_breaks_a_rule_cannot_be_drafted(field: str, value: Any) -> None:
    with pytest.raises(RuleViolationError) as refused:
        draft(**{field: value})

    assert list(refused.value.errors) == [field]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("occurred_at", datetime(1900, 1, 1, tzinfo=UTC)),
        ("component", "x" * 128),
        ("notes", "ü" * 4096),
        ("cost", 0),
        ("cost", 0.1),
        ("cost", 10**18),
    ],
)
def test_what_is_just_within_a_limit_is_taken(field: str, value: Any) -> None:
    assert getattr(draft(**{field: value}), field) == value


def test_clocks_may_differ_by_five_minutes() -> None:
    said = draft(occurred_at=FIRST_DAY + timedelta(minutes=5))

    said.check_past(FIRST_DAY)
    with pytest.raises(RuleViolationError) as refused:
        said.check_past(FIRST_DAY - timedelta(microseconds=1))

    assert list(refused.value.errors) == ["occurred_at"]


@pytest.mark.parametrize("component", ["", "x" * 129, "a\0", "\ud800"])
def test_no_component_can_be_looked_for_that_none_can_be(component: str) -> None:
    with pytest.raises(RuleViolationError) as refused:
        MaintenanceFilter(component=component)

    assert list(refused.value.errors) == ["component"]
