"""What PostgreSQL itself does to what is stored, and with the indexes."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import msgspec
import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from iotsphere.assets.model import Asset, AssetFilter
from iotsphere.assets.service import AssetService
from iotsphere.kernel.identifiers import OrganisationId
from iotsphere.kernel.pagination import Page
from iotsphere.localstack.stack import LocalStack, create_database
from repositories.assets.unit_of_work import SqlAlchemyAssetsUnitOfWork
from repositories.availability import StoreGate
from repositories.migrations import upgrade
from repositories.sql import create_store_engine

ROWS = 20_000
FLEET_OWNER = OrganisationId(uuid4())

FLEET = sa.text("""
    INSERT INTO assets
        (id, organisation_id, asset_type, name, properties, capabilities, created_at, updated_at, version)
    SELECT gen_random_uuid(), CAST(:organisation_id AS uuid),
           CASE WHEN n % 50 = 0 THEN 'robot' ELSE 'pump' END, 'A' || n,
           jsonb_build_object('serial', n, 'manufacturer', 'Maker ' || n % 10), '[]',
           timestamptz '2026-01-01' + n * interval '1 second', timestamptz '2026-01-01', 1
    FROM generate_series(1, CAST(:rows AS integer)) AS n
""")


@pytest.fixture
def ours() -> OrganisationId:
    return OrganisationId(uuid4())


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ('{"b":1,"a":2,"aa":3}', '{"a":2,"b":1,"aa":3}'),
        ('{"a":1e2}', '{"a":100.0}'),
        ('{"a":1e22}', '{"a":10000000000000000000000}'),
        ('{"a":-0.0}', '{"a":0.0}'),
        ('{"a":1,"a":2}', '{"a":2}'),
        ('{"a":1.50}', '{"a":1.5}'),
    ],
)
async def test_jsonb_normalises_notation_alone(
    service: AssetService, ours: OrganisationId, written: str, kept: str
) -> None:
    asset = await service.add_asset(
        added_by="user:1", organisation_id=ours, asset_type="pump", name="P", properties=msgspec.json.decode(written)
    )

    found = await service.get_asset(organisation_id=ours, asset_id=asset.id)

    assert msgspec.json.encode(found.properties) == kept.encode()
    assert found.properties == asset.properties


@pytest_asyncio.fixture(scope="module")
async def fleet_engine(stack: LocalStack) -> AsyncIterator[AsyncEngine]:
    """A database in which two organisations have many assets each, with statistics up to date."""
    dsn = await create_database(stack, "assets_fleet", timescaledb=False)
    upgrade("assets", dsn)
    engine = create_store_engine(dsn, command_seconds=60)
    async with engine.begin() as connection:
        # What is sorted by properties is not looked at here, and takes most of the time to keep.
        await connection.execute(sa.text("ALTER TABLE assets DISABLE TRIGGER property_values_added"))
        for owner in (FLEET_OWNER, uuid4()):
            await connection.execute(FLEET, {"organisation_id": owner, "rows": ROWS})
        await connection.execute(sa.text("ANALYZE assets"))
    yield engine
    await engine.dispose()


async def list_with_plan(
    engine: AsyncEngine, narrowed_to: AssetFilter, *, limit: int = 50, cursor: str | None = None
) -> tuple[Page[Asset], str]:
    """Give a page, and how PostgreSQL says it would find it."""
    sent: list[tuple[str, Any]] = []

    def remember(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        sent.append((statement, parameters))

    sa.event.listen(engine.sync_engine, "before_cursor_execute", remember)
    async with SqlAlchemyAssetsUnitOfWork(engine, StoreGate("assets")) as uow:
        page = await uow.assets.list(FLEET_OWNER, narrowed_to, limit=limit, cursor=cursor)
    sa.event.remove(engine.sync_engine, "before_cursor_execute", remember)
    ((statement, parameters),) = sent
    async with engine.connect() as connection:
        plan = await connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
        return page, "\n".join(plan.scalars())


@pytest.mark.parametrize("match", [{"serial": 19_999}, {"serial": -1}, {"serial": 7, "manufacturer": "Maker 7"}])
async def test_few_matches_are_found_by_the_index_on_properties(
    fleet_engine: AsyncEngine, match: dict[str, Any]
) -> None:
    page, plan = await list_with_plan(fleet_engine, AssetFilter(match=match))

    assert [asset.properties["serial"] for asset in page.items] == [s for s in [match["serial"]] if s > 0]
    assert "ix_assets_organisation_id_properties" in plan


@pytest.mark.parametrize(
    ("narrowed_to", "index"),
    [
        (AssetFilter(), "ix_assets_organisation_id_created_at_id"),
        (AssetFilter(asset_type="robot"), "ix_assets_organisation_id_asset_type_created_at_id"),
    ],
)
async def test_lists_and_their_later_pages_come_in_order_from_an_index(
    fleet_engine: AsyncEngine, narrowed_to: AssetFilter, index: str
) -> None:
    first, first_plan = await list_with_plan(fleet_engine, narrowed_to)
    second, second_plan = await list_with_plan(fleet_engine, narrowed_to, cursor=first.next_cursor)

    serials = [asset.properties["serial"] for asset in first.items + second.items]
    assert serials == sorted(set(serials))
    for plan in (first_plan, second_plan):
        assert index in plan
        assert "Sort" not in plan
    assert "ROW(" in second_plan.partition("Index Cond:")[2].partition("\n")[0]
