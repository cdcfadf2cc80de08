"""Points in PostgreSQL; every statement is the same for hypertables and for native partitions."""

from collections.abc import Collection, Sequence

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.intervals import Grid
from iotsphere.telemetry.model import Aggregate, Bucket, Order, Outcome, Point, Position, Selection
from repositories.telemetry.aggregating import aggregate_query, row_to_bucket
from repositories.telemetry.appending import keep_stored, replace_stored
from repositories.telemetry.partitions import add_partitions, is_partition_missing
from repositories.telemetry.ranging import SeriesReader
from repositories.telemetry.reading import read, sqlstate, to_point

# 40001 and 40P01: two transactions wanted the same in another order; one of them has to begin again.
CONTENTION = {"40001", "40P01"}
ATTEMPTS = 5

# One look at the index for each metric that there is, instead of one for each point.
METRICS = sa.text("""
WITH RECURSIVE present (metric) AS (
    (SELECT metric FROM points WHERE device_id = :device_id ORDER BY metric LIMIT 1)
    UNION ALL
    SELECT (
        SELECT points.metric FROM points
        WHERE points.device_id = :device_id AND points.metric > present.metric
        ORDER BY points.metric LIMIT 1
    ) FROM present WHERE present.metric IS NOT NULL
)
SELECT metric FROM present WHERE metric IS NOT NULL
""")

LATEST = sa.text("""
SELECT wanted.metric, found.ts, found.number, found.other
FROM unnest(CAST(:metrics AS text[])) AS wanted (metric)
CROSS JOIN LATERAL (
    SELECT ts, number, other FROM points
    WHERE device_id = :device_id AND metric = wanted.metric
    ORDER BY ts DESC LIMIT 1
) AS found
ORDER BY wanted.metric COLLATE "C"
""").columns(other=JSONB)


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
        wanted = await self._metrics(device_id) if metrics is None else sorted(set(metrics))
        rows = await read(self._connection, LATEST, {"device_id": device_id, "metrics": wanted})
        return [to_point(device_id, row) for row in rows]

    async def range(self, selection: Selection, *, order: Order, after: Position | None, limit: int) -> list[Point]:
        metrics = await self._metrics(selection.device_id) if selection.metrics is None else selection.metrics
        return await SeriesReader(self._connection, selection, metrics, order=order, after=after).read(limit)

    async def aggregate(
        self, selection: Selection, grid: Grid, aggregates: Collection[Aggregate], *, limit: int
    ) -> list[Bucket]:
        query, parameters = aggregate_query(selection, grid, aggregates)
        rows = await read(self._connection, query, parameters | {"limit": limit})
        return [row_to_bucket(row, aggregates) for row in rows]

    async def _metrics(self, device_id: DeviceId) -> list[str]:
        return [row.metric for row in await read(self._connection, METRICS, {"device_id": device_id})]
