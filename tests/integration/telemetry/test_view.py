"""Who only reads has no transaction, and takes none from who comes next on the same connection."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.intervals import Grid, Interval
from iotsphere.telemetry.model import Aggregate, Order, Reading, Selection
from repositories.availability import StoreGate
from repositories.telemetry.reading import create_telemetry_engine
from repositories.telemetry.unit_of_work import SqlAlchemyTelemetryUnitOfWork, SqlAlchemyTelemetryView

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
GRID = Grid(Interval.parse("1h"), ZoneInfo("UTC"))
IDLE = sa.text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'")


@pytest_asyncio.fixture
async def lone_connection(dsn: str) -> AsyncIterator[AsyncEngine]:
    """An engine with one connection, which all have one after the other."""
    engine = create_telemetry_engine(dsn, pool_size=1)
    yield engine
    await engine.dispose()


async def test_who_reads_leaves_no_transaction_open_and_who_writes_next_has_one(
    lone_connection: AsyncEngine, engine: AsyncEngine
) -> None:
    gate, device_id = StoreGate("telemetry"), DeviceId(uuid4())
    selection = Selection(device_id, None, NOON, NOON + timedelta(hours=1))
    write = partial(SqlAlchemyTelemetryUnitOfWork, lone_connection, gate)
    async with write() as uow:
        await uow.points.append([Reading(device_id, NOON, {"a": 1.5})], replace=False)
        await uow.commit()

    for _ in range(2):
        async with SqlAlchemyTelemetryView(lone_connection, gate) as view:
            [point] = await view.points.range(selection, order=Order.ASCENDING, after=None, limit=10)
            [bucket] = await view.points.aggregate(selection, GRID, [Aggregate.COUNT, Aggregate.AVG], limit=10)
            async with engine.connect() as observer:
                assert await observer.scalar(IDLE) == 0
        assert (point.value, bucket.figures) == (1.5, {Aggregate.COUNT: 1, Aggregate.AVG: 1.5})
        # Without a commit, nothing of it is kept.
        async with write() as uow:
            await uow.points.append([Reading(device_id, NOON, {"b": 2.5})], replace=False)
