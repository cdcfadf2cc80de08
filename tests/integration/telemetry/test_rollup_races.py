"""Writers against those who roll up: no hour is taken for fresh that is not."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.intervals import Grid, Interval
from iotsphere.telemetry.model import Aggregate, Reading, Selection
from iotsphere.telemetry.ports import RollupUnitOfWorkFactory, TelemetryUnitOfWorkFactory
from iotsphere.telemetry.rollups import RollupService
from repositories.availability import StoreGate
from repositories.sql import create_store_engine
from repositories.telemetry.rollups import COMMAND_SECONDS, SqlAlchemyRollupRepository
from repositories.telemetry.unit_of_work import SqlAlchemyRollupUnitOfWork

NOW = datetime(2026, 11, 20, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
WHOLE_DAY = Grid(Interval.parse("1d"), ZoneInfo("UTC"))
LOOKUPS = sa.text("SELECT sum(idx_scan) FROM pg_stat_xact_user_tables")


@pytest_asyncio.fixture(scope="module")
async def patient_engine(dsn: str) -> AsyncIterator[AsyncEngine]:
    """As the worker has it: what no request waits for may take its time."""
    engine = create_store_engine(dsn, command_seconds=COMMAND_SECONDS)
    yield engine
    await engine.dispose()


@pytest.fixture
def rollups(patient_engine: AsyncEngine, gate: StoreGate) -> RollupUnitOfWorkFactory:
    return partial(SqlAlchemyRollupUnitOfWork, patient_engine, gate)


@pytest.fixture
def device_id() -> DeviceId:
    return DeviceId(uuid4())


async def write(unit_of_work: TelemetryUnitOfWorkFactory, *readings: Reading) -> None:
    async with unit_of_work() as uow:
        await uow.points.append(readings, replace=False)
        await uow.commit()


async def count_points(unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId) -> float | int | None:
    async with unit_of_work() as uow:
        selection = Selection(device_id, None, MIDNIGHT, MIDNIGHT + 24 * HOUR)
        (bucket,) = await uow.points.aggregate(selection, WHOLE_DAY, [Aggregate.COUNT], limit=10)
    return bucket.figures[Aggregate.COUNT]


async def roll_up_all(rollups: RollupUnitOfWorkFactory) -> None:
    service = RollupService(unit_of_work=rollups, clock=lambda: NOW)
    while await service.roll_up_next():
        pass


async def test_what_is_written_while_two_roll_up_counts_at_once_and_for_ever(
    unit_of_work: TelemetryUnitOfWorkFactory, rollups: RollupUnitOfWorkFactory, engine: AsyncEngine
) -> None:
    devices = [DeviceId(uuid4()) for _ in range(3)]
    is_over = asyncio.Event()

    async def keep_rolling_up() -> None:
        service = RollupService(unit_of_work=rollups, clock=lambda: NOW)
        while not is_over.is_set():
            await service.roll_up_next()

    async def keep_writing(device_id: DeviceId) -> None:
        moments = [MIDNIGHT + number * timedelta(minutes=11) for number in range(120)]
        random.shuffle(moments)
        for number, ts in enumerate(moments, start=1):
            await write(unit_of_work, Reading(device_id, ts, {"a": number}))
            # Nobody else writes this device: whatever has been acknowledged is counted, and nothing else.
            assert await count_points(unit_of_work, device_id) == number

    rolling = [asyncio.create_task(keep_rolling_up()) for _ in range(2)]
    await asyncio.gather(*map(keep_writing, devices))
    is_over.set()
    await asyncio.gather(*rolling)
    await roll_up_all(rollups)

    for device_id in devices:
        assert await count_points(unit_of_work, device_id) == 120
    async with engine.connect() as connection:
        assert await connection.scalar(sa.text("SELECT count(*) FROM stale_hours")) == 0
        found = sa.text(
            "SELECT sum(count) FROM rollups_1d JOIN sources ON id = source WHERE device_id = ANY(:devices)"
        )
        assert await connection.scalar(found, {"devices": devices}) == 3 * 120


async def test_an_hour_that_is_written_while_it_is_worked_out_stays_stale(
    unit_of_work: TelemetryUnitOfWorkFactory, rollups: RollupUnitOfWorkFactory, device_id: DeviceId
) -> None:
    await roll_up_all(rollups)
    await write(unit_of_work, Reading(device_id, MIDNIGHT, {"a": 1}))
    async with rollups() as uow:
        hours = await uow.rollups.list(before=NOW, limit=10)
        await write(unit_of_work, Reading(device_id, MIDNIGHT + HOUR / 2, {"a": 2}))
        await uow.rollups.save(hours)
        await uow.commit()

    async with rollups() as uow:
        (again,) = await uow.rollups.list(before=NOW, limit=10)
    assert again.revision > hours[0].revision
    assert await count_points(unit_of_work, device_id) == 2


async def test_who_is_about_to_write_an_hour_is_not_waited_for(
    unit_of_work: TelemetryUnitOfWorkFactory, rollups: RollupUnitOfWorkFactory, device_id: DeviceId
) -> None:
    await roll_up_all(rollups)
    await write(unit_of_work, Reading(device_id, MIDNIGHT, {"a": 1}))
    async with unit_of_work() as writing:
        await writing.points.append([Reading(device_id, MIDNIGHT + HOUR / 2, {"a": 2})], replace=False)
        # Would wait for the lock for longer than a lock is waited for.
        async with rollups() as uow:
            await uow.rollups.save(await uow.rollups.list(before=NOW, limit=10))
            await uow.commit()
        await writing.commit()

    async with rollups() as uow:
        assert len(await uow.rollups.list(before=NOW, limit=10)) == 1
    assert await count_points(unit_of_work, device_id) == 2
    await roll_up_all(rollups)
    assert await count_points(unit_of_work, device_id) == 2


async def test_two_who_roll_up_have_different_devices_in_hand(
    unit_of_work: TelemetryUnitOfWorkFactory, rollups: RollupUnitOfWorkFactory
) -> None:
    await roll_up_all(rollups)
    for _ in range(2):
        await write(unit_of_work, Reading(DeviceId(uuid4()), MIDNIGHT, {"a": 1}))
    async with rollups() as one, rollups() as other:
        mine = await one.rollups.list(before=NOW, limit=1)
        theirs = await other.rollups.list(before=NOW, limit=10)

        assert len(mine) == len(theirs) == 1
        assert mine[0].source != theirs[0].source


async def test_a_long_range_is_answered_without_its_readings(
    unit_of_work: TelemetryUnitOfWorkFactory,
    rollups: RollupUnitOfWorkFactory,
    engine: AsyncEngine,
    device_id: DeviceId,
) -> None:
    await write(unit_of_work, *(Reading(device_id, MIDNIGHT + number * HOUR, {"a": 1}) for number in range(24)))
    await roll_up_all(rollups)
    remove = sa.text("DELETE FROM readings USING sources WHERE id = source AND device_id = :device_id")
    async with engine.begin() as connection:
        await connection.execute(remove, {"device_id": device_id})

    assert await count_points(unit_of_work, device_id) == 24


async def test_a_device_of_very_many_metrics_is_rolled_up(
    unit_of_work: TelemetryUnitOfWorkFactory, rollups: RollupUnitOfWorkFactory, device_id: DeviceId
) -> None:
    values = {f"m{number}": number for number in range(10_000)}
    await write(unit_of_work, *(Reading(device_id, MIDNIGHT + number * HOUR / 3, values) for number in range(3)))

    await roll_up_all(rollups)

    async with unit_of_work() as uow:
        selection = Selection(device_id, ("m9999", "m0"), MIDNIGHT, MIDNIGHT + HOUR)
        buckets = await uow.points.aggregate(selection, WHOLE_DAY, [Aggregate.SUM], limit=10)
    assert {bucket.metric: bucket.figures[Aggregate.SUM] for bucket in buckets} == {"m0": 0, "m9999": 3 * 9999}


async def test_an_hour_costs_what_is_in_it_and_not_what_its_device_ever_had(
    unit_of_work: TelemetryUnitOfWorkFactory,
    rollups: RollupUnitOfWorkFactory,
    patient_engine: AsyncEngine,
    device_id: DeviceId,
) -> None:
    await write(unit_of_work, Reading(device_id, MIDNIGHT, {f"m{number}": number for number in range(2000)}))
    await roll_up_all(rollups)
    # That of the first keeps the day, which has all metrics, from being worked out with the second.
    await write(unit_of_work, *(Reading(device_id, MIDNIGHT + hour * HOUR, {"m7": 1}) for hour in (5, 23, 25)))

    async with patient_engine.connect() as connection:
        await connection.execute(sa.text("ANALYZE"))
        repository = SqlAlchemyRollupRepository(connection)
        hours = await repository.list(before=NOW, limit=2)
        before = await connection.scalar(LOOKUPS)
        await repository.save(hours)
        lookups = await connection.scalar(LOOKUPS) - before
        await connection.commit()

    assert [each.hour for each in hours] == [MIDNIGHT + 25 * HOUR, MIDNIGHT + 23 * HOUR]
    assert lookups < 500
