"""What PostgreSQL itself does with what is stored, and with the indexes."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from iotsphere.identity.model import Organisation
from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import OrganisationId
from iotsphere.kernel.pagination import Page, encode_cursor
from iotsphere.localstack.stack import LocalStack, create_database
from iotsphere.registry.model import Device, DeviceFilter, DeviceStatus
from repositories.migrations import upgrade
from tests.factories.identity import build_organisation
from tests.factories.registry import FIRST_DAY, build_device
from tests.integration.registry.conftest import RegistryProcess

FLEET_OWNER = OrganisationId(UUID(int=1))
FLEET = """
    INSERT INTO devices (id, organisation_id, serial_number, device_type, name, labels, status,
                         created_at, updated_at, version)
    SELECT gen_random_uuid(), %s, 'SN-' || n,
           CASE WHEN n %% 1000 = 0 THEN 'robot' ELSE 'pump' END, 'Pump ' || n,
           jsonb_build_object('site', 'site ' || n %% 2000, 'maker', 'maker ' || n %% 3),
           CASE WHEN n %% 1000 = 1 THEN 'suspended' ELSE 'active' END,
           timestamptz '2026-01-01' + n * interval '1 second', timestamptz '2026-01-01', 1
    FROM generate_series(1, 100000) AS n
"""


async def test_pages_of_a_growing_list_show_every_device_once(process: RegistryProcess, ours: Organisation) -> None:
    numbers = count()

    async def add(amount: int) -> list[Device]:
        added = [
            # Several at the same moment: there the id decides.
            build_device(organisation_id=ours.id, created_at=FIRST_DAY.replace(second=next(numbers) // 10))
            for _ in range(amount)
        ]
        async with process.unit_of_work() as uow:
            for device in added:
                await uow.devices.add(device)
            await uow.commit()
        return added

    present = await add(60)
    seen: list[Device] = []
    cursor: str | None = None
    for _ in range(100):
        page = await process.devices.list_devices(
            organisation_id=ours.id, narrowed_to=DeviceFilter(), limit=7, cursor=cursor
        )
        seen += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
        if len(present) < 120:
            present += await add(10)

    assert len(present) == 120
    assert seen == sorted(present, key=lambda device: (device.created_at, device.id))


@pytest_asyncio.fixture(scope="module")
async def fleet_dsn(stack: LocalStack) -> str:
    """A registry database of its own, with one organisation that has a hundred thousand devices."""
    dsn = await create_database(stack, "registry_fleet", timescaledb=False)
    upgrade("registry", dsn)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("INSERT INTO organisations VALUES (%s, 'Fleet', now(), 1)", [FLEET_OWNER])
        connection.execute(FLEET, [FLEET_OWNER])
        connection.execute("VACUUM ANALYZE devices")
    return dsn


@pytest_asyncio.fixture
async def fleet(fleet_dsn: str) -> AsyncIterator[RegistryProcess]:
    process = RegistryProcess(fleet_dsn)
    yield process
    await process.engine.dispose()


async def page_and_plan(
    fleet: RegistryProcess, narrowed_to: DeviceFilter, cursor: str | None = None
) -> tuple[Page[Device], str]:
    """Give a page of the fleet, and how PostgreSQL says it would find it."""
    sent: list[tuple[str, Any]] = []

    def remember(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        sent.append((statement, parameters))

    async with fleet.unit_of_work() as uow:
        sa.event.listen(fleet.engine.sync_engine, "before_cursor_execute", remember)
        page = await uow.devices.list(FLEET_OWNER, narrowed_to, limit=50, cursor=cursor)
        sa.event.remove(fleet.engine.sync_engine, "before_cursor_execute", remember)
        ((statement, parameters),) = sent
        plan = await uow._connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
        return page, "\n".join(plan.scalars())


async def test_devices_of_a_label_are_found_by_the_index_on_labels(fleet: RegistryProcess) -> None:
    page, plan = await page_and_plan(fleet, DeviceFilter(any_label=(("site", "site 7"),)))

    assert [device.serial_number for device in page.items] == [f"SN-{number}" for number in range(7, 100_000, 2_000)]
    assert "ix_devices_labels" in plan


async def test_lists_and_their_later_pages_come_in_order_from_an_index(fleet: RegistryProcess) -> None:
    cursor = encode_cursor(datetime(2026, 1, 1, 1, tzinfo=UTC), UUID(int=2**128 - 1))
    _, first_plan = await page_and_plan(fleet, DeviceFilter())
    page, later_plan = await page_and_plan(fleet, DeviceFilter(), cursor)

    assert page.items[0].serial_number == "SN-3601"
    for plan in (first_plan, later_plan):
        assert "ix_devices_organisation_id_created_at_id" in plan
        assert "Sort" not in plan
    assert "ROW(" in later_plan.partition("Index Cond:")[2].partition("\n")[0]


@pytest.mark.parametrize(
    ("narrowed_to", "numbers", "index"),
    [
        (
            DeviceFilter(device_type="robot"),
            range(4_000, 54_000, 1_000),
            "ix_devices_organisation_id_device_type_created_at_id",
        ),
        (
            DeviceFilter(status=DeviceStatus.SUSPENDED),
            range(4_001, 54_001, 1_000),
            "ix_devices_organisation_id_status_created_at_id",
        ),
    ],
)
async def test_the_few_of_a_kind_come_in_order_from_an_index(
    fleet: RegistryProcess, narrowed_to: DeviceFilter, numbers: range, index: str
) -> None:
    cursor = encode_cursor(datetime(2026, 1, 1, 1, tzinfo=UTC), UUID(int=2**128 - 1))

    page, plan = await page_and_plan(fleet, narrowed_to, cursor)

    assert [device.serial_number for device in page.items] == [f"SN-{number}" for number in numbers]
    assert index in plan
    assert "Sort" not in plan
    assert "ROW(" in plan.partition("Index Cond:")[2].partition("\n")[0]


async def test_a_page_of_a_label_that_many_have_reads_no_more_than_it_shows(fleet: RegistryProcess) -> None:
    page, plan = await page_and_plan(fleet, DeviceFilter(any_label=(("maker", "maker 1"),)))

    assert [device.serial_number for device in page.items] == [f"SN-{number}" for number in range(1, 151, 3)]
    assert "ix_devices_organisation_id_created_at_id" in plan
    assert "Sort" not in plan


async def test_a_text_that_nobody_has_is_looked_for_in_a_large_fleet_in_time(fleet: RegistryProcess) -> None:
    """There is no index for this: the statement's time-out would refuse it."""
    page, _ = await page_and_plan(fleet, DeviceFilter(q="nowhere"))

    assert page.items == []


@pytest.mark.parametrize("field", ["serial_number", "name"])
async def test_a_text_that_only_postgresql_refuses_is_not_half_stored(
    process: RegistryProcess, ours: Organisation, field: str
) -> None:
    with pytest.raises(sa.exc.DBAPIError):
        await process.register(ours, **{field: "\0"})

    page = await process.devices.list_devices(
        organisation_id=ours.id, narrowed_to=DeviceFilter(), limit=5, cursor=None
    )
    assert page.items == []


async def test_a_device_needs_an_organisation(process: RegistryProcess) -> None:
    with pytest.raises(IntegrityError, match="fk_devices_organisation_id"):
        await process.register(build_organisation())


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE devices SET status = 'broken' WHERE id = :id",
        "UPDATE devices SET serial_number = NULL WHERE id = :id",
    ],
)
async def test_the_database_refuses_what_no_device_is(
    process: RegistryProcess, ours: Organisation, statement: str
) -> None:
    device, _ = await process.register(ours)

    async with process.engine.connect() as connection:
        with pytest.raises(IntegrityError):
            await connection.execute(sa.text(statement), {"id": device.id})


async def test_an_error_does_not_show_what_the_statement_carried(process: RegistryProcess) -> None:
    secret = str(uuid4())

    with pytest.raises(IntegrityError) as refusal:
        await process.register(build_organisation(), name=secret)

    assert secret not in str(refusal.value)


async def test_a_statement_that_is_too_much_is_refused_to_whoever_asks_and_closes_the_store_to_nobody(
    process: RegistryProcess,
) -> None:
    with pytest.raises(UnavailableError, match="busy"):
        async with process.unit_of_work() as uow:
            await uow._connection.execute(sa.text("SELECT pg_sleep(30)"))

    process.gate.enter()


async def test_the_server_gives_up_before_we_do(process: RegistryProcess) -> None:
    async with process.engine.connect() as connection:
        settings = {
            name: await connection.scalar(sa.text(f"SHOW {name}"))
            for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
        }

    assert settings == {
        "statement_timeout": "1900ms",
        "lock_timeout": "1800ms",
        "idle_in_transaction_session_timeout": "10s",
    }
