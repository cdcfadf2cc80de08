import asyncio
from datetime import UTC, datetime
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.localstack.stack import LocalStack
from iotsphere.telemetry.errors import QueryTooCostlyError
from iotsphere.telemetry.model import Outcome
from iotsphere.telemetry.ports import TelemetryUnitOfWorkFactory
from repositories.availability import StoreGate
from repositories.telemetry.partitions import is_partition_missing
from repositories.telemetry.probe import SqlAlchemyTelemetryProbe
from repositories.telemetry.tables import points
from tests.factories.telemetry import build_point

DEADLINE_SECONDS = 5


async def test_the_probe_tells_the_engine(engine: AsyncEngine, gate: StoreGate, stack: LocalStack) -> None:
    engines = {
        f"timescaledb {stack.engines['timescaledb']} (apache)",
        f"postgresql {stack.engines['postgresql']} (partitions)",
    }
    async with engine.connect() as connection:
        is_hypertable = await connection.scalar(
            sa.text("SELECT count(*) FROM pg_extension WHERE extname ~ 'timescale'")
        )

    told = await SqlAlchemyTelemetryProbe(engine, gate).probe()

    assert told in engines
    assert told.startswith("timescaledb") == bool(is_hypertable)


async def test_the_probe_sees_the_store_come_back_and_opens_the_gate(
    engine: AsyncEngine, gate: StoreGate, unit_of_work: TelemetryUnitOfWorkFactory
) -> None:
    gate.failed()
    with pytest.raises(UnavailableError):
        async with unit_of_work():
            pass

    await SqlAlchemyTelemetryProbe(engine, gate).probe()

    async with unit_of_work() as uow:
        assert await uow.points.latest(DeviceId(uuid4()), None) == []


async def test_a_costly_read_is_refused_and_closes_the_store_to_nobody(
    engine: AsyncEngine, unit_of_work: TelemetryUnitOfWorkFactory
) -> None:
    async with engine.connect() as blocker:
        await blocker.execute(sa.text("LOCK TABLE points IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(QueryTooCostlyError):
            async with unit_of_work() as uow:
                await uow.points.latest(DeviceId(uuid4()), None)

    async with unit_of_work() as uow:
        assert await uow.points.latest(DeviceId(uuid4()), None) == []


async def test_the_loser_of_a_deadlock_tries_again(
    engine: AsyncEngine, unit_of_work: TelemetryUnitOfWorkFactory
) -> None:
    device_id = DeviceId(uuid4())
    first = build_point(device_id=device_id, metric="a")
    second = build_point(device_id=device_id, metric="b")
    async with unit_of_work() as uow:
        # The chunk or partition is there before: making it would take locks of its own.
        await uow.points.append([build_point()], replace=False)
        await uow.commit()

    async with engine.connect() as rival, engine.connect() as observer, unit_of_work() as uow:
        await rival.execute(sa.insert(points).values(device_id=device_id, metric="b", ts=second.ts, number=7))
        ours = asyncio.create_task(uow.points.append([second, first], replace=False))
        await until_somebody_waits(observer)
        await rival.execute(
            sa.insert(points).values(device_id=device_id, metric="a", ts=first.ts, number=first.value)
        )
        await rival.commit()

        assert await ours == [Outcome.CONFLICT, Outcome.DUPLICATE]


async def until_somebody_waits(observer: AsyncConnection) -> None:
    waiting = sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'")
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not await observer.scalar(waiting):
            pass


@pytest.mark.parametrize("values", [{}, {"number": 1, "other": True}])
async def test_a_point_has_one_value_of_one_kind(engine: AsyncEngine, values: dict[str, object]) -> None:
    key = {"device_id": uuid4(), "metric": "a", "ts": datetime(2026, 11, 20, tzinfo=UTC)}
    async with engine.connect() as connection:
        with pytest.raises(IntegrityError, match="ck_points_value") as refused:
            await connection.execute(sa.insert(points).values(**key, **values))

    assert not is_partition_missing(refused.value)
