"""What would go through too much is refused before it begins, on both engines."""

from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import uuid4

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.errors import QueryTooCostlyError
from iotsphere.telemetry.intervals import Grid, Interval, parse_timezone
from iotsphere.telemetry.model import Aggregate, FleetSelection, Reading, Selection
from iotsphere.telemetry.ports import TelemetryUnitOfWorkFactory
from repositories.telemetry import weighing

DAILY = Grid(Interval.parse("1d"), parse_timezone("UTC"))
START = datetime(2026, 3, 1, tzinfo=UTC)
END = START + timedelta(days=30)
MIDDLE = START + timedelta(days=15)
COUNT = 2_000
# Of two metrics a reading counts as five values.
EXACTLY = COUNT * (2 + weighing.VALUES_OF_READING)


async def store(unit_of_work: TelemetryUnitOfWorkFactory, start: datetime, end: datetime) -> DeviceId:
    device_id = DeviceId(uuid4())
    times = [start + number * (end - start) / COUNT for number in range(COUNT)]
    async with unit_of_work() as uow:
        await uow.points.append([Reading(device_id, ts, {"a": 1.0, "b": 2.0}) for ts in times], replace=False)
        await uow.commit()
    return device_id


@pytest_asyncio.fixture
async def device_id(unit_of_work: TelemetryUnitOfWorkFactory, engine: AsyncEngine) -> DeviceId:
    """A device whose readings the planner knows, beside one that it could take for it."""
    await store(unit_of_work, START, MIDDLE)
    device_id = await store(unit_of_work, MIDDLE, END)
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(sa.text("ANALYZE readings"))
    return device_id


async def count(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId, start: datetime, *, of_fleet: bool, days: int = 30
) -> float:
    """Ask for figures that take all readings."""
    asked = [Aggregate.P50, Aggregate.COUNT]
    end = start + timedelta(days=days)
    async with unit_of_work() as uow:
        if of_fleet:
            selection = FleetSelection({device_id: "all"}, ("a", "b"), start, end)
            found = [bucket for _, bucket in await uow.fleet.aggregate(selection, DAILY, asked, limit=1000)]
        else:
            found = await uow.points.aggregate(Selection(device_id, None, start, end), DAILY, asked, limit=1000)
    return sum(bucket.figures[Aggregate.COUNT] or 0 for bucket in found)


@pytest.mark.parametrize("of_fleet", [False, True])
async def test_what_goes_through_too_much_is_refused_and_what_does_not_is_answered(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId, monkeypatch: pytest.MonkeyPatch, of_fleet: bool
) -> None:
    monkeypatch.setattr(weighing, "UNWEIGHED", timedelta(days=1))
    ask = partial(count, unit_of_work, device_id, of_fleet=of_fleet)

    monkeypatch.setattr(weighing, "MOST_VALUES", EXACTLY // 2)
    with pytest.raises(QueryTooCostlyError):
        await ask(START)
    monkeypatch.setattr(weighing, "MOST_VALUES", EXACTLY)
    assert await ask(START) == 2 * COUNT


@pytest.mark.parametrize("of_fleet", [False, True])
async def test_nothing_is_refused_for_an_estimate_alone(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId, monkeypatch: pytest.MonkeyPatch, of_fleet: bool
) -> None:
    monkeypatch.setattr(weighing, "UNWEIGHED", timedelta(days=1))
    monkeypatch.setattr(weighing, "MOST_VALUES", EXACTLY // 10)

    # The device is half of the readings, and half of the readings are of then; but those are the other's.
    assert await count(unit_of_work, device_id, START, of_fleet=of_fleet, days=15) == 0


async def test_a_short_range_is_not_weighed(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weighing, "MOST_VALUES", 0)

    assert await count(unit_of_work, device_id, START, of_fleet=False) == 2 * COUNT


def test_the_longest_range_of_the_most_series_can_be_weighed() -> None:
    assert not weighing.is_light(100_000, datetime(2000, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC))
