"""Several series in the order of time, as their readings lie in the index."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.kernel.times import MICROSECOND
from iotsphere.telemetry.model import Order, Point, Position, Selection
from repositories.telemetry.reading import read
from repositories.telemetry.rows import number_at, to_values

READINGS = """
SELECT ts, first, numbers, others FROM readings
WHERE source = :source AND ts >= :start AND ts < :end AND EXISTS (
    SELECT FROM unnest(CAST(:places AS integer[])) AS wanted (place)
    WHERE {number} IS NOT NULL OR others -> CAST(wanted.place AS text) IS NOT NULL
)
ORDER BY ts {direction} LIMIT :amount
"""
FORWARD = sa.text(READINGS.format(number=number_at("wanted.place"), direction="ASC")).columns(others=JSONB)
BACKWARD = sa.text(READINGS.format(number=number_at("wanted.place"), direction="DESC")).columns(others=JSONB)


class SeriesReader:
    """Reads the points of the metrics at some places of one source."""

    def __init__(
        self, connection: AsyncConnection, source: int, places: Mapping[str, int], selection: Selection, order: Order
    ) -> None:
        self._connection = connection
        self._source = source
        self._selection = selection
        self._is_backward = order is Order.DESCENDING
        # In the order in which the points of a time are shown.
        self._metrics = {places[metric]: metric for metric in sorted(places, reverse=self._is_backward)}

    async def read(self, *, after: Position | None, limit: int) -> list[Point]:
        start, end = self._selection.start, self._selection.end
        if after is not None:
            # Of the time of the last point shown, other metrics may still be to come.
            # A cursor may be of another range.
            if self._is_backward:
                end = min(end, after.ts + MICROSECOND)
            else:
                start = max(start, after.ts)
        found: list[Point] = []
        amount = 0
        while True:
            missing = limit - len(found)
            # Most rows have all of the metrics; where they have not, the steps grow.
            amount = min(missing + 1, max(2 * amount, missing // len(self._metrics) + 2))
            rows = await self._read_rows(start, end, amount)
            found += [point for row in rows for point in self._points(row) if self._is_behind(point, after)]
            if len(rows) < amount or len(found) >= limit:
                return found[:limit]
            start, end = (start, rows[-1].ts) if self._is_backward else (rows[-1].ts + MICROSECOND, end)

    async def _read_rows(self, start: datetime, end: datetime, amount: int) -> Sequence[sa.Row[Any]]:
        parameters = {
            "source": self._source,
            "places": list(self._metrics),
            "start": start,
            "end": end,
            "amount": amount,
        }
        return await read(self._connection, BACKWARD if self._is_backward else FORWARD, parameters)

    def _points(self, row: sa.Row[Any]) -> Iterator[Point]:
        ts, first, numbers, others = tuple(row)
        values = to_values(first, numbers, others)
        device_id = self._selection.device_id
        return (Point(device_id, metric, ts, values[at]) for at, metric in self._metrics.items() if at in values)

    def _is_behind(self, point: Point, after: Position | None) -> bool:
        if after is None:
            return True
        place, last = (point.ts, point.metric), (after.ts, after.metric)
        return place < last if self._is_backward else place > last


def in_order(points: Sequence[Point], order: Order) -> list[Point]:
    """Sort points of several sources as each source's are sorted."""
    return sorted(points, key=_place, reverse=order is Order.DESCENDING)


def _place(point: Point) -> tuple[datetime, str]:
    return point.ts, point.metric
