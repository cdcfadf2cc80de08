"""Points in PostgreSQL; every statement is the same for hypertables and for native partitions."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime
from functools import partial
from itertools import product
from typing import TypeVar

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
from iotsphere.telemetry.retention_rules import DEFAULT_NUMBER, IntakeTerms
from repositories.sql import sqlstate
from repositories.telemetry.adding import append_new
from repositories.telemetry.appending import append_readings
from repositories.telemetry.buckets import BucketReader
from repositories.telemetry.latest import find_latest
from repositories.telemetry.numbers import read_numbers
from repositories.telemetry.partitions import (
    IS_PARTITIONED,
    PARTED_BY,
    RoomMissingError,
    add_partitions,
    find_missing,
)
from repositories.telemetry.ranging import SeriesReader, in_order
from repositories.telemetry.removing import remove_points
from repositories.telemetry.sources import Source, find_source

# 40001 and 40P01: two transactions wanted the same in another order; one of them has to begin again.
CONTENTION = {"40001", "40P01"}
ATTEMPTS = 5

Outcomes = TypeVar("Outcomes")


class SqlAlchemyPointRepository:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def append(
        self, readings: Sequence[Reading], *, replace: bool, terms: IntakeTerms | None = None
    ) -> dict[int, Counts]:
        # Mostly they are all new, which costs less where nothing else has to be thought of.
        outcomes = await self._try(partial(append_new, readings=readings, terms=terms))
        if outcomes is None:
            append = partial(append_readings, readings=readings, replace=replace, terms=terms)
            outcomes = await self._try(append)
        return outcomes

    async def _try(self, append: Callable[[AsyncConnection], Awaitable[Outcomes]]) -> Outcomes:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self._connection.begin_nested() as savepoint:
                    outcomes = await append(self._connection)
                    if outcomes is None:
                        await savepoint.rollback()
                    return outcomes
            except RoomMissingError as error:
                await add_partitions(self._connection, error.spots)
            except DBAPIError as error:
                if sqlstate(error) not in CONTENTION or attempt == ATTEMPTS:
                    raise
        raise AssertionError("The last attempt returns or raises")

    async def prepare(self, times: Collection[datetime], *, classes: Collection[int] = (DEFAULT_NUMBER,)) -> None:
        if await self._connection.scalar(IS_PARTITIONED):
            for table in PARTED_BY:
                await add_partitions(self._connection, product(classes, times), table=table)

    async def find_missing_room(
        self, times: Collection[datetime], *, classes: Collection[int] = (DEFAULT_NUMBER,)
    ) -> list[str]:
        if not await self._connection.scalar(IS_PARTITIONED):
            return []
        spots = list(product(classes, times))
        return [name for table in PARTED_BY for name in await find_missing(self._connection, spots, table=table)]

    async def latest(self, device_id: DeviceId, metrics: Collection[str] | None) -> list[Point]:
        source = await self._find(device_id, metrics)
        return [] if source is None else await find_latest(self._connection, device_id, source)

    async def range(self, selection: Selection, *, order: Order, after: Position | None, limit: int) -> list[Point]:
        source = await self._find(selection.device_id, selection.metrics)
        if source is None:
            return []
        found: list[Point] = []
        for number, places in source.parts.items():
            reader = SeriesReader(self._connection, number, places, selection, order)
            found += await reader.read(after=after, limit=limit)
        return found if len(source.parts) == 1 else in_order(found, order)[:limit]

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
        return source._replace(places=chosen) if chosen else None
