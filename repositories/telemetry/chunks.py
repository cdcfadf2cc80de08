"""The chunks of TimescaleDB and the native partitions that readings lie in, and how they are dropped.

Nobody waits for a chunk to be dropped but who reads that very chunk, and they only for a moment at a time.
"""

import builtins
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.kernel.times import MICROSECOND
from iotsphere.telemetry.model import Reading
from iotsphere.telemetry.retention import Holding, ReadingChunk
from iotsphere.telemetry.retention_rules import DEFAULT_NUMBER
from repositories.sql import sqlstate
from repositories.telemetry.partitions import IS_PARTITIONED, Part, class_table, part_of
from repositories.telemetry.rows import to_values
from repositories.telemetry.sources import CLASS_BITS

LOCK_NOT_AVAILABLE = "55P03"
ATTEMPTS = 10

# Any number will do, as long as every process that drops chunks of this database takes the same one.
CLAIM = sa.text("SELECT pg_try_advisory_lock(4072027)")
# Whoever waits for a lock keeps those behind it waiting.
WAIT_BRIEFLY = sa.text("SET lock_timeout = '200ms'")
# To detach concurrently is to wait for whoever may still read, and keeps nobody else waiting meanwhile.
WAIT_FOR_READERS = sa.text("SET lock_timeout = '0'")

TABLES = {
    Holding.READINGS: "readings",
    Holding.MINUTES: "rollups_1m",
    Holding.HOURS: "rollups_1h",
    Holding.DAYS: "rollups_1d",
}
# The second dimension of a chunk is to be seen, on every version and edition, in the rule that its rows keep.
CHUNKS = sa.text(rf"""
SELECT range_start, range_end, CAST(name AS text) AS name
FROM (
    SELECT range_start, range_end, to_regclass(format('%I.%I', chunk_schema, chunk_name)) AS name
    FROM timescaledb_information.chunks
    WHERE hypertable_schema = current_schema() AND hypertable_name = :table AND range_end <= :before
) AS chunk
JOIN pg_constraint ON conrelid = name AND contype = 'c'
WHERE CAST(substring(pg_get_constraintdef(pg_constraint.oid) FROM 'source >= (\d+)') AS integer) >> {CLASS_BITS}
    = :number
ORDER BY range_start
""")  # noqa: S608  # of constants
HAS_STALE_HOURS = sa.text("""
SELECT EXISTS (
    SELECT FROM stale_hours
    WHERE hour >= :start AND hour < :end AND source >= :first AND source < :behind AND NOT is_put_off
)
""")
SOURCES = sa.text("""
SELECT id, device_id, metrics FROM sources WHERE id > :last AND :number = ANY(parts) ORDER BY id LIMIT 500
""").bindparams(sa.bindparam("number", type_=sa.Integer))
READINGS = sa.text("""
SELECT ts, first, numbers, others FROM readings WHERE source = :source AND ts > :after AND ts < :end
ORDER BY ts LIMIT 1000
""").columns(others=JSONB)
# By their names: those that were detached and not yet dropped are no partitions any more.
PARTITIONS = sa.text("""
SELECT relname FROM pg_class
WHERE relnamespace = CAST(current_schema() AS regnamespace) AND relkind = 'r' AND relname ~ :names
ORDER BY relname
""")
IS_DETACHING = sa.text("SELECT inhdetachpending FROM pg_inherits WHERE inhrelid = to_regclass(:name)")


class SqlAlchemyChunkRepository:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def claim(self) -> bool:
        return bool(await self._connection.scalar(CLAIM))

    async def list(
        self, *, before: datetime, number: int = DEFAULT_NUMBER, holds: Holding = Holding.READINGS
    ) -> builtins.list[ReadingChunk]:
        if await self._connection.scalar(IS_PARTITIONED):
            chunks = [_chunk_of(part) for part in await self._list_parts(TABLES[holds], number)]
        else:
            rows = await self._find_chunks(TABLES[holds], number, before)
            chunks = [ReadingChunk(row.range_start, row.range_end, number, holds) for row in rows]
        return [chunk for chunk in chunks if chunk.end <= before]

    async def read(
        self, start: datetime, end: datetime, *, number: int = DEFAULT_NUMBER
    ) -> AsyncIterator[builtins.list[Reading]]:
        last = 0
        while sources := (await self._connection.execute(SOURCES, {"last": last, "number": number})).all():
            for source, device_id, metrics in map(tuple, sources):
                names = dict(enumerate(metrics, start=1))
                after = start - MICROSECOND
                source_of_class = number << CLASS_BITS | source
                while rows := (await self._connection.execute(READINGS, _span(source_of_class, after, end))).all():
                    yield [
                        Reading(device_id, ts, {names[place]: value for place, value in to_values(*row).items()})
                        for ts, *row in map(tuple, rows)
                    ]
                    after = rows[-1].ts
            last = sources[-1].id

    async def is_settled(self, chunk: ReadingChunk) -> bool:
        first, behind = chunk.number << CLASS_BITS, (chunk.number + 1) << CLASS_BITS
        span = {"start": chunk.start, "end": chunk.end, "first": first, "behind": behind}
        return not await self._connection.scalar(HAS_STALE_HOURS, span)

    async def remove(self, chunk: ReadingChunk) -> None:
        table = TABLES[chunk.holds]
        if await self._connection.scalar(IS_PARTITIONED):
            await self._drop_partition(part_of(table, (chunk.number, chunk.start)))
            return
        for row in await self._find_chunks(table, chunk.number, chunk.end):
            if row.range_start == chunk.start:
                await self._drop_chunk(row.name)

    async def _find_chunks(self, table: str, number: int, before: datetime) -> Sequence[sa.Row[Any]]:
        found = await self._connection.execute(CHUNKS, {"table": table, "number": number, "before": before})
        return found.all()

    async def _list_parts(self, table: str, number: int) -> builtins.list[Part]:
        stem = class_table(table, number)
        names = await self._connection.scalars(PARTITIONS, {"names": f"^{stem}_[0-9]{{4}}(_[0-9]{{2}})?$"})
        return [Part(table, number, *map(int, name.removeprefix(f"{stem}_").split("_"))) for name in names]

    async def _drop_chunk(self, name: str) -> None:
        """Drop it by its name: 'drop_chunks' knows times alone, and would take the other classes' along."""
        await self._connection.execute(WAIT_BRIEFLY)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await self._connection.execute(sa.text(f"DROP TABLE {name}"))
            except DBAPIError as error:
                if sqlstate(error) != LOCK_NOT_AVAILABLE or attempt == ATTEMPTS:
                    raise
            else:
                return

    async def _drop_partition(self, part: Part) -> None:
        """Each step is seen by whoever goes on with it, should this one not come to its end."""
        await self._connection.execute(WAIT_FOR_READERS)
        is_detaching = await self._connection.scalar(IS_DETACHING, {"name": part.name})
        if is_detaching is not None:
            how = "FINALIZE" if is_detaching else "CONCURRENTLY"
            parent = class_table(part.table, part.number)
            await self._connection.execute(sa.text(f"ALTER TABLE {parent} DETACH PARTITION {part.name} {how}"))
        await self._connection.execute(sa.text(f"DROP TABLE {part.name}"))


def _span(source: int, after: datetime, end: datetime) -> dict[str, Any]:
    return {"source": source, "after": after, "end": end}


def _chunk_of(part: Part) -> ReadingChunk:
    holds = next(holds for holds, table in TABLES.items() if table == part.table)
    return ReadingChunk(part.start, part.end, part.number, holds)
