"""A row holds what a reading held, and is not much larger, whichever of its device's metrics a reading leaves out."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from iotsphere.telemetry.model import MAX_METRICS
from repositories.telemetry.rows import MOST_CELLS_A_NUMBER, to_row, to_values

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
# The numbers of a row may be equal to places of it.
VALUES = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(1, 40), st.booleans(), st.just("x"))
PLACES = st.one_of(st.integers(1, 40), st.integers(1, MAX_METRICS))


@given(values=st.dictionaries(PLACES, VALUES, min_size=1, max_size=60))
def test_a_row_gives_back_what_it_was_made_of(values: dict[int, Any]) -> None:
    row = to_row(7, NOON, values)

    others = {place: value for place, value in values.items() if isinstance(value, bool | str)}
    found = to_values(row.first, row.numbers, {str(place): value for place, value in others.items()})
    assert {place: repr(value) for place, value in found.items()} == {
        place: repr(value) for place, value in values.items()
    }
    assert len(row.numbers) <= MOST_CELLS_A_NUMBER * (len(values) - len(others))


def test_five_thousand_readings_of_the_first_and_the_last_metric_are_no_millions_of_cells() -> None:
    rows = [to_row(7, NOON, {1: 1.5, MAX_METRICS: 2.5}) for _ in range(5000)]

    assert sum(len(row.numbers) for row in rows) == 4 * 5000
