"""A metric that has long been silent is found without going through the readings that came since."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.model import Point, Reading
from iotsphere.telemetry.ports import TelemetryUnitOfWorkFactory
from iotsphere.telemetry.rollups import RollupService
from repositories.availability import StoreGate
from repositories.telemetry.latest import FIND_BY_HOURS
from repositories.telemetry.sources import find_source
from repositories.telemetry.unit_of_work import SqlAlchemyRollupUnitOfWork
from tests.integration.telemetry.conftest import is_compressed

START = datetime(2026, 3, 1, tzinfo=UTC)
STEP = timedelta(minutes=5)
# Of three weeks.
COUNT = 6000
END = START + COUNT * STEP
# Looked at: the newest one, those of the hour that holds what is looked for, and of the last, which is stale.
MOST = 30
# By column, a thousand lie together and are unfolded together.
MOST_BY_COLUMN = 2100


async def fill(unit_of_work: TelemetryUnitOfWorkFactory, engine: AsyncEngine, device_id: DeviceId) -> Point:
    """Give the one point of a metric that falls silent, behind which all is rolled up but the last hour."""
    silent = Point(device_id, "silent", START, "off")
    readings = [Reading(device_id, START + number * STEP, {"busy": float(number)}) for number in range(1, COUNT)]
    async with unit_of_work() as uow:
        await uow.points.append([Reading(device_id, START, {"silent": "off"}), *readings], replace=False)
        await uow.commit()
    rollups = partial(SqlAlchemyRollupUnitOfWork, engine, StoreGate("telemetry"))
    while await RollupService(unit_of_work=rollups, clock=lambda: END).roll_up_next():
        pass
    async with unit_of_work() as uow:
        await uow.points.append([Reading(device_id, END, {"busy": 0.0})], replace=False)
        await uow.commit()
    return silent


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def rows_looked_at(plan: dict[str, Any]) -> int:
    """Count the rows of readings that were taken up, whether or not they were what was looked for."""
    return sum(
        round((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])
        for node in nodes(plan)
        if "Relation Name" in node and node.get("Alias", "").startswith("readings")
    )


async def test_of_readings_those_of_a_few_hours_alone_are_looked_at(
    unit_of_work: TelemetryUnitOfWorkFactory, engine: AsyncEngine, dsn: str
) -> None:
    device_id = DeviceId(uuid4())
    silent = await fill(unit_of_work, engine, device_id)
    async with unit_of_work() as uow:
        assert await uow.points.latest(device_id, ["silent"]) == [silent]

    async with engine.connect() as connection:
        source = await find_source(connection, device_id)
        assert source is not None
        places = {"metrics": ["silent"], "places": [source.places["silent"]]}
        explained = sa.text(f"EXPLAIN (ANALYZE, FORMAT JSON) {FIND_BY_HOURS}")
        [found] = (await connection.execute(explained, {"source": source.id} | places)).scalars()
    [described] = json.loads(found) if isinstance(found, str) else found

    assert 0 < rows_looked_at(described["Plan"]) <= (MOST_BY_COLUMN if is_compressed(dsn) else MOST)
