"""Chunks that are kept by column: TimescaleDB's, where its licence allows it (ADR 0033).

To compress a chunk for the first time keeps its writers waiting for as long as it takes, and its readers for a moment
at the end; so whoever compresses looks five times a second whether anybody waits, and gives way.

Whoever changes compressed readings has those around them moved among the rows. Of a chunk without rows, a statement
that was planned a moment before looks at columns alone, and finds neither. So a compressed chunk never is one without
rows: it is left as after late readings, and every plan looks for rows, too.
"""

import asyncio
import builtins
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.telemetry.storage import ChunkContent, StoredChunk
from repositories.sql import sqlstate
from repositories.telemetry.chunks import ATTEMPTS, LOCK_NOT_AVAILABLE, WAIT_BRIEFLY
from repositories.telemetry.partitions import IS_PARTITIONED, PARTED_BY
from repositories.telemetry.probe import is_columnar
from repositories.telemetry.rows import NUMBERS_COUNTED

LOOK_SECONDS = 0.2
# A server that takes longer to tell who waits does not answer at all.
OBSERVER_SECONDS = 10.0
# What else was under way in the chunk; it is left for the next time.
GIVES_WAY = {LOCK_NOT_AVAILABLE, "40001", "40P01"}

# A chunk of which plans look at rows beside the columns.
IS_OPEN = "_timescaledb_functions.chunk_status(chunk) & 8 > 0"

# Any number will do, as long as every process that compresses chunks of this database takes the same one.
CLAIM = sa.text("SELECT pg_try_advisory_lock(4072032)")

IS_ENABLED = sa.text("""
SELECT compression_enabled FROM timescaledb_information.hypertables
WHERE hypertable_schema = current_schema() AND hypertable_name = 'readings'
""")
# Rows of a device lie together, in the order in which they are asked for.
ENABLE = sa.text("""
ALTER TABLE readings SET (
    timescaledb.compress, timescaledb.compress_segmentby = 'source', timescaledb.compress_orderby = 'ts'
)
""")

# Hours that are put off wait for nobody.
OLD = sa.text(f"""
SELECT name, is_compressed AND {IS_OPEN} AS is_compressed FROM timescaledb_information.chunks
CROSS JOIN LATERAL format('%I.%I', chunk_schema, chunk_name) AS name
CROSS JOIN LATERAL CAST(name AS regclass) AS chunk
WHERE hypertable_schema = current_schema() AND hypertable_name = 'readings' AND range_end <= :before
    AND NOT EXISTS (
        SELECT FROM stale_hours WHERE hour >= range_start AND hour < range_end AND NOT is_put_off
    )
ORDER BY range_end
""")  # noqa: S608  # of constants
# Of what was written or changed since.
HAS_ROWS = "SELECT EXISTS (SELECT FROM ONLY {name})"
# No device has the number 0, in whichever class the chunk is of. What is put into it and taken out again leaves the
# bit; if it ever does not, the chunk is left as it is.
COMPRESS = rf"""
DO $block$
DECLARE
    chunk CONSTANT regclass = CAST($name${{name}}$name$ AS regclass);
    nobody CONSTANT integer = (
        SELECT max(CAST(substring(pg_get_constraintdef(oid) FROM 'source >= (\d+)') AS integer))
        FROM pg_constraint WHERE conrelid = chunk AND contype = 'c'
    );
    start CONSTANT timestamptz = (
        SELECT range_start FROM timescaledb_information.chunks
        WHERE CAST(format('%I.%I', chunk_schema, chunk_name) AS regclass) = chunk
    );
BEGIN
    PERFORM compress_chunk(chunk, if_not_compressed => true);
    INSERT INTO readings (ts, source, first, numbers) VALUES (start, nobody, 1, ARRAY[0]);
    DELETE FROM readings WHERE source = nobody AND ts = start;
    IF NOT {IS_OPEN} THEN
        RAISE serialization_failure USING MESSAGE = 'The chunk would be one without rows';
    END IF;
END
$block$
"""  # noqa: S608
# The rows that were compressed have to go at once, for which nobody may be reading them. Were they deleted one by
# one, whoever has a plan from before would go on looking among rows alone, and find nothing.
TRUNCATE = sa.text("""
SELECT set_config(name, 'truncate_only', false) FROM pg_settings
WHERE name = 'timescaledb.compress_truncate_behaviour'
""")
# For writers before it begins and readers at its end; should others have to wait behind it, it gives way.
WAIT_A_LITTLE = sa.text("SET lock_timeout = '1s'")
# Whoever is killed while compressing must not keep writers waiting for what the server goes on with.
NOTICE_OUR_END = sa.text("SET client_connection_check_interval = '300ms'")
WHO_AM_I = sa.text("SELECT pg_backend_pid()")
IS_WAITED_FOR = sa.text("""
SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND CAST(:me AS integer) = ANY(pg_blocking_pids(pid)))
""")
CANCEL = sa.text("SELECT pg_cancel_backend(CAST(:me AS integer))")

TABLES = sa.bindparam("tables", list(PARTED_BY), type_=sa.ARRAY(sa.Text))
CHUNKS = """
SELECT stored.name AS "table", format('%I.%I', chunk_schema, chunk_name) AS name, total_bytes AS size, is_compressed
FROM unnest(CAST(:tables AS text[])) AS stored (name)
CROSS JOIN LATERAL chunks_detailed_size(CAST(stored.name AS regclass)) AS sizes
JOIN timescaledb_information.chunks USING (chunk_schema, chunk_name)
"""
PARTITIONS = """
SELECT stored.name AS "table", CAST(relid AS text) AS name, pg_total_relation_size(relid) AS size, false
FROM unnest(CAST(:tables AS text[])) AS stored (name)
CROSS JOIN LATERAL pg_partition_tree(CAST(stored.name AS regclass))
WHERE isleaf
"""
COUNT = """
SELECT count(*) AS readings, coalesce(sum(
    {numbers} + coalesce(jsonb_array_length(jsonb_path_query_array(others, '$.keyvalue()')), 0)
), 0) AS points
FROM {name}
"""


class SqlAlchemyColumnstore:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def claim(self) -> bool:
        return bool(await self._connection.scalar(CLAIM))

    async def can_compress(self) -> bool:
        return await is_columnar(self._connection)

    async def prepare(self) -> None:
        await self._connection.execute(WAIT_BRIEFLY)
        await self._connection.execute(TRUNCATE)
        await self._connection.execute(NOTICE_OUR_END)
        if not await self._connection.scalar(IS_ENABLED):
            await self._enable()

    async def _enable(self) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await self._connection.execute(ENABLE)
            except DBAPIError as error:
                if sqlstate(error) != LOCK_NOT_AVAILABLE or attempt == ATTEMPTS:
                    raise
            else:
                return

    async def list(self, *, before: datetime) -> builtins.list[str]:
        if not await self.can_compress():
            return []
        old = (await self._connection.execute(OLD, {"before": before})).all()
        return [name for name, is_compressed in old if not is_compressed or await self._has_rows(name)]

    async def _has_rows(self, name: str) -> bool:
        return bool(await self._connection.scalar(sa.text(HAS_ROWS.format(name=name))))

    async def compress(self, name: str) -> bool:
        await self._connection.execute(WAIT_A_LITTLE)
        me = await self._connection.scalar(WHO_AM_I)
        async with self._connection.engine.connect() as observer:
            await observer.execution_options(isolation_level="AUTOCOMMIT")
            compressing = asyncio.create_task(self._compress(name))
            try:
                gave_way = await _give_way(compressing, observer, me)
            finally:
                await _end(compressing, observer, me)
        error = compressing.exception()
        if error is None:
            return True
        if isinstance(error, DBAPIError) and (gave_way or sqlstate(error) in GIVES_WAY):
            return False
        raise error

    async def _compress(self, name: str) -> None:
        await self._connection.execute(sa.text(COMPRESS.format(name=name)))

    async def find_stored(self) -> builtins.list[StoredChunk]:
        parted = PARTITIONS if await self._connection.scalar(IS_PARTITIONED) else CHUNKS
        statement = sa.text(parted).bindparams(TABLES)
        return [StoredChunk(*row) for row in await self._connection.execute(statement)]

    async def count(self, name: str) -> ChunkContent:
        row = (await self._connection.execute(sa.text(COUNT.format(numbers=NUMBERS_COUNTED, name=name)))).one()
        return ChunkContent(int(row.readings), int(row.points))


async def _give_way(compressing: "asyncio.Task[None]", observer: AsyncConnection, me: int) -> bool:
    """Wait until it is done, or until somebody waits for it; tell whether that is so."""
    while True:
        done, _ = await asyncio.wait({compressing}, timeout=LOOK_SECONDS)
        if done:
            return False
        async with asyncio.timeout(OBSERVER_SECONDS):
            if await observer.scalar(IS_WAITED_FOR, {"me": me}):
                return True


async def _end(compressing: "asyncio.Task[None]", observer: AsyncConnection, me: int) -> None:
    """See to it that the server does not go on with it, whatever has ended our part of it."""
    try:
        if not compressing.done():
            async with asyncio.timeout(OBSERVER_SECONDS):
                await observer.execute(CANCEL, {"me": me})
                await asyncio.wait({compressing})
    finally:
        compressing.cancel()
        await asyncio.wait({compressing})
