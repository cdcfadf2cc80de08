"""An hour that is stale in one class says nothing of another, whose readings of that time may be no more."""

from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import uuid4
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.intervals import Grid, Interval
from iotsphere.telemetry.model import EARLIEST, Aggregate, Reading, Selection
from iotsphere.telemetry.ports import TelemetryUnitOfWorkFactory
from iotsphere.telemetry.retention import RetentionClass, Scope
from iotsphere.telemetry.retention_rules import IntakeTerms
from iotsphere.telemetry.rollups import RollupService
from repositories.availability import StoreGate
from repositories.telemetry.unit_of_work import SqlAlchemyRollupUnitOfWork

MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)
NOW = datetime(2026, 11, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)
DROP = sa.text("DELETE FROM readings WHERE source >> 24 = 1")
COUNT = [Aggregate.COUNT, Aggregate.FIRST, Aggregate.LAST]


async def test_figures_whose_readings_were_dropped_stay_while_another_class_catches_up(
    unit_of_work: TelemetryUnitOfWorkFactory, engine: AsyncEngine, gate: StoreGate
) -> None:
    device_id = DeviceId(uuid4())
    rollups = RollupService(unit_of_work=partial(SqlAlchemyRollupUnitOfWork, engine, gate), clock=lambda: NOW)

    async def write(*minutes: int, **values: float) -> None:
        readings = [Reading(device_id, MIDNIGHT + minute * timedelta(minutes=1), values) for minute in minutes]
        async with unit_of_work() as uow:
            await uow.points.append(readings, replace=False, terms=IntakeTerms(NOW))
            await uow.commit()

    async def figures(interval: str) -> dict[str, list[float | int | None]]:
        selection = Selection(device_id, None, MIDNIGHT, MIDNIGHT + 24 * HOUR)
        grid = Grid(Interval.parse(interval), ZoneInfo("UTC"))
        async with unit_of_work() as uow:
            buckets = await uow.points.aggregate(selection, grid, COUNT, limit=100)
        return {bucket.metric: [bucket.figures[each] for each in COUNT] for bucket in buckets}

    async with unit_of_work() as uow:
        brief = RetentionClass("brief", changed_at=EARLIEST, number=1, rules=1, scope=Scope(metrics="vib*"))
        await uow.retention.add(brief)
        await uow.commit()
    await write(0, 90, 200, vibration=1, temperature=2)
    while await rollups.roll_up_next():
        pass
    async with engine.begin() as connection:
        await connection.execute(DROP)

    await write(95, temperature=3)

    for interval in ("1d", "12h"):
        assert await figures(interval) == {"vibration": [3, 1, 1], "temperature": [4, 2, 2]}
    while await rollups.roll_up_next():
        pass
    assert await figures("1d") == {"vibration": [3, 1, 1], "temperature": [4, 2, 2]}
