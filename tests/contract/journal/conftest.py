from collections.abc import AsyncIterator
from functools import partial
from uuid import uuid4

import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.localstack.stack import LocalStack, create_database
from iotsphere.shadow.model import ShadowKey
from iotsphere.shadow.ports import JournalUnitOfWorkFactory
from repositories.availability import StoreGate
from repositories.migrations import upgrade
from repositories.sql import create_store_engine
from repositories.telemetry.unit_of_work import SqlAlchemyJournalUnitOfWork
from tests.fakes.journal import InMemoryJournalUnitOfWork, JournalData


@pytest_asyncio.fixture(scope="session")
async def journal_timescaledb_engine(stack: LocalStack, telemetry_dsn: str) -> AsyncIterator[AsyncEngine]:
    """A journal of its own, for there is but one latest generation in each; skipped where ``telemetry_dsn`` is."""
    async for engine in _engine(stack, "journal_timescaledb", timescaledb=bool(telemetry_dsn)):
        yield engine


@pytest_asyncio.fixture(scope="session")
async def journal_partitions_engine(stack: LocalStack) -> AsyncIterator[AsyncEngine]:
    async for engine in _engine(stack, "journal_partitions", timescaledb=False):
        yield engine


async def _engine(stack: LocalStack, name: str, *, timescaledb: bool) -> AsyncIterator[AsyncEngine]:
    dsn = await create_database(stack, name, timescaledb=timescaledb)
    upgrade("telemetry", dsn)
    engine = create_store_engine(dsn)
    yield engine
    await engine.dispose()


@pytest.fixture(params=["memory", "timescaledb", "partitions"])
def unit_of_work(request: pytest.FixtureRequest) -> JournalUnitOfWorkFactory:
    """The journal, in memory and on both engines. Tests share it, each with shadows and generations of its own."""
    if request.param == "memory":
        return partial(InMemoryJournalUnitOfWork, JournalData())
    engine: AsyncEngine = request.getfixturevalue(f"journal_{request.param}_engine")
    return partial(SqlAlchemyJournalUnitOfWork, engine, StoreGate("telemetry"))


@pytest.fixture
def key() -> ShadowKey:
    return ShadowKey(DeviceId(uuid4()))
