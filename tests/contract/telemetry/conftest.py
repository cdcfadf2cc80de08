from collections.abc import AsyncIterator
from functools import partial
from uuid import uuid4

import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.ports import TelemetryUnitOfWorkFactory
from repositories.availability import StoreGate
from repositories.sql import create_store_engine
from repositories.telemetry.unit_of_work import SqlAlchemyTelemetryUnitOfWork
from tests.fakes.telemetry import InMemoryTelemetryUnitOfWork, TelemetryData


@pytest_asyncio.fixture(scope="session")
async def timescaledb_engine(telemetry_dsn: str) -> AsyncIterator[AsyncEngine]:
    engine = create_store_engine(telemetry_dsn)
    yield engine
    await engine.dispose()


@pytest_asyncio.fixture(scope="session")
async def partitions_engine(native_telemetry_dsn: str) -> AsyncIterator[AsyncEngine]:
    engine = create_store_engine(native_telemetry_dsn)
    yield engine
    await engine.dispose()


@pytest.fixture(params=["memory", "timescaledb", "partitions"])
def unit_of_work(request: pytest.FixtureRequest) -> TelemetryUnitOfWorkFactory:
    """The telemetry store, in memory and on both engines. Tests share it, each with devices of its own."""
    if request.param == "memory":
        return partial(InMemoryTelemetryUnitOfWork, TelemetryData())
    engine: AsyncEngine = request.getfixturevalue(f"{request.param}_engine")
    return partial(SqlAlchemyTelemetryUnitOfWork, engine, StoreGate("telemetry"))


@pytest.fixture
def device_id() -> DeviceId:
    return DeviceId(uuid4())
