"""Points in PostgreSQL; every statement is the same for hypertables and for native partitions."""

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.intervals import Grid
from iotsphere.telemetry.model import MAX_INTEGER, Aggregate, Bucket, Order, Outcome, Point, Position, Selection
from repositories.telemetry.aggregating import aggregate_query, row_to_bucket
from repositories.telemetry.appending import keep_stored, replace_stored
from repositories.telemetry.partitions import add_partitions, is_partition_missing
from repositories.telemetry.reading import read, sqlstate

# 40001 and 40P01: two transactions wanted the same in another order; one of them has to begin again.
CONTENTION = {"40001", "40P01"}
ATTEMPTS = 5

# One look at the index for each metric that there is, instead of one for each point.
METRICS_PRESENT = """
WITH RECURSIVE present (metric) AS (
    (SELECT metric FROM points WHERE device_id = :device_id ORDER BY metric LIMIT 1)
    UNION ALL
    SELECT (
        SELECT points.metric FROM points
        WHERE points.device_id = :device_id AND points.metric > present.metric
        ORDER BY points.metric LIMIT 1
    ) FROM present WHERE present.metric IS NOT NULL
)
"""
METRICS_GIVEN = "WITH present (metric) AS (SELECT * FROM unnest(CAST(:metrics AS text[])))"

LATEST = """
SELECT present.metric, found.ts, found.number, found.other
FROM present CROSS JOIN LATERAL (
    SELECT ts, number, other FROM points
    WHERE device_id = :device_id AND metric = present.metric
    ORDER BY ts DESC LIMIT 1
) AS found
ORDER BY present.metric COLLATE "C"
"""

# Each metric's index is read in order and no further than the page goes; then the few are merged.
RANGE = """
SELECT present.metric, found.ts, found.number, found.other
FROM present CROSS JOIN LATERAL (
    SELECT ts, number, other FROM points
    WHERE device_id = :device_id AND metric = present.metric AND ts >= :start AND ts < :end {behind}
    ORDER BY ts {direction} LIMIT :limit
) AS found
ORDER BY found.ts {direction}, present.metric COLLATE "C" {direction} LIMIT :limit
"""
BEHIND = """AND ts {mark}= :after_ts AND (ts, present.metric COLLATE "C") {mark} (:after_ts, :after_metric)"""


class SqlAlchemyPointRepository:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def append(self, points: Sequence[Point], *, replace: bool) -> list[Outcome]:
        write = replace_stored if replace else keep_stored
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self._connection.begin_nested():
                    return await write(self._connection, points)
            except DBAPIError as error:
                if is_partition_missing(error):
                    await add_partitions(self._connection, (point.ts for point in points))
                elif sqlstate(error) not in CONTENTION or attempt == ATTEMPTS:
                    raise
        raise AssertionError("The last attempt returns or raises")

    async def latest(self, device_id: DeviceId, metrics: Collection[str] | None) -> list[Point]:
        return await self._read_points(LATEST, device_id, metrics, {})

    async def range(self, selection: Selection, *, order: Order, after: Position | None, limit: int) -> list[Point]:
        mark, direction = (">", "ASC") if order is Order.ASCENDING else ("<", "DESC")
        behind = BEHIND.format(mark=mark) if after else ""
        statement = RANGE.format(behind=behind, direction=direction)
        parameters: dict[str, Any] = {"start": selection.start, "end": selection.end, "limit": limit}
        if after:
            parameters |= {"after_ts": after.ts, "after_metric": after.metric}
        return await self._read_points(statement, selection.device_id, selection.metrics, parameters)

    async def aggregate(
        self, selection: Selection, grid: Grid, aggregates: Collection[Aggregate], *, limit: int
    ) -> list[Bucket]:
        query, parameters = aggregate_query(selection, grid, aggregates)
        rows = await read(self._connection, query, parameters | {"limit": limit})
        return [row_to_bucket(row, aggregates) for row in rows]

    async def _read_points(
        self, statement: str, device_id: DeviceId, metrics: Collection[str] | None, parameters: dict[str, Any]
    ) -> list[Point]:
        present = METRICS_PRESENT if metrics is None else METRICS_GIVEN
        given = {} if metrics is None else {"metrics": list(metrics)}
        query = sa.text(present + statement).columns(other=JSONB)
        rows = await read(self._connection, query, parameters | given | {"device_id": device_id})
        return [Point(device_id, row.metric, row.ts, _value(row)) for row in rows]


def _value(row: sa.Row[Any]) -> Any:
    return _as_sent(row.other) if row.number is None else row.number


def _as_sent(value: Any) -> Any:
    """Undo what jsonb does to large numbers: it writes 1e300 out as an integer of 301 digits."""
    if isinstance(value, dict):
        return {key: _as_sent(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_as_sent(inner) for inner in value]
    return float(value) if isinstance(value, int) and abs(value) > MAX_INTEGER else value
