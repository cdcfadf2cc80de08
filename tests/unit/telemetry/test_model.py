from typing import Any

import pytest

from iotsphere.telemetry.model import Counts, is_same_value


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (1, 1.0, True),
        (0.0, -0.0, True),
        (1, True, False),
        (0, False, False),
        (True, True, True),
        ("1", 1, False),
        ([1, [True]], [1.0, [True]], True),
        ([1], [True], False),
        ([1], [1, 1], False),
        ({"a": 1, "b": None}, {"b": None, "a": 1}, True),
        ({"a": 0}, {"a": False}, False),
        ({"a": 0}, {"b": 0}, False),
        ([], {}, False),
    ],
)
def test_values_are_compared_as_json(one: Any, other: Any, *, is_same: bool) -> None:
    assert is_same_value(one, other) == is_same
    assert is_same_value(other, one) == is_same


def test_the_counters_add_up() -> None:
    counts = Counts(2, 1, 1) + Counts(stored=1, rejected=3)

    assert counts == Counts(stored=3, duplicates=1, conflicts=1, rejected=3)
    assert counts.received == 8
