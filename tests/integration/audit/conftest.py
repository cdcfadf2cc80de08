from collections.abc import AsyncIterator

import pytest_asyncio
from sqlalchemy import text

from iotsphere.audit.service import SealingService
from iotsphere.localstack.stack import LocalStack, create_database
from repositories.availability import StoreGate
from repositories.migrations import upgrade
from repositories.registry.unit_of_work import SqlAlchemyRegistryUnitOfWork
from repositories.sql import create_store_engine

SECRET_KEY = "a secret of more than thirty-two characters"


class TrailProcess:
    """What one process of the platform has of the trail: connections and services of its own."""

    def __init__(self, dsn: str) -> None:
        self.engine = create_store_engine(dsn)
        self.gate = StoreGate("registry")
        self.sealing = SealingService(unit_of_work=self.unit_of_work, secret_key=SECRET_KEY)

    def unit_of_work(self) -> SqlAlchemyRegistryUnitOfWork:
        return SqlAlchemyRegistryUnitOfWork(self.engine, self.gate)

    async def execute(self, *statements: str) -> None:
        """Do to the database what the platform never does."""
        async with self.engine.begin() as connection:
            for statement in statements:
                await connection.execute(text(statement))


@pytest_asyncio.fixture(scope="session")
async def trail_dsn(stack: LocalStack) -> str:
    """A registry database of this suite's own: a chain is the whole database's."""
    dsn = await create_database(stack, "registry_trail", timescaledb=False)
    upgrade("registry", dsn)
    return dsn


@pytest_asyncio.fixture
async def process(trail_dsn: str) -> AsyncIterator[TrailProcess]:
    """A process on an empty trail."""
    process = TrailProcess(trail_dsn)
    await process.execute(
        "ALTER TABLE audit_entries DISABLE TRIGGER USER",
        "TRUNCATE audit_entries",
        "ALTER TABLE audit_entries ENABLE TRIGGER USER",
    )
    yield process
    await process.engine.dispose()


@pytest_asyncio.fixture
async def other_process(trail_dsn: str) -> AsyncIterator[TrailProcess]:
    process = TrailProcess(trail_dsn)
    yield process
    await process.engine.dispose()
