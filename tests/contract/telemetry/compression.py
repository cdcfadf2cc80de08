"""The telemetry store as those find it who come after everything was compressed."""

from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from iotsphere.localstack.stack import LocalStack, create_database
from repositories.availability import StoreGate
from repositories.migrations import upgrade
from repositories.sql import create_store_engine
from repositories.telemetry.unit_of_work import (
    SqlAlchemyColumnstoreUnitOfWork,
    SqlAlchemyTelemetryUnitOfWork,
)

COMPRESS_ALL = sa.text("""
SELECT compress_chunk(chunk, if_not_compressed => true)
FROM timescaledb_information.chunks
CROSS JOIN LATERAL CAST(format('%I.%I', chunk_schema, chunk_name) AS regclass) AS chunk
WHERE hypertable_name = 'readings' AND (NOT is_compressed OR _timescaledb_functions.chunk_status(chunk) & 8 > 0)
""")


async def columnar_engine(stack: LocalStack, name: str) -> AsyncIterator[AsyncEngine]:
    """Give a database of this name whose chunks can be compressed; the licence for that is not had everywhere."""
    if not stack.engines["timescaledb"]:
        pytest.skip("TimescaleDB cannot be had here")
    dsn = await create_database(stack, name, timescaledb=True)
    upgrade("telemetry", dsn)
    await skip_unless_columnar(dsn)
    # What a second is enough for where nothing is compressed may take two here.
    engine = create_store_engine(dsn, command_seconds=10)
    yield engine
    await engine.dispose()


async def skip_unless_columnar(dsn: str) -> None:
    """Make a store such as its chunks can be compressed in, or skip the test."""
    engine = create_store_engine(dsn)
    async with SqlAlchemyColumnstoreUnitOfWork(engine, StoreGate("telemetry")) as uow:
        can_compress = await uow.columnstore.can_compress()
        if can_compress:
            await uow.columnstore.prepare()
    await engine.dispose()
    if not can_compress:
        pytest.skip("Only TimescaleDB's community edition compresses")


async def compress_all(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(COMPRESS_ALL)


class CompressingTelemetryUnitOfWork(SqlAlchemyTelemetryUnitOfWork):
    """Whatever it commits is compressed for whoever comes next."""

    async def commit(self) -> None:
        await super().commit()
        await compress_all(self._engine)
