"""What it costs PostgreSQL to look at the history of an asset with very many versions, beside those of others."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.assets.change import AssetChange
from iotsphere.kernel.identifiers import AssetId, OrganisationId
from iotsphere.kernel.pagination import encode_cursor
from repositories.assets.changes import SqlAlchemyAssetChangeRepository
from repositories.sql import create_store_engine

OURS, BUSY, QUIET = OrganisationId(uuid4()), AssetId(uuid4()), AssetId(UUID(int=0))
VERSIONS = 5_000
START = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)

# One is changed every second, four thousand others twice; one has no history.
ASSETS = sa.text("""
    INSERT INTO assets (id, organisation_id, asset_type, name, properties, capabilities, created_at, updated_at,
                        version)
    SELECT CASE n WHEN 0 THEN :quiet WHEN 1 THEN CAST(:busy AS uuid) ELSE gen_random_uuid() END, :ours, 'pump', 'P',
           '{}', '[]', :start, :start, CASE n WHEN 1 THEN CAST(:versions AS integer) ELSE 2 END
    FROM generate_series(0, 4000) AS n
""")
CHANGES = sa.text("""
    INSERT INTO asset_changes (asset, version, changed_at, actor, patch, whole)
    SELECT number, n, CAST(:start AS timestamptz) + n * interval '1 second', 'user:1', '{}',
           CASE WHEN n % 20 = 1 THEN '{}'::jsonb END
    FROM assets, generate_series(1, version) AS n WHERE organisation_id = :ours AND id <> :quiet
""")
# What the connection has done lately.
TOUCHED = sa.text("""
    SELECT coalesce(sum(seq_scan), 0) AS scans, coalesce(sum(idx_tup_fetch), 0) AS fetched
    FROM pg_stat_xact_user_tables WHERE relname IN ('assets', 'asset_changes')
""")


@pytest_asyncio.fixture(params=["force_custom_plan", "force_generic_plan"])
async def connection(request: pytest.FixtureRequest, assets_dsn: str) -> AsyncIterator[AsyncConnection]:
    """To a database with that history, which goes with the transaction."""
    engine = create_store_engine(assets_dsn, command_seconds=60)
    async with engine.connect() as connection:
        await connection.execute(sa.text(f"SET LOCAL plan_cache_mode = {request.param}"))
        given = {"ours": OURS, "busy": BUSY, "quiet": QUIET, "start": START}
        await connection.execute(ASSETS, given | {"versions": VERSIONS})
        await connection.execute(CHANGES, {name: given[name] for name in ("ours", "quiet", "start")})
        await connection.execute(sa.text("ANALYZE assets, asset_changes"))
        yield connection
        await connection.rollback()
    await engine.dispose()


Look = Callable[[SqlAlchemyAssetChangeRepository], Awaitable[int | None]]


async def first_page(changes: SqlAlchemyAssetChangeRepository) -> int:
    return len((await changes.list(OURS, BUSY, start=None, end=None, limit=50, cursor=None)).items)


async def late_page(changes: SqlAlchemyAssetChangeRepository) -> int:
    cursor = encode_cursor(START + 3_000 * SECOND, 3_000)
    return len((await changes.list(OURS, BUSY, start=None, end=None, limit=50, cursor=cursor)).items)


async def page_of_a_while(changes: SqlAlchemyAssetChangeRepository) -> int:
    start, end = START + 2_000 * SECOND, START + 2_010 * SECOND
    return len((await changes.list(OURS, BUSY, start=start, end=end, limit=50, cursor=None)).items)


async def page_without_history(changes: SqlAlchemyAssetChangeRepository) -> int:
    return len((await changes.list(OURS, QUIET, start=None, end=None, limit=50, cursor=None)).items)


async def version_at_a_time(changes: SqlAlchemyAssetChangeRepository) -> int | None:
    return await changes.find_version_at(OURS, BUSY, START + 3_000 * SECOND)


async def version_before_all(changes: SqlAlchemyAssetChangeRepository) -> int | None:
    return await changes.find_version_at(OURS, BUSY, START)


async def one_version(changes: SqlAlchemyAssetChangeRepository) -> int:
    return len(await changes.list_since_whole(OURS, BUSY, version=3_000))


async def one_more(changes: SqlAlchemyAssetChangeRepository) -> None:
    await changes.add(AssetChange(OURS, BUSY, VERSIONS + 1, START + 9_000 * SECOND, "user:1", patch={"name": "Q"}))


LOOKS: list[tuple[Look, int | None]] = [
    (first_page, 50),
    (late_page, 50),
    (page_of_a_while, 10),
    (page_without_history, 1),
    (version_at_a_time, 3_000),
    (version_before_all, None),
    (one_version, 20),
    (one_more, None),
]


async def test_nothing_goes_through_a_history_to_see_some_of_it(connection: AsyncConnection) -> None:
    for look, seen in LOOKS:
        before = (await connection.execute(TOUCHED)).one()

        assert await look(SqlAlchemyAssetChangeRepository(connection)) == seen

        after = (await connection.execute(TOUCHED)).one()
        assert after.scans - before.scans == 0, look
        assert after.fetched - before.fetched < 120, look
