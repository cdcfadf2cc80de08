"""Several series in the order of time, read from an index that holds each one by itself.

Each metric is read in slices, and the slices are merged as far as every metric is known. Only metrics that run out
are read on: a page costs little more than its own points, however unevenly they are spread over the metrics.
"""

from collections import Counter
from collections.abc import Collection
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.telemetry.model import Order, Point, Position, Selection
from repositories.telemetry.reading import read, to_point

MICROSECOND = timedelta(microseconds=1)

SLICES = """
SELECT wanted.metric, found.ts, found.number, found.other
FROM unnest(CAST(:metrics AS text[]), CAST(:behind AS timestamptz[])) AS wanted (metric, behind)
CROSS JOIN LATERAL (
    SELECT ts, number, other FROM points
    WHERE device_id = :device_id AND metric = wanted.metric
        AND ts {mark} wanted.behind AND ts >= :start AND ts < :end
    ORDER BY ts {direction} LIMIT :amount
) AS found
"""
FORWARD = sa.text(SLICES.format(mark=">", direction="ASC")).columns(other=JSONB)
BACKWARD = sa.text(SLICES.format(mark="<", direction="DESC")).columns(other=JSONB)


class SeriesReader:
    """Stands in several series at the beginning of a range, or behind the point ``after``."""

    def __init__(
        self,
        connection: AsyncConnection,
        selection: Selection,
        metrics: Collection[str],
        *,
        order: Order,
        after: Position | None,
    ) -> None:
        self._connection = connection
        self._selection = selection
        self._is_backward = order is Order.DESCENDING
        # Of each metric that may have more points: behind which time they are.
        self._behind = {metric: self._beginning(metric, after) for metric in metrics}

    def _beginning(self, metric: str, after: Position | None) -> datetime:
        step = -MICROSECOND if self._is_backward else MICROSECOND
        if after is None:
            return self._selection.end if self._is_backward else self._selection.start - step
        # Of the time of the last point shown, the metrics behind its own in the order are still to come.
        is_to_come = metric != after.metric and (metric > after.metric) != self._is_backward
        return after.ts - step if is_to_come else after.ts

    async def read(self, limit: int) -> list[Point]:
        found: list[Point] = []
        waiting: list[Point] = []
        while len(found) < limit and self._behind:
            waiting += await self._read_on(waiting, limit - len(found))
            waiting.sort(key=_place, reverse=self._is_backward)
            known = self._known(waiting)
            found += waiting[:known]
            del waiting[:known]
        return (found + waiting)[:limit]

    async def _read_on(self, waiting: list[Point], missing: int) -> list[Point]:
        """Read a slice of each metric that has less waiting than its share of what is missing."""
        held = Counter(point.metric for point in waiting)
        share = missing // len(self._behind) + 1
        hungry = [metric for metric in self._behind if held[metric] < share]
        amount = missing // len(hungry) + 1
        points = await self._read_slices(hungry, amount)
        counts = Counter(point.metric for point in points)
        # The points of a metric come in its order, so that the last one stays.
        ends = {point.metric: point.ts for point in points}
        for metric in hungry:
            if counts[metric] < amount:
                del self._behind[metric]
            else:
                self._behind[metric] = ends[metric]
        return points

    async def _read_slices(self, metrics: list[str], amount: int) -> list[Point]:
        device_id = self._selection.device_id
        parameters = {
            "device_id": device_id,
            "metrics": metrics,
            "behind": [self._behind[metric] for metric in metrics],
            "start": self._selection.start,
            "end": self._selection.end,
            "amount": amount,
        }
        rows = await read(self._connection, BACKWARD if self._is_backward else FORWARD, parameters)
        return [to_point(device_id, row) for row in rows]

    def _known(self, waiting: list[Point]) -> int:
        """Tell how many of the points in order come before whatever is not read yet."""
        ends = [(ts, metric) for metric, ts in self._behind.items()]
        if not ends:
            return len(waiting)
        if self._is_backward:
            horizon = max(ends)
            return sum(_place(point) >= horizon for point in waiting)
        horizon = min(ends)
        return sum(_place(point) <= horizon for point in waiting)


def _place(point: Point) -> tuple[datetime, str]:
    return point.ts, point.metric
