"""What intervals without points show."""

import math
from bisect import bisect
from collections.abc import Sequence
from datetime import datetime

from iotsphere.telemetry.model import Aggregate, Bucket, Fill


def fill_gaps(
    metric: str,
    known: Sequence[Bucket],
    starts: Sequence[datetime],
    *,
    aggregates: Sequence[Aggregate],
    fill: Fill,
) -> list[Bucket]:
    """Give a bucket for each of ``starts``: the known one, or what ``fill`` puts in its place.

    :param known: the buckets of the metric that have points, in the order of time.
    """
    times = [bucket.ts for bucket in known]
    buckets = []
    for start in starts:
        place = bisect(times, start)
        before = known[place - 1] if place else None
        after = known[place] if place < len(known) else None
        if before is None or before.ts != start:
            figures = {aggregate: _figure(aggregate, start, before, after, fill) for aggregate in aggregates}
            before = Bucket(metric, start, figures)
        buckets.append(before)
    return buckets


def _figure(
    aggregate: Aggregate, start: datetime, before: Bucket | None, after: Bucket | None, fill: Fill
) -> float | None:
    if aggregate is Aggregate.COUNT:
        return 0
    if fill is Fill.PREVIOUS and before is not None:
        return before.figures[aggregate]
    if fill is Fill.LINEAR and before is not None and after is not None:
        share = (start - before.ts) / (after.ts - before.ts)
        return _between(before.figures[aggregate], after.figures[aggregate], share)
    return None


def _between(low: float | None, high: float | None, share: float) -> float | None:
    if low is None or high is None:
        return None
    # The difference of two large numbers can exceed the largest one; that of their halves cannot.
    scale = 2 if math.isinf(high - low) else 1
    return scale * (low / scale + (high / scale - low / scale) * share)
