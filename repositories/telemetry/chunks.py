"""The chunks of TimescaleDB and the native partitions that readings lie in, and how they are dropped.

Nobody waits for a chunk to be dropped but who reads that very chunk, and they only for a moment at a time.
"""

import builtins
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.telemetry.model import Reading
from iotsphere.telemetry.retention import ReadingChunk
from repositories.telemetry.partitions import IS_PARTITIONED, partition_name
from repositories.telemetry.reading import sqlstate
from repositories.telemetry.rows import to_values

LOCK_NOT_AVAILABLE = "55P03"
ATTEMPTS = 10
MICROSECOND = timedelta(microseconds=1)

# Any number will do, as long as every process that drops chunks of this database takes the same one.
CLAIM = sa.text("SELECT pg_try_advisory_lock(4072027)")
# Whoever waits for a lock keeps those behind it waiting.
WAIT_BRIEFLY = sa.text("SET lock_timeout = '200ms'")
# To detach concurrently is to wait for whoever may still read, and keeps nobody else waiting meanwhile.
WAIT_FOR_READERS = sa.text("SET lock_timeout = '0'")

CHUNKS = sa.text("""
SELECT range_start, range_end FROM timescaledb_information.chunks
WHERE hypertable_schema = current_schema() AND hypertable_name = 'readings' AND range_end <= :before
ORDER BY range_start
""")
HAS_STALE_HOURS = sa.text("SELECT EXISTS (SELECT FROM stale_hours WHERE hour >= :start AND hour < :end)")
DROP_CHUNK = sa.text("SELECT drop_chunks('readings', older_than => :end, newer_than => :start)").bindparams(
    sa.bindparam("start", type_=sa.DateTime(timezone=True)), sa.bindparam("end", type_=sa.DateTime(timezone=True))
)
SOURCES = sa.text("SELECT id, device_id, metrics FROM sources WHERE id > :last ORDER BY id LIMIT 500")
READINGS = sa.text("""
SELECT ts, first, numbers, others FROM readings WHERE source = :source AND ts > :after AND ts < :end
ORDER BY ts LIMIT 1000
""").columns(others=JSONB)
# By their names: those that were detached and not yet dropped are no partitions any more.
PARTITIONS = sa.text("""
SELECT relname FROM pg_class
WHERE relnamespace = CAST(current_schema() AS regnamespace) AND relkind = 'r'
    AND relname ~ '^readings_[0-9]{4}_[0-9]{2}$'
ORDER BY relname
""")
IS_DETACHING = sa.text("SELECT inhdetachpending FROM pg_inherits WHERE inhrelid = to_regclass(:name)")


class SqlAlchemyChunkRepository:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def claim(self) -> bool:
        return bool(await self._connection.scalar(CLAIM))

    async def list(self, *, before: datetime) -> builtins.list[ReadingChunk]:
        if not await self._connection.scalar(IS_PARTITIONED):
            return [ReadingChunk(*row) for row in await self._connection.execute(CHUNKS, {"before": before})]
        names = await self._connection.scalars(PARTITIONS)
        return [chunk for name in names if (chunk := _chunk_of(*map(int, name.split("_")[1:]))).end <= before]

    async def read(self, start: datetime, end: datetime) -> AsyncIterator[builtins.list[Reading]]:
        last = 0
        while sources := (await self._connection.execute(SOURCES, {"last": last})).all():
            for source, device_id, metrics in map(tuple, sources):
                names = dict(enumerate(metrics, start=1))
                after = start - MICROSECOND
                while rows := (await self._connection.execute(READINGS, _span(source, after, end))).all():
                    yield [
                        Reading(device_id, ts, {names[place]: value for place, value in to_values(*row).items()})
                        for ts, *row in map(tuple, rows)
                    ]
                    after = rows[-1].ts
            last = sources[-1].id

    async def is_settled(self, chunk: ReadingChunk) -> bool:
        return not await self._connection.scalar(HAS_STALE_HOURS, chunk._asdict())

    async def remove(self, chunk: ReadingChunk) -> None:
        if await self._connection.scalar(IS_PARTITIONED):
            await self._drop_partition(partition_name(chunk.start.year, chunk.start.month))
        else:
            await self._drop_chunk(chunk)

    async def _drop_chunk(self, chunk: ReadingChunk) -> None:
        await self._connection.execute(WAIT_BRIEFLY)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await self._connection.execute(DROP_CHUNK, chunk._asdict())
            except DBAPIError as error:
                if sqlstate(error) != LOCK_NOT_AVAILABLE or attempt == ATTEMPTS:
                    raise
            else:
                return

    async def _drop_partition(self, name: str) -> None:
        """Each step is seen by whoever goes on with it, should this one not come to its end."""
        await self._connection.execute(WAIT_FOR_READERS)
        is_detaching = await self._connection.scalar(IS_DETACHING, {"name": name})
        if is_detaching is not None:
            how = "FINALIZE" if is_detaching else "CONCURRENTLY"
            await self._connection.execute(sa.text(f"ALTER TABLE readings DETACH PARTITION {name} {how}"))
        await self._connection.execute(sa.text(f"DROP TABLE {name}"))


def _span(source: int, after: datetime, end: datetime) -> dict[str, Any]:
    return {"source": source, "after": after, "end": end}


def _chunk_of(year: int, month: int) -> ReadingChunk:
    end = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    return ReadingChunk(datetime(year, month, 1, tzinfo=UTC), end)
