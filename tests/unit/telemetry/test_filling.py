from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotsphere.telemetry.filling import fill_gaps
from iotsphere.telemetry.model import Aggregate, Bucket, Figures, Fill

BEGIN = datetime(2026, 11, 20, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
AVG, COUNT = Aggregate.AVG, Aggregate.COUNT


def bucket(minute: int, figures: Figures) -> Bucket:
    return Bucket("a", BEGIN + minute * MINUTE, figures)


def filled(known: dict[int, float | None], minutes: int, fill: Fill) -> list[float | None]:
    buckets = [bucket(minute, {AVG: value}) for minute, value in known.items()]
    starts = [BEGIN + minute * MINUTE for minute in range(minutes)]
    found = fill_gaps("a", buckets, starts, aggregates=[AVG], fill=fill)
    assert [each.ts for each in found] == starts
    return [each.figures[AVG] for each in found]


def test_shows_empty_intervals() -> None:
    assert filled({1: 5, 3: 7}, 5, Fill.NULL) == [None, 5, None, 7, None]


def test_repeats_the_previous_one() -> None:
    assert filled({1: 5, 3: 7}, 6, Fill.PREVIOUS) == [None, 5, 5, 7, 7, 7]


def test_interpolates_between_neighbours() -> None:
    assert filled({1: 5, 5: 7, 6: 1}, 8, Fill.LINEAR) == [None, 5, 5.5, 6, 6.5, 7, 1, None]


def test_a_neighbour_without_a_figure_gives_none() -> None:
    assert filled({0: None, 2: 7}, 3, Fill.LINEAR) == [None, None, 7]
    assert filled({0: 3, 1: None}, 3, Fill.PREVIOUS) == [3, None, None]


def test_without_a_single_point_there_is_nothing_to_go_by() -> None:
    for fill in (Fill.NULL, Fill.PREVIOUS, Fill.LINEAR):
        assert filled({}, 3, fill) == [None] * 3


@pytest.mark.parametrize("fill", [Fill.NULL, Fill.PREVIOUS, Fill.LINEAR])
def test_a_filled_count_is_nought(fill: Fill) -> None:
    known = [bucket(0, {AVG: 1, COUNT: 4}), bucket(2, {AVG: 1, COUNT: 6})]

    found = fill_gaps("a", known, [BEGIN, BEGIN + MINUTE, BEGIN + 2 * MINUTE], aggregates=[AVG, COUNT], fill=fill)

    assert [each.figures[COUNT] for each in found] == [4, 0, 6]


def test_uneven_intervals_are_interpolated_by_time() -> None:
    known = [bucket(0, {AVG: 0}), bucket(48, {AVG: 48})]

    found = fill_gaps(
        "a", known, [BEGIN + minute * MINUTE for minute in (0, 23, 48)], aggregates=[AVG], fill=Fill.LINEAR
    )

    assert [each.figures[AVG] for each in found] == pytest.approx([0, 23, 48])


NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(known=st.dictionaries(st.integers(0, 20), NUMBERS, max_size=8), fill=st.sampled_from(list(Fill)[1:]))
def test_what_is_known_stays_and_what_is_filled_lies_between(known: dict[int, float], fill: Fill) -> None:
    ordered = dict(sorted(known.items()))

    found = filled(dict(ordered), 21, fill)

    for minute, value in enumerate(found):
        before = [number for at, number in ordered.items() if at <= minute]
        after = [number for at, number in ordered.items() if at >= minute]
        if minute in known:
            assert value == known[minute]
        elif fill is Fill.PREVIOUS:
            assert value == (before[-1] if before else None)
        elif fill is Fill.LINEAR and before and after:
            assert value is not None
            low, high = sorted([before[-1], after[0]])
            assert low <= value <= high or value == pytest.approx(high, rel=1e-15)
        else:
            assert value is None
