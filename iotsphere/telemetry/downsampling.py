"""A curve of many numbers by few of them: Largest Triangle Three Buckets (Steinarsson 2013).

The first and the last are kept. The others are parted into as many stretches of equally many numbers as there are
numbers to be had; of each stretch that number is taken that spans the largest triangle with the one taken before and
the middle of the next stretch.
"""

from collections.abc import Sequence
from itertools import pairwise

from iotsphere.telemetry.model import Numbers

# The area of a triangle is a product, which must not exceed the largest double.
LARGEST = 1e100


def downsample(numbers: Numbers, most: int) -> list[int]:
    """Give the places of ``most`` numbers (3 or more) that show the curve; of all where there are no more."""
    count = len(numbers.times)
    if count <= most:
        return list(range(count))
    times = [time - numbers.times[0] for time in numbers.times]
    values = _within_bounds(numbers.values)
    bounds = [number * (count - 2) // (most - 2) + 1 for number in range(most - 1)]
    chosen = [0]
    for (start, end), (_, next_end) in pairwise([*pairwise(bounds), (count - 1, count)]):
        middle = _mean(times[end:next_end]), _mean(values[end:next_end])
        chosen.append(_farthest(times, values, range(start, end), (times[chosen[-1]], values[chosen[-1]]), middle))
    return [*chosen, count - 1]


def _farthest(
    times: Sequence[int],
    values: Sequence[float],
    stretch: range,
    before: tuple[float, float],
    middle: tuple[float, float],
) -> int:
    """Give the place within the stretch whose triangle is the largest, the earliest of equals."""
    (time, value), (middle_time, middle_value) = before, middle
    width, height = middle_time - time, middle_value - value
    farthest, largest = stretch.start, -1.0
    for place in stretch:
        area = abs(width * (values[place] - value) - height * (times[place] - time))
        if area > largest:
            farthest, largest = place, area
    return farthest


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _within_bounds(values: Sequence[float]) -> Sequence[float]:
    scale = max(map(abs, values)) / LARGEST
    return [value / scale for value in values] if scale > 1 else values
