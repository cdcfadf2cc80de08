"""What it costs PostgreSQL to look at a tree of a hundred thousand assets beside another one, and to move in it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from iotsphere.assets.model import Asset
from iotsphere.assets.place import MAX_LEVELS, encode_place
from iotsphere.assets.relationship import Direction, RelationshipFilter
from iotsphere.assets.search import AssetFilter
from iotsphere.assets.service import AssetService
from iotsphere.kernel.clock import utc_now
from iotsphere.kernel.identifiers import AssetId, OrganisationId
from iotsphere.kernel.pagination import Page
from iotsphere.localstack.stack import LocalStack, create_database
from repositories.assets.asset_files import SqlAlchemyAssetFileRepository
from repositories.assets.assets import SqlAlchemyAssetRepository
from repositories.assets.places import SqlAlchemyPlaceRepository
from repositories.assets.relationships import SqlAlchemyRelationshipRepository
from repositories.assets.unit_of_work import SqlAlchemyAssetsUnitOfWork
from repositories.availability import StoreGate
from repositories.migrations import upgrade
from repositories.sql import create_store_engine

SIZE = 100_000
OURS, THEIRS = OrganisationId(uuid4()), OrganisationId(uuid4())

# A site, ten buildings, a hundred lines, 9 081 machines, and devices. The n-th has an id that can be worked out.
FOREST = sa.text("""
    INSERT INTO assets (id, organisation_id, asset_type, name, properties, capabilities, created_at, updated_at,
                        version, parent_id)
    SELECT md5(owner || n)::uuid, owner::uuid, 'pump', 'A' || n, '{}', '[]',
           timestamptz '2026-01-01' + n * interval '1 second', timestamptz '2026-01-01', 1,
           CASE WHEN n = 1 THEN NULL
                WHEN n <= 11 THEN md5(owner || 1)::uuid
                WHEN n <= 111 THEN md5(owner || 2 + (n - 12) % 10)::uuid
                WHEN n <= 9192 THEN md5(owner || 12 + (n - 112) % 100)::uuid
                ELSE md5(owner || 112 + (n - 9193) % 9081)::uuid END
    FROM (SELECT CAST(:owner AS text) AS owner) AS whose, generate_series(1, CAST(:size AS integer)) AS n
    ORDER BY n
""")
PLACES = sa.text("""
    INSERT INTO places (number, path)
    WITH RECURSIVE tree AS (
        SELECT id, number, int8send(number) AS path FROM assets WHERE parent_id IS NULL
        UNION ALL
        SELECT child.id, child.number, tree.path || int8send(child.number)
        FROM tree JOIN assets child ON child.parent_id = tree.id
    )
    SELECT number, path FROM tree
""")
# The gateway, the first device, has to do with ten thousand others, both ways.
RELATIONSHIPS = sa.text("""
    INSERT INTO relationships
    SELECT owner::uuid, md5(owner || CASE way WHEN 1 THEN 9193 ELSE n END)::uuid,
           CASE WHEN n % 1000 = 0 THEN 'serves' ELSE 'connects' END,
           md5(owner || CASE way WHEN 1 THEN n ELSE 9193 END)::uuid,
           '{}', timestamptz '2026-01-01', timestamptz '2026-01-01', 1
    FROM (SELECT CAST(:owner AS text) AS owner) AS whose, generate_series(10001, 20000) AS n,
         generate_series(1, 2) AS way
""")
# What the connection has done lately. Of parallel workers it does not tell, but where they are there is a leader.
TOUCHED = sa.text("""
    SELECT coalesce(sum(seq_scan), 0) AS scans, coalesce(sum(idx_tup_fetch), 0) AS fetched,
           coalesce(sum(n_tup_upd), 0) AS updated
    FROM pg_stat_xact_user_tables WHERE relname IN ('assets', 'places', 'relationships')
""")


@dataclass(frozen=True)
class Touched:
    """How often a table was gone through from end to end, and how many rows were fetched by an index, or updated."""

    scans: int
    fetched: int
    updated: int


@dataclass(frozen=True)
class Forest:
    """A transaction in the database of the two trees, with which nothing is committed."""

    connection: AsyncConnection

    async def touched(self) -> Touched:
        row = (await self.connection.execute(TOUCHED)).one()
        return Touched(int(row.scans), int(row.fetched), int(row.updated))

    async def touched_since(self, before: Touched) -> Touched:
        now = await self.touched()
        return Touched(now.scans - before.scans, now.fetched - before.fetched, now.updated - before.updated)

    @property
    def assets(self) -> SqlAlchemyAssetRepository:
        return SqlAlchemyAssetRepository(self.connection)

    @property
    def files(self) -> SqlAlchemyAssetFileRepository:
        return SqlAlchemyAssetFileRepository(self.connection)

    @property
    def places(self) -> SqlAlchemyPlaceRepository:
        return SqlAlchemyPlaceRepository(self.connection)

    @property
    def relationships(self) -> SqlAlchemyRelationshipRepository:
        return SqlAlchemyRelationshipRepository(self.connection)

    async def id_of(self, n: int) -> AssetId:
        id_: UUID = await self.connection.scalar(
            sa.text("SELECT md5(CAST(:owner AS text) || CAST(:n AS integer))::uuid"), {"owner": str(OURS), "n": n}
        )
        return AssetId(id_)

    async def cursor_of_last(self, top: int, last: int) -> str:
        """Make the cursor behind the ``last`` one, seen from ``top``."""
        above = await self.places.get(OURS, await self.id_of(top))
        return encode_place((await self.places.get(OURS, await self.id_of(last)))[len(above) :])


@pytest_asyncio.fixture(scope="module")
async def forest_dsn(stack: LocalStack) -> str:
    dsn = await create_database(stack, "assets_forest", timescaledb=False)
    upgrade("assets", dsn)
    return dsn


@pytest_asyncio.fixture(scope="module")
async def forest_engine(forest_dsn: str) -> AsyncIterator[AsyncEngine]:
    """To a database in which two organisations have a tree each, with statistics up to date."""
    engine = create_store_engine(forest_dsn, command_seconds=120)
    async with engine.begin() as connection:
        # Parents come in one statement with their children, which the trigger does not take.
        await connection.execute(sa.text("ALTER TABLE assets DISABLE TRIGGER asset_added"))
        # Nobody looks by these here, and to keep them takes most of the time.
        for columns in ("name_prefixes", "name_id", "properties"):
            await connection.execute(sa.text(f"DROP INDEX ix_assets_organisation_id_{columns}"))
        for owner in (OURS, THEIRS):
            await connection.execute(FOREST, {"owner": str(owner), "size": SIZE})
        await connection.execute(PLACES)
        await connection.execute(sa.text("ALTER TABLE assets ENABLE TRIGGER asset_added"))
        await connection.execute(RELATIONSHIPS, {"owner": str(OURS)})
    async with engine.connect() as connection:
        vacuuming = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await vacuuming.execute(sa.text("VACUUM ANALYZE"))
    yield engine
    await engine.dispose()


@pytest_asyncio.fixture(params=["force_custom_plan", "force_generic_plan"])
async def forest(request: pytest.FixtureRequest, forest_engine: AsyncEngine) -> AsyncIterator[Forest]:
    """With the plan for these parameters, and with the one for any, to which a statement changes in the long run."""
    async with forest_engine.connect() as connection:
        await connection.execute(sa.text(f"SET LOCAL plan_cache_mode = {request.param}"))
        yield Forest(connection)
        await connection.rollback()


async def all_below(forest: Forest, top: int, *, cursor: str | None = None, depth: int = MAX_LEVELS) -> Page[Asset]:
    top_id = await forest.id_of(top)
    return await forest.places.list_descendants(OURS, top_id, depth=depth, limit=100, cursor=cursor)


Look = Callable[[Forest], Awaitable[int]]


async def first_page(forest: Forest) -> int:
    return len((await all_below(forest, 1)).items)


async def late_page(forest: Forest) -> int:
    cursor = await forest.cursor_of_last(1, 9_000)
    return len((await all_below(forest, 1, cursor=cursor)).items)


async def children(forest: Forest) -> int:
    return len((await all_below(forest, 1, depth=1)).items)


async def grandchildren(forest: Forest) -> int:
    return len((await all_below(forest, 1, depth=2)).items)


async def some_below_a_machine(forest: Forest) -> int:
    return len((await all_below(forest, 112)).items)


async def none_below_a_device(forest: Forest) -> int:
    return len((await all_below(forest, SIZE)).items)


async def ancestors(forest: Forest) -> int:
    page = await forest.places.list_ancestors(OURS, await forest.id_of(SIZE), limit=50, cursor=None)
    return len(page.items)


async def count_as_far_as_needed(forest: Forest) -> int:
    return await forest.places.count(await forest.places.get(OURS, await forest.id_of(1)), at_most=101)


async def relationships_out(forest: Forest) -> int:
    return await _related(forest, Direction.OUT)


async def relationships_in(forest: Forest) -> int:
    return await _related(forest, Direction.IN)


async def relationships_of_a_type(forest: Forest) -> int:
    return await _related(forest, Direction.IN, "serves")


async def _related(forest: Forest, direction: Direction, type_name: str | None = None) -> int:
    narrowed_to = RelationshipFilter(await forest.id_of(9193), direction, type_name)
    return len((await forest.relationships.list(OURS, narrowed_to, limit=100, cursor=None)).items)


async def page_of_a_file(forest: Forest) -> int:
    first = await forest.files.list(OURS, AssetFilter(), limit=50, cursor=None)
    page = await forest.files.list(OURS, AssetFilter(), limit=50, cursor=first.next_cursor)
    return len(first.items) + len(page.items)


async def page_of_a_file_of_a_line(forest: Forest) -> int:
    page = await forest.files.list(OURS, AssetFilter(ancestor=await forest.id_of(12)), limit=100, cursor=None)
    return len(page.items)


async def lines_of_a_file(forest: Forest) -> int:
    ids = [await forest.id_of(n) for n in range(SIZE - 49, SIZE + 1)]
    known = await forest.files.find_known(OURS, asset_ids=ids, device_ids=())
    return len(known) + len(await forest.files.find_places(OURS, ids))


async def removal(forest: Forest) -> int:
    """Which looks for children, for relationships and for the place."""
    await forest.assets.remove(await forest.assets.get(OURS, await forest.id_of(SIZE)))
    return 1


@pytest.mark.parametrize(
    ("look", "seen"),
    [
        (first_page, 100),
        (late_page, 100),
        (children, 10),
        (grandchildren, 100),
        (some_below_a_machine, 10),
        (none_below_a_device, 0),
        (ancestors, 4),
        (count_as_far_as_needed, 101),
        (relationships_out, 100),
        (relationships_in, 100),
        (relationships_of_a_type, 10),
        (page_of_a_file, 100),
        (page_of_a_file_of_a_line, 100),
        (lines_of_a_file, 100),
        (removal, 1),
    ],
)
async def test_nothing_goes_through_a_table_to_see_some_of_it(forest: Forest, look: Look, seen: int) -> None:
    before = await forest.touched()

    assert await look(forest) == seen

    touched = await forest.touched_since(before)
    assert touched.scans == 0
    assert touched.fetched < 500


async def test_a_small_move_in_a_large_tree_writes_what_is_moved_alone(forest: Forest) -> None:
    moved, target = await forest.id_of(112), await forest.id_of(13)
    below = (await all_below(forest, 112)).items
    before = await forest.touched()

    await forest.places.save(await forest.places.get(OURS, moved), below=await forest.places.get(OURS, target))

    touched = await forest.touched_since(before)
    assert (touched.scans, touched.updated) == (0, len(below) + 1)
    above = await forest.places.list_ancestors(OURS, below[0].id, limit=50, cursor=None)
    assert [asset.name for asset in above.items] == ["A1", "A3", "A13", "A112"]


async def test_a_hundred_thousand_are_moved_at_once(forest_dsn: str, forest_engine: AsyncEngine) -> None:
    gate = StoreGate("assets")
    engine = create_store_engine(forest_dsn)
    service = AssetService(
        unit_of_work=partial(SqlAlchemyAssetsUnitOfWork, engine, gate),
        moving=partial(SqlAlchemyAssetsUnitOfWork, forest_engine, gate),
        clock=utc_now,
        new_id=uuid4,
    )
    async with forest_engine.connect() as connection:
        top_id = await Forest(connection).id_of(1)
        bottom_id = await Forest(connection).id_of(SIZE)
    group = await service.add_asset(added_by="user:1", organisation_id=OURS, asset_type="group", name="Group")

    for parent_id, names in ((group.id, ["Group", "A1"]), (None, ["A1"])):
        await service.change_asset(
            changed_by="user:1",
            organisation_id=OURS,
            asset_id=top_id,
            patch={"parent_id": parent_id},
            expected_version=None,
        )
        above = await service.list_ancestors(organisation_id=OURS, asset_id=bottom_id, limit=50, cursor=None)
        assert [asset.name for asset in above.items][: len(names)] == names
        assert len(above.items) == 3 + len(names)
    await engine.dispose()
