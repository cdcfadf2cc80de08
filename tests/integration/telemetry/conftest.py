from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.localstack.stack import LocalStack, create_database
from iotsphere.telemetry.model import EARLIEST, Reading
from iotsphere.telemetry.ports import TelemetryUnitOfWorkFactory
from repositories.availability import StoreGate
from repositories.migrations import upgrade
from repositories.telemetry.reading import create_telemetry_engine
from repositories.telemetry.unit_of_work import SqlAlchemyKeepingUnitOfWork, SqlAlchemyTelemetryUnitOfWork
from tests.contract.telemetry.compression import (
    CompressingTelemetryUnitOfWork,
    create_patient_engine,
    skip_unless_columnar,
)
from tests.integration.telemetry.archive_scene import OLD, VALUES, Archive


def is_compressed(dsn: str) -> bool:
    """Tell the store in which all is compressed after each commit; only TimescaleDB's community edition has it."""
    return str(make_url(dsn).database).endswith("_compressed")


@pytest_asyncio.fixture(scope="module", params=["timescaledb", "partitions", "compressed"])
async def dsn(stack: LocalStack, request: pytest.FixtureRequest) -> str:
    """A telemetry store of this module's own, without a single chunk or partition yet."""
    name = f"{request.module.__name__.rpartition('.')[2]}_{request.param}"
    dsn = await create_database(stack, name, timescaledb=request.param != "partitions")
    upgrade("telemetry", dsn)
    if request.param == "compressed":
        await skip_unless_columnar(dsn)
    return dsn


@pytest_asyncio.fixture(scope="module")
async def engine(dsn: str) -> AsyncIterator[AsyncEngine]:
    engine = create_patient_engine(dsn) if is_compressed(dsn) else create_telemetry_engine(dsn)
    yield engine
    await engine.dispose()


@pytest.fixture
def gate() -> StoreGate:
    return StoreGate("telemetry")


@pytest.fixture
def unit_of_work(dsn: str, engine: AsyncEngine, gate: StoreGate) -> TelemetryUnitOfWorkFactory:
    opened = CompressingTelemetryUnitOfWork if is_compressed(dsn) else SqlAlchemyTelemetryUnitOfWork
    return partial(opened, engine, gate)


@pytest_asyncio.fixture
async def archive(
    engine: AsyncEngine, unit_of_work: TelemetryUnitOfWorkFactory, gate: StoreGate, tmp_path: Path
) -> AsyncIterator[Archive]:
    keeping = partial(SqlAlchemyKeepingUnitOfWork, engine, gate)
    archive = Archive(unit_of_work, keeping, engine, tmp_path / "archive", [DeviceId(uuid4()) for _ in range(2)])
    async with unit_of_work() as uow:
        present = await uow.retention.get("default")
        await uow.retention.save(replace(present, raw_days=30, archive_days=4000, changed_at=EARLIEST))
        readings = [
            Reading(device_id, OLD + timedelta(microseconds=number), VALUES)
            for device_id in archive.devices
            for number in range(3)
        ]
        await uow.points.append(readings, replace=False)
        await uow.commit()
    await archive.settle()
    yield archive
    await archive.forget()
    await archive.settle()
    await archive.worker.keep_readings()
    await archive.forget()
