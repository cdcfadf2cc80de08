from collections.abc import AsyncIterator
from functools import partial
from uuid import uuid4

import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.localstack.stack import LocalStack
from iotsphere.telemetry.ports import TelemetryUnitOfWorkFactory
from repositories.availability import StoreGate
from repositories.telemetry.reading import create_telemetry_engine
from repositories.telemetry.unit_of_work import SqlAlchemyTelemetryUnitOfWork
from tests.contract.telemetry.compression import CompressingTelemetryUnitOfWork, columnar_engine
from tests.fakes.telemetry import InMemoryTelemetryUnitOfWork, TelemetryData


@pytest_asyncio.fixture(scope="session")
async def timescaledb_engine(telemetry_dsn: str) -> AsyncIterator[AsyncEngine]:
    engine = create_telemetry_engine(telemetry_dsn)
    yield engine
    await engine.dispose()


@pytest_asyncio.fixture(scope="session")
async def partitions_engine(native_telemetry_dsn: str) -> AsyncIterator[AsyncEngine]:
    engine = create_telemetry_engine(native_telemetry_dsn)
    yield engine
    await engine.dispose()


@pytest_asyncio.fixture(scope="session")
async def compressed_engine(stack: LocalStack) -> AsyncIterator[AsyncEngine]:
    async for engine in columnar_engine(stack, "compressed_telemetry"):
        yield engine


@pytest.fixture(params=["memory", "timescaledb", "partitions", "compressed"])
def unit_of_work(request: pytest.FixtureRequest) -> TelemetryUnitOfWorkFactory:
    """The telemetry store, in memory, on both engines, and where all is compressed.

    Tests share it, each with devices of its own.
    """
    if request.param == "memory":
        return partial(InMemoryTelemetryUnitOfWork, TelemetryData())
    engine: AsyncEngine = request.getfixturevalue(f"{request.param}_engine")
    opened = CompressingTelemetryUnitOfWork if request.param == "compressed" else SqlAlchemyTelemetryUnitOfWork
    return partial(opened, engine, StoreGate("telemetry"))


@pytest.fixture
def device_id() -> DeviceId:
    return DeviceId(uuid4())
