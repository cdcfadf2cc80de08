"""The curve of many numbers by few of them."""

import math
from array import array
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotsphere.telemetry.downsampling import downsample
from iotsphere.telemetry.model import Numbers

NUMBERS = st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=200)


def every_second(values: Sequence[float], *, begin: int = 1_700_000_000_000_000) -> Numbers:
    return Numbers(array("q", [begin + 1_000_000 * second for second in range(len(values))]), array("d", values))


def plainly(numbers: Numbers, most: int) -> list[int]:
    """Downsample as the thesis writes it down, stretch by stretch, with the corners of each triangle."""
    points = [(time - numbers.times[0], value) for time, value in zip(*numbers, strict=True)]
    length = (len(points) - 2) / (most - 2)
    starts = [round(length * number * (most - 2)) // (most - 2) + 1 for number in range(most - 1)] + [len(points)]
    chosen = [0]
    for stretch in range(most - 2):
        following = points[starts[stretch + 1] : starts[stretch + 2]]
        c = [math.fsum(axis) / len(following) for axis in zip(*following, strict=True)]
        a = points[chosen[-1]]

        def area(place: int, a: tuple[float, float] = a, c: list[float] = c) -> float:
            b = points[place]
            return abs((a[0] - c[0]) * (b[1] - a[1]) - (a[0] - b[0]) * (c[1] - a[1])) / 2

        chosen.append(max(range(starts[stretch], starts[stretch + 1]), key=area))
    return [*chosen, len(points) - 1]


@given(values=NUMBERS, most=st.integers(3, 60))
def test_gives_as_many_as_asked_for_where_there_are_more(values: list[float], most: int) -> None:
    places = downsample(every_second(values), most)

    assert len(places) == min(most, len(values))
    assert places == sorted(set(places))
    assert places[:1] + places[-1:] == [0, len(values) - 1] * bool(values)


@given(values=st.lists(st.integers(-1000, 1000), min_size=4, max_size=200), most=st.integers(3, 60))
def test_chooses_as_the_thesis_does(values: list[int], most: int) -> None:
    numbers = every_second([float(value) for value in values])

    # Of equal triangles either may be taken: with many equal values there are many.
    if len(values) > most and len(set(values)) == len(values):
        assert downsample(numbers, most) == plainly(numbers, most)


@pytest.mark.parametrize("most", [3, 4, 10, 99])
def test_a_lonely_peak_is_shown(most: int) -> None:
    values = [0.0] * 100
    values[37] = 5.0

    assert 37 in downsample(every_second(values), most)


def test_the_largest_doubles_are_told_apart() -> None:
    values = [1.7e308, -1.7e308] * 20 + [0.0] * 60
    values[70] = 1.0e308

    assert 70 in downsample(every_second(values), 12)


def test_nothing_is_nothing() -> None:
    assert downsample(every_second([]), 3) == []
