"""The telemetry store as those find it who come after everything was compressed."""

from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from iotsphere.localstack.stack import LocalStack, create_database
from repositories.availability import StoreGate
from repositories.migrations import upgrade
from repositories.telemetry.reading import create_telemetry_engine
from repositories.telemetry.unit_of_work import SqlAlchemyColumnstoreUnitOfWork, SqlAlchemyTelemetryUnitOfWork

CHUNKS = sa.text("""
SELECT format('%I.%I', chunk_schema, chunk_name) AS name, is_compressed
FROM timescaledb_information.chunks WHERE hypertable_name = 'readings'
""")
WITH_ROWS = "SELECT '{name}' WHERE EXISTS (SELECT FROM ONLY {name})"


async def columnar_engine(stack: LocalStack, name: str) -> AsyncIterator[AsyncEngine]:
    """Give a database of this name whose chunks can be compressed; the licence for that is not had everywhere."""
    if not stack.engines["timescaledb"]:
        pytest.skip("TimescaleDB cannot be had here")
    dsn = await create_database(stack, name, timescaledb=True)
    upgrade("telemetry", dsn)
    await skip_unless_columnar(dsn)
    engine = create_patient_engine(dsn)
    yield engine
    await engine.dispose()


def create_patient_engine(dsn: str) -> AsyncEngine:
    """Make an engine for who compresses after each commit.

    What a second is enough for where nothing is compressed may take two there, on three connections.
    """
    return create_telemetry_engine(dsn, pool_size=30, command_seconds=10)


async def skip_unless_columnar(dsn: str) -> None:
    """Make a store such as its chunks can be compressed in, or skip the test."""
    engine = create_telemetry_engine(dsn)
    async with SqlAlchemyColumnstoreUnitOfWork(engine, StoreGate("telemetry")) as uow:
        can_compress = await uow.columnstore.can_compress()
        if can_compress:
            await uow.columnstore.prepare()
    await engine.dispose()
    if not can_compress:
        pytest.skip("Only TimescaleDB's community edition compresses")


async def compress_all(engine: AsyncEngine) -> None:
    """Compress whatever chunk is not, or has rows, as the worker does it; of several at once it is one who does."""
    async with engine.connect() as connection:
        chunks = (await connection.execute(CHUNKS)).all()
        due = [name for name, is_compressed in chunks if not is_compressed]
        asked = [WITH_ROWS.format(name=name) for name, is_compressed in chunks if is_compressed]
        if asked:
            due += await connection.scalars(sa.text(" UNION ALL ".join(asked)))
    if not due:
        return
    async with SqlAlchemyColumnstoreUnitOfWork(engine, StoreGate("telemetry")) as uow:
        if await uow.columnstore.claim():
            await uow.columnstore.prepare()
            for name in due:
                await uow.columnstore.compress(name)


class CompressingTelemetryUnitOfWork(SqlAlchemyTelemetryUnitOfWork):
    """Whatever it commits is compressed for whoever comes next."""

    async def commit(self) -> None:
        await super().commit()
        await compress_all(self._engine)
