"""Figures of points as anybody would work them out, and where intervals begin: both engines are held to it."""

import math
import statistics
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta

from iotsphere.telemetry.errors import FigureOverflowError
from iotsphere.telemetry.intervals import Grid
from iotsphere.telemetry.model import Aggregate, Point

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def interval_start(ts: datetime, grid: Grid) -> datetime:
    length = grid.interval.length
    if not grid.interval.is_calendar:
        return ts - (ts - EPOCH) % length
    day = ts.astimezone(grid.timezone).date()
    first = day - timedelta(days=(day - date(1970, 1, 1)).days % length.days)
    return datetime(first.year, first.month, first.day, tzinfo=grid.timezone).astimezone(UTC)


def figure(aggregate: Aggregate, points: Sequence[Point]) -> float | None:
    if aggregate is Aggregate.COUNT:
        return len(points)
    numbers = [point.value for point in points if isinstance(point.value, float)]
    if not numbers:
        return None
    try:
        found = FIGURES[aggregate](numbers)
    except OverflowError as error:
        raise FigureOverflowError from error
    if found is not None and not math.isfinite(found):
        raise FigureOverflowError
    return found


def _percentile(share: float) -> Callable[[Sequence[float]], float]:
    def compute(numbers: Sequence[float]) -> float:
        ordered = sorted(numbers)
        place = share * (len(ordered) - 1)
        low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
        return low + (high - low) * (place - math.floor(place))

    return compute


FIGURES: dict[Aggregate, Callable[[Sequence[float]], float | None]] = {
    Aggregate.AVG: lambda numbers: math.fsum(numbers) / len(numbers),
    Aggregate.MIN: min,
    Aggregate.MAX: max,
    Aggregate.SUM: math.fsum,
    Aggregate.FIRST: lambda numbers: numbers[0],
    Aggregate.LAST: lambda numbers: numbers[-1],
    Aggregate.STDDEV: lambda numbers: statistics.stdev(numbers) if len(numbers) > 1 else None,
    Aggregate.P50: _percentile(0.5),
    Aggregate.P95: _percentile(0.95),
    Aggregate.P99: _percentile(0.99),
}
