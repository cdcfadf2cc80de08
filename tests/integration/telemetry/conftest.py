from collections.abc import AsyncIterator
from functools import partial

import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine

from iotsphere.localstack.stack import LocalStack, create_database
from iotsphere.telemetry.ports import TelemetryUnitOfWorkFactory
from repositories.availability import StoreGate
from repositories.migrations import upgrade
from repositories.sql import create_store_engine
from repositories.telemetry.unit_of_work import SqlAlchemyTelemetryUnitOfWork


@pytest_asyncio.fixture(scope="module", params=["timescaledb", "partitions"])
async def dsn(stack: LocalStack, request: pytest.FixtureRequest) -> str:
    """A telemetry store of this module's own, without a single chunk or partition yet."""
    name = f"{request.module.__name__.rpartition('.')[2]}_{request.param}"
    dsn = await create_database(stack, name, timescaledb=request.param == "timescaledb")
    upgrade("telemetry", dsn)
    return dsn


@pytest_asyncio.fixture(scope="module")
async def engine(dsn: str) -> AsyncIterator[AsyncEngine]:
    engine = create_store_engine(dsn)
    yield engine
    await engine.dispose()


@pytest.fixture
def gate() -> StoreGate:
    return StoreGate("telemetry")


@pytest.fixture
def unit_of_work(engine: AsyncEngine, gate: StoreGate) -> TelemetryUnitOfWorkFactory:
    return partial(SqlAlchemyTelemetryUnitOfWork, engine, gate)
