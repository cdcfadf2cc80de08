"""Points in PostgreSQL; every statement is the same for hypertables and for native partitions."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime
from functools import partial
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.intervals import Grid
from iotsphere.telemetry.model import (
    Aggregate,
    Bucket,
    Counts,
    FleetSelection,
    Numbers,
    Order,
    Point,
    Position,
    Reading,
    Removal,
    Selection,
)
from repositories.telemetry.adding import append_new
from repositories.telemetry.appending import append_readings
from repositories.telemetry.buckets import BucketReader
from repositories.telemetry.numbers import read_numbers
from repositories.telemetry.partitions import (
    IS_PARTITIONED,
    PARTITIONED,
    add_partitions,
    find_missing,
    is_partition_missing,
)
from repositories.telemetry.ranging import SeriesReader
from repositories.telemetry.reading import read, sqlstate
from repositories.telemetry.removing import remove_points
from repositories.telemetry.rows import as_sent, number_at
from repositories.telemetry.sources import Source, find_source

# 40001 and 40P01: two transactions wanted the same in another order; one of them has to begin again.
CONTENTION = {"40001", "40P01"}
ATTEMPTS = 5

Outcomes = TypeVar("Outcomes")

LATEST = """
SELECT wanted.metric, found.ts, found.number, found.other
FROM unnest(CAST(:metrics AS text[]), CAST(:places AS integer[])) AS wanted (metric, place)
CROSS JOIN LATERAL (
    SELECT * FROM (
        SELECT
            ts, {number} AS number, others -> CAST(wanted.place AS text) AS other
        FROM readings WHERE source = :source
    ) AS valued
    WHERE number IS NOT NULL OR other IS NOT NULL
    ORDER BY ts DESC LIMIT 1
) AS found
ORDER BY wanted.metric COLLATE "C"
"""
FIND_LATEST = sa.text(LATEST.format(number=number_at("wanted.place"))).columns(other=JSONB)


class SqlAlchemyPointRepository:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def append(self, readings: Sequence[Reading], *, replace: bool) -> dict[int, Counts]:
        # Mostly they are all new, which costs less where nothing else has to be thought of.
        outcomes = await self._try(partial(append_new, readings=readings), readings)
        if outcomes is None:
            append = partial(append_readings, readings=readings, replace=replace)
            outcomes = await self._try(append, readings)
        return outcomes

    async def _try(
        self, append: Callable[[AsyncConnection], Awaitable[Outcomes]], readings: Sequence[Reading]
    ) -> Outcomes:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self._connection.begin_nested() as savepoint:
                    outcomes = await append(self._connection)
                    if outcomes is None:
                        await savepoint.rollback()
                    return outcomes
            except DBAPIError as error:
                if is_partition_missing(error):
                    await add_partitions(self._connection, (reading.ts for reading in readings))
                elif sqlstate(error) not in CONTENTION or attempt == ATTEMPTS:
                    raise
        raise AssertionError("The last attempt returns or raises")

    async def prepare(self, times: Collection[datetime]) -> None:
        if await self._connection.scalar(IS_PARTITIONED):
            for table in PARTITIONED:
                await add_partitions(self._connection, times, table=table)

    async def find_missing_room(self, times: Collection[datetime]) -> list[str]:
        if not await self._connection.scalar(IS_PARTITIONED):
            return []
        return [name for table in PARTITIONED for name in await find_missing(self._connection, times, table=table)]

    async def latest(self, device_id: DeviceId, metrics: Collection[str] | None) -> list[Point]:
        source = await self._find(device_id, metrics)
        if source is None:
            return []
        parameters = {"source": source.id, "metrics": list(source.places), "places": list(source.places.values())}
        rows = await read(self._connection, FIND_LATEST, parameters)
        return [
            Point(device_id, metric, ts, as_sent(other) if number is None else number)
            for metric, ts, number, other in map(tuple, rows)
        ]

    async def range(self, selection: Selection, *, order: Order, after: Position | None, limit: int) -> list[Point]:
        source = await self._find(selection.device_id, selection.metrics)
        if source is None:
            return []
        reader = SeriesReader(self._connection, source.id, source.places, selection, order)
        return await reader.read(after=after, limit=limit)

    async def numbers(self, selection: Selection, *, limit: int) -> dict[str, Numbers]:
        source = await self._find(selection.device_id, selection.metrics)
        return {} if source is None else await read_numbers(self._connection, source, selection, limit=limit)

    async def remove(self, selection: Selection, *, limit: int) -> Removal:
        return await remove_points(self._connection, selection, limit=limit)

    async def aggregate(
        self, selection: Selection, grid: Grid, aggregates: Collection[Aggregate], *, limit: int
    ) -> list[Bucket]:
        alone = FleetSelection({selection.device_id: ""}, selection.metrics, selection.start, selection.end)
        found = await BucketReader(self._connection, alone, grid, aggregates).read(limit=limit)
        return [bucket for _, bucket in found]

    async def _find(self, device_id: DeviceId, metrics: Collection[str] | None) -> Source | None:
        """Give the device with those of the metrics that it has; None if it has none of them."""
        source = await find_source(self._connection, device_id)
        if source is None or metrics is None:
            return source
        chosen = {metric: place for metric, place in source.places.items() if metric in set(metrics)}
        return Source(source.id, chosen) if chosen else None
