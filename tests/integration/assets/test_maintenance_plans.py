"""Where PostgreSQL finds the events of a large log."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from iotsphere.assets.maintenance_event import MaintenanceEvent, MaintenanceFilter, MaintenanceKind
from iotsphere.kernel.identifiers import DeviceId, OrganisationId
from iotsphere.kernel.pagination import Page
from iotsphere.localstack.stack import LocalStack, create_database
from repositories.assets.unit_of_work import SqlAlchemyAssetsUnitOfWork
from repositories.availability import StoreGate
from repositories.migrations import upgrade
from repositories.sql import create_store_engine

ROWS = 40_000
DEVICES = 400
OWNER = OrganisationId(uuid4())
PREFIX = "ix_maintenance_events_"

LOG = sa.text("""
    INSERT INTO maintenance_events
        (id, organisation_id, device_id, kind, component, occurred_at, notes, cost, recorded_by, recorded_at)
    SELECT gen_random_uuid(), CAST(:organisation_id AS uuid),
           CAST(lpad(to_hex(n % :devices), 8, '0') || right(CAST(:organisation_id AS text), 28) AS uuid),
           CASE WHEN n % 1000 = 0 THEN 'installation' WHEN n % 3 = 0 THEN 'failure' ELSE 'inspection' END,
           CASE WHEN n % 500 = 0 THEN 'motor' WHEN n % 4 = 0 THEN NULL ELSE 'seal' END,
           timestamptz '2020-01-01' + n * interval '1 hour', repeat('What was done. ', 10), n, 'user:1', now()
    FROM generate_series(1, CAST(:rows AS integer)) AS n
""")


def device(number: int) -> DeviceId:
    return DeviceId(UUID(f"{number:08x}{str(OWNER)[8:]}"))


@pytest_asyncio.fixture(scope="module")
async def log_engine(stack: LocalStack) -> AsyncIterator[AsyncEngine]:
    """A database in which two organisations have a log of many devices, with statistics up to date."""
    dsn = await create_database(stack, "maintenance_log", timescaledb=False)
    upgrade("assets", dsn)
    engine = create_store_engine(dsn, command_seconds=60)
    async with engine.begin() as connection:
        for owner in (OWNER, uuid4()):
            await connection.execute(LOG, {"organisation_id": str(owner), "rows": ROWS, "devices": DEVICES})
        await connection.execute(sa.text("ANALYZE maintenance_events"))
    yield engine
    await engine.dispose()


async def list_with_plan(
    engine: AsyncEngine, narrowed_to: MaintenanceFilter, cursor: str | None = None
) -> tuple[Page[MaintenanceEvent], str]:
    """Give a page, and how PostgreSQL says it would find it."""
    sent: list[tuple[str, Any]] = []

    def remember(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        sent.append((statement, parameters))

    sa.event.listen(engine.sync_engine, "before_cursor_execute", remember)
    async with SqlAlchemyAssetsUnitOfWork(engine, StoreGate("assets")) as uow:
        page = await uow.maintenance_events.list(OWNER, narrowed_to, limit=50, cursor=cursor)
    sa.event.remove(engine.sync_engine, "before_cursor_execute", remember)
    ((statement, parameters),) = sent
    async with engine.connect() as connection:
        plan = await connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
        return page, "\n".join(plan.scalars())


MIDDLE = datetime(2022, 6, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("narrowed_to", "index"),
    [
        (MaintenanceFilter(), "organisation_id_occurred_at_id"),
        (MaintenanceFilter(start=MIDDLE), "organisation_id_occurred_at_id"),
        (MaintenanceFilter(device_ids=frozenset([device(7)])), "device_id_occurred_at_id"),
        (
            MaintenanceFilter(device_ids=frozenset([device(7)]), kind=MaintenanceKind.INSPECTION),
            "device_id_occurred_at_id",
        ),
        (MaintenanceFilter(kind=MaintenanceKind.INSTALLATION), "organisation_id_kind_occurred_at_id"),
        (MaintenanceFilter(component="motor"), "organisation_id_component"),
        (MaintenanceFilter(component="motor", kind=MaintenanceKind.FAILURE), "organisation_id_component"),
        # As whoever fits the lives of a component of many devices asks.
        (MaintenanceFilter(component="motor", device_ids=frozenset(map(device, range(150)))), ""),
        (MaintenanceFilter(component="seal", kind=MaintenanceKind.FAILURE, start=MIDDLE), "organisation_id"),
    ],
)
async def test_pages_of_a_large_log_are_found_by_index(
    log_engine: AsyncEngine, narrowed_to: MaintenanceFilter, index: str
) -> None:
    first, plan = await list_with_plan(log_engine, narrowed_to)

    assert first.items
    assert f"{PREFIX}{index}" in plan, plan
    assert "Seq Scan" not in plan
    times = [event.occurred_at for event in first.items]
    assert times == sorted(times)


@pytest.mark.parametrize(
    "narrowed_to",
    [
        MaintenanceFilter(),
        MaintenanceFilter(kind=MaintenanceKind.FAILURE),
        MaintenanceFilter(component="seal"),
    ],
)
async def test_later_pages_begin_where_the_index_says(
    log_engine: AsyncEngine, narrowed_to: MaintenanceFilter
) -> None:
    first, _ = await list_with_plan(log_engine, narrowed_to)
    second, plan = await list_with_plan(log_engine, narrowed_to, cursor=first.next_cursor)

    times = [event.occurred_at for event in first.items + second.items]
    assert times == sorted(set(times))
    assert "Sort" not in plan
    assert "ROW(" in plan.partition("Index Cond:")[2].partition("\n")[0]


async def test_what_is_nowhere_in_a_large_log_is_looked_for_in_an_index(log_engine: AsyncEngine) -> None:
    page, plan = await list_with_plan(log_engine, MaintenanceFilter(component="rotor"))

    assert page.items == []
    assert f"{PREFIX}organisation_id_component" in plan, plan
