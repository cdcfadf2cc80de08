"""What is deleted is in no figure, also where its readings were dropped before."""

import asyncio
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
from iotsphere.telemetry.ports import TelemetryUnitOfWorkFactory
from iotsphere.telemetry.rollups import RollupService
from repositories.availability import StoreGate
from repositories.telemetry.unit_of_work import SqlAlchemyRollupUnitOfWork

MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)
NOW = datetime(2026, 11, 20, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
END = MIDNIGHT + 2 * DAY
IS_WAITING = sa.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
DROP = sa.text("DELETE FROM readings WHERE ts >= :start AND ts < :end")
SAY_SO = sa.text("UPDATE retention_classes SET dropped_before = :end")
Counts = dict[tuple[str, datetime], float | int | None]


class Device:
    """One with readings of two metrics every half an hour of two days, of which figures alone are left."""

    def __init__(self, unit_of_work: TelemetryUnitOfWorkFactory, engine: AsyncEngine, gate: StoreGate) -> None:
        self.id = DeviceId(uuid4())
        self._unit_of_work = unit_of_work
        self._engine = engine
        self._rollups = RollupService(
            unit_of_work=partial(SqlAlchemyRollupUnitOfWork, engine, gate), clock=lambda: NOW
        )

    async def write(self, *times: datetime) -> None:
        async with self._unit_of_work() as uow:
            await uow.points.append([Reading(self.id, ts, {"a": 1, "b": 2}) for ts in times], replace=False)
            await uow.commit()

    async def roll_up(self) -> None:
        while await self._rollups.roll_up_next():
            pass

    async def drop(self) -> None:
        async with self._engine.begin() as connection:
            await connection.execute(DROP, {"start": MIDNIGHT, "end": END})
            await connection.execute(SAY_SO, {"end": END})

    async def remove(
        self, metrics: tuple[str, ...] | None, start: datetime, end: datetime, *, limit: int = 1000
    ) -> int:
        """Remove what is selected, and tell in how many steps."""
        steps = 0
        rest: datetime | None = start
        while rest is not None:
            async with self._unit_of_work() as uow:
                removal = await uow.points.remove(Selection(self.id, metrics, rest, end), limit=limit)
                await uow.commit()
            rest = removal.rest
            steps += 1
        return steps

    async def count(self, interval: str) -> Counts:
        grid = Grid(Interval.parse(interval), ZoneInfo("UTC"))
        async with self._unit_of_work() as uow:
            selection = Selection(self.id, None, MIDNIGHT, END)
            buckets = await uow.points.aggregate(selection, grid, [Aggregate.COUNT], limit=10_000)
        return {(bucket.metric, bucket.ts): bucket.figures[Aggregate.COUNT] for bucket in buckets}


@pytest_asyncio.fixture
async def device(unit_of_work: TelemetryUnitOfWorkFactory, engine: AsyncEngine, gate: StoreGate) -> Device:
    device = Device(unit_of_work, engine, gate)
    await device.write(*(MIDNIGHT + number * HOUR / 2 for number in range(96)))
    await device.roll_up()
    await device.drop()
    return device


async def test_figures_of_a_metric_go_by_whole_hours_and_days_are_what_is_left_of_them(device: Device) -> None:
    assert await device.count("1d") == {
        (metric, MIDNIGHT + day * DAY): 48 for metric in ("a", "b") for day in range(2)
    }

    await device.remove(("a", "unknown"), MIDNIGHT + 5.5 * HOUR, MIDNIGHT + 7 * HOUR)

    assert await device.count("1d") == {
        ("a", MIDNIGHT): 44,
        ("a", MIDNIGHT + DAY): 48,
        ("b", MIDNIGHT): 48,
        ("b", MIDNIGHT + DAY): 48,
    }
    for interval in ("1h", "30m"):
        counts = await device.count(interval)
        assert {ts for metric, ts in counts if metric == "a" and MIDNIGHT + 4 * HOUR < ts < MIDNIGHT + 8 * HOUR} == {
            MIDNIGHT + 7 * HOUR + step * HOUR / 2 for step in range(2 if interval == "30m" else 1)
        } | ({MIDNIGHT + 4.5 * HOUR} if interval == "30m" else set())
        assert sum(count or 0 for (metric, _), count in counts.items() if metric == "b") == 96


async def test_many_figures_go_step_by_step_until_none_is_left(device: Device) -> None:
    assert await device.remove(None, MIDNIGHT - DAY, END + DAY, limit=7) > 10

    for interval in ("1d", "1h", "1m"):
        assert await device.count(interval) == {}


async def test_figures_of_days_go_where_those_of_their_hours_went_before(device: Device, engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        for table in ("rollups_1m", "rollups_1h"):
            await connection.execute(sa.text(f"DELETE FROM {table}"))  # noqa: S608

    await device.remove(("a",), MIDNIGHT, MIDNIGHT + DAY)

    assert ("a", MIDNIGHT) not in await device.count("1d")
    assert (await device.count("1d"))["a", MIDNIGHT + DAY] == 48


async def test_a_part_of_a_day_takes_all_of_it_along_where_figures_of_its_hours_went_before(
    device: Device, engine: AsyncEngine
) -> None:
    async with engine.begin() as connection:
        for table in ("rollups_1m", "rollups_1h"):
            await connection.execute(sa.text(f"DELETE FROM {table}"))  # noqa: S608

    await device.remove(("a",), MIDNIGHT + 5 * HOUR, MIDNIGHT + 6 * HOUR)

    assert await device.count("1d") == {
        ("a", MIDNIGHT + DAY): 48,
        ("b", MIDNIGHT): 48,
        ("b", MIDNIGHT + DAY): 48,
    }


@pytest.mark.parametrize("is_rolled_up", [False, True])
async def test_an_hour_that_was_restored_is_worked_out_anew_from_what_is_left(
    device: Device, is_rolled_up: bool
) -> None:
    hour = MIDNIGHT + 8 * HOUR
    await device.write(hour, hour + HOUR / 2)
    await device.roll_up()

    await device.remove(("a",), hour + HOUR / 6, hour + HOUR / 3)
    if is_rolled_up:
        await device.roll_up()

    assert (await device.count("1h"))["a", hour] == 2
    assert (await device.count("1d"))["a", MIDNIGHT] == 48


async def test_whoever_deletes_waits_until_the_devices_hours_are_rolled_up(
    device: Device, engine: AsyncEngine, gate: StoreGate
) -> None:
    await device.write(MIDNIGHT + HOUR / 4)
    async with SqlAlchemyRollupUnitOfWork(engine, gate) as rolling:
        hours = await rolling.rollups.list(before=NOW, limit=10)
        deleting = asyncio.create_task(device.remove(("a",), MIDNIGHT, MIDNIGHT + 2 * HOUR))
        async with engine.connect() as looking, asyncio.timeout(5):
            while not await looking.scalar(IS_WAITING):  # noqa: ASYNC110  # only a look tells
                await asyncio.sleep(0.01)
        await rolling.rollups.save(hours)
        await rolling.commit()

    await deleting

    assert (await device.count("1d"))["a", MIDNIGHT] == 44
