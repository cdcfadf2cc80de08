"""What it costs PostgreSQL to search among 160 000 assets of an organisation, beside 40 000 of another one."""

from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from itertools import chain, count, repeat
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from iotsphere.assets.errors import SearchOrderError, SearchTooCostlyError
from iotsphere.assets.predicate import read_predicate
from iotsphere.assets.relationship import Direction
from iotsphere.assets.search import AssetFilter, RelatedTo, read_order
from iotsphere.assets.search_position import AssetQuestion
from iotsphere.kernel.identifiers import AssetId, DeviceId, OrganisationId
from iotsphere.localstack.stack import LocalStack, create_database
from repositories.assets.search import SEARCH_SETTINGS, SqlAlchemyAssetSearchRepository
from repositories.assets.search_conditions import find_conditions
from repositories.assets.search_narrowing import everything, narrowings
from repositories.assets.search_statements import estimate, estimated
from repositories.assets.values import find_paths
from repositories.migrations import upgrade
from repositories.sql import create_store_engine

SIZE, THEIR_SIZE = 160_000, 40_000
# In this order the planner takes ours to lie scattered, and would rather sort all of them than walk along an index.
THEIRS, OURS = sorted(OrganisationId(uuid4()) for _ in range(2))
SITE, HALL, TANK = (AssetId(UUID(int=number)) for number in (1, 2, 3))
# Those of a short walk, then the candidates, those of a long walk, and what is shown.
MOST_FETCHED = 5_000 + 10_001 + 20_000 + 101
# No values are kept of a path that is so long.
UNKEPT = "x" * 257

# One in forty is of each maker. The last 20 000 are late, in the site are all but the first 100 000, and 500 of these
# in its hall. Elsewhere is what the other organisation's are, and none of ours.
FLEET = sa.text("""
    INSERT INTO assets (id, organisation_id, asset_type, name, properties, capabilities, created_at, updated_at,
                        version, parent_id)
    SELECT md5(owner || n)::uuid, owner::uuid, CASE WHEN n % 500 = 0 THEN 'robot' ELSE 'pump' END,
           CASE WHEN n % 1000 = 0 THEN 'S' ELSE 'P' END || n,
           jsonb_build_object('serial', n, 'volts', CASE n % 2 WHEN 0 THEN 230 ELSE 400 END, 'maker', 'M' || n % 40,
                              'kw', n * 7919 % 1000 / 10.0)
           || CASE WHEN size < 100000 THEN '{"batch": "elsewhere"}' WHEN n > 140000 THEN '{"batch": "late"}'
                   ELSE '{}' END::jsonb,
           '[]', timestamptz '2026-01-01' + n * interval '1 second', timestamptz '2026-01-01', 1,
           CASE WHEN size < 100000 OR n <= 100000 THEN NULL WHEN n % 120 = 0 THEN CAST(:hall AS uuid)
                ELSE CAST(:site AS uuid) END
    FROM (SELECT CAST(:owner AS text) AS owner, CAST(:size AS integer) AS size) AS whose,
         generate_series(1, size) AS n
    ORDER BY n
""")
PLACE = sa.text("""
    INSERT INTO assets (id, organisation_id, asset_type, name, properties, capabilities, created_at, updated_at,
                        version, parent_id)
    VALUES (CAST(:id AS uuid), CAST(:owner AS uuid), 'place', 'Place', '{}', '[]', timestamptz '2026-01-01',
            timestamptz '2026-01-01', 1, CAST(:above AS uuid))
""")
# Of what is in the tree that is asked for.
PLACES = sa.text("""
    INSERT INTO places (number, path)
    WITH RECURSIVE tree AS (
        SELECT id, number, int8send(number) AS path FROM assets WHERE asset_type = 'place' AND parent_id IS NULL
        UNION ALL
        SELECT child.id, child.number, tree.path || int8send(child.number)
        FROM tree JOIN assets child ON child.parent_id = tree.id
    )
    SELECT number, path FROM tree
""")
# The values of two properties are kept here, of as many as there usually may be.
PATHS = sa.text("""
    INSERT INTO property_paths (organisation_id, name)
    SELECT organisation_id, ARRAY[name] FROM unnest(CAST(:owners AS uuid[])) AS organisation_id,
         unnest(ARRAY['kw', 'maker']) AS name
""")
VALUES = sa.text("""
    INSERT INTO property_values (path, kind, num, txt, asset)
    SELECT path, CASE keys WHEN '{kw}' THEN 0 ELSE 1 END,
           CASE keys WHEN '{kw}' THEN (properties ->> 'kw')::float ELSE 0 END,
           CASE keys WHEN '{kw}' THEN '' ELSE properties ->> 'maker' END, number
    FROM assets JOIN (SELECT organisation_id, name AS keys, path FROM property_paths) AS paths USING (organisation_id)
    WHERE properties ? 'kw' ORDER BY path, 2, 3, 4, number
""")
# To the tank lead as many relationships as there are robots.
RELATIONSHIPS = sa.text("""
    INSERT INTO relationships (organisation_id, asset_id, type, other_id, properties, created_at, updated_at, version)
    SELECT organisation_id, id, 'feeds', CAST(:tank AS uuid), '{}', created_at, created_at, 1
    FROM assets WHERE organisation_id = CAST(:owner AS uuid) AND asset_type = 'robot'
""")
INDEXES = sa.text("""
    SELECT indexname, indexdef FROM pg_indexes
    WHERE tablename = 'assets' AND indexname LIKE 'ix\\_assets\\_organisation\\_id%'
""")
# What the connection has done lately.
TOUCHED = sa.text("""
    SELECT coalesce(sum(seq_scan), 0) AS scans,
           coalesce(sum(idx_tup_fetch) FILTER (WHERE relname = 'assets'), 0) AS fetched
    FROM pg_stat_xact_user_tables WHERE relname IN ('assets', 'places', 'relationships', 'property_values')
""")


@pytest_asyncio.fixture(scope="module")
async def fleet_engine(stack: LocalStack) -> AsyncIterator[AsyncEngine]:
    dsn = await create_database(stack, "assets_fleet", timescaledb=False)
    upgrade("assets", dsn)
    engine = create_store_engine(dsn, command_seconds=120, settings={**SEARCH_SETTINGS, "statement_timeout": "120s"})
    async with engine.begin() as connection:
        await fill(connection)
    async with engine.connect() as connection:
        vacuuming = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await vacuuming.execute(sa.text("VACUUM ANALYZE"))
    yield engine
    await engine.dispose()


async def fill(connection: AsyncConnection) -> None:
    """Add all, without what the database does to each that is added, and with indexes that are made of the whole."""
    indexes = (await connection.execute(INDEXES)).all()
    for index in indexes:
        await connection.execute(sa.text(f"DROP INDEX {index.indexname}"))
    await connection.execute(sa.text("ALTER TABLE assets DISABLE TRIGGER USER"))
    for place, above in ((SITE, None), (HALL, SITE), (TANK, None)):
        await connection.execute(PLACE, {"id": place, "owner": OURS, "above": above})
    for owner, size in ((OURS, SIZE), (THEIRS, THEIR_SIZE)):
        await connection.execute(FLEET, {"owner": str(owner), "size": size, "site": SITE, "hall": HALL})
    await connection.execute(PLACES)
    await connection.execute(PATHS, {"owners": [OURS, THEIRS]})
    await connection.execute(VALUES)
    await connection.execute(RELATIONSHIPS, {"owner": OURS, "tank": TANK})
    for index in indexes:
        await connection.exec_driver_sql(index.indexdef)
    await connection.execute(sa.text("ALTER TABLE assets ENABLE TRIGGER USER"))


@pytest_asyncio.fixture
async def fleet(fleet_engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    async with fleet_engine.connect() as connection:
        yield connection
        await connection.rollback()


@dataclass(frozen=True)
class Touched:
    """How often a table was gone through from end to end, and how many assets were fetched by an index."""

    scans: int
    fetched: int


async def touched(fleet: AsyncConnection) -> Touched:
    row = (await fleet.execute(TOUCHED)).one()
    return Touched(int(row.scans), int(row.fetched))


def path(text: str) -> AssetFilter:
    return AssetFilter(path=read_predicate(text))


NONE, ONE, FULL, SHORT, SHORT_BUT_ONE = 0, 1, 100, -1, -2
CASES: list[tuple[AssetFilter, str, int]] = [
    (AssetFilter(), "created_at", FULL),
    (AssetFilter(), "-created_at", FULL),
    (AssetFilter(), "-name", FULL),
    (AssetFilter(), "properties.kw", FULL),
    (AssetFilter(), "-properties.maker", FULL),
    (AssetFilter(asset_type="robot"), "created_at", FULL),
    (AssetFilter(asset_type="robot"), "name", FULL),
    (AssetFilter(asset_type="robot"), "properties.kw", FULL),
    (AssetFilter(match={"serial": 159_999}), "created_at", ONE),
    (AssetFilter(match={"serial": 159_999}), "-properties.kw", ONE),
    (AssetFilter(match={"serial": -1}), "created_at", NONE),
    (AssetFilter(match={"maker": "M7"}), "created_at", FULL),
    (AssetFilter(match={"maker": "M7"}), "name", FULL),
    (AssetFilter(match={"maker": "M7", "volts": 400}, asset_type="robot"), "created_at", NONE),
    (AssetFilter(match={"volts": 230}), "created_at", FULL),
    (AssetFilter(match={"volts": 230}), "properties.maker", FULL),
    (AssetFilter(match={"batch": "late"}), "created_at", SHORT),
    (AssetFilter(match={"batch": "late"}), "-created_at", FULL),
    (AssetFilter(match={"batch": "late"}), "name", SHORT),
    (AssetFilter(match={"batch": "elsewhere"}), "created_at", NONE),
    (AssetFilter(match={"batch": "elsewhere"}), "properties.kw", NONE),
    (path('$.maker == "M7"'), "created_at", FULL),
    (path("$.kw > 5"), "created_at", FULL),
    (path("$.kw > 99.85"), "created_at", FULL),
    (path("$.kw > 99.85"), "-name", FULL),
    (path("$.kw > 1000"), "created_at", NONE),
    (path('$.batch == "late" && $.kw > 1000'), "created_at", NONE),
    (path('$.maker == "M7" && $.kw > 50'), "created_at", FULL),
    (path('$.batch == "late" && $.kw > 99.85'), "created_at", 20),
    (path('$.batch == "late" && $.kw > 50'), "created_at", SHORT),
    (path('$.batch == "late" && $.maker starts with "X"'), "created_at", SHORT),
    (path('$.maker == "M7" && $.volts != 400'), "created_at", NONE),
    (path('$.maker like_regex "^X"'), "created_at", SHORT),
    (path('$.maker starts with "M1"'), "name", FULL),
    (AssetFilter(words="p159999"), "created_at", ONE),
    (AssetFilter(words="P"), "name", FULL),
    (AssetFilter(words="s1"), "created_at", 72),
    (AssetFilter(words="q"), "created_at", NONE),
    (AssetFilter(words="p1", match={"batch": "late"}), "created_at", SHORT),
    (AssetFilter(ancestor=SITE), "created_at", SHORT_BUT_ONE),
    (AssetFilter(ancestor=SITE), "-created_at", FULL),
    (AssetFilter(ancestor=SITE, match={"serial": 159_999}), "created_at", ONE),
    (AssetFilter(ancestor=SITE, match={"volts": 230}), "properties.kw", FULL),
    (AssetFilter(ancestor=HALL), "created_at", FULL),
    (AssetFilter(ancestor=HALL, match={"volts": 230}), "name", FULL),
    (AssetFilter(ancestor=TANK), "created_at", NONE),
    (AssetFilter(parent_id=HALL), "created_at", FULL),
    (AssetFilter(parent_id=SITE), "created_at", SHORT_BUT_ONE),
    (AssetFilter(parent_id=SITE, ancestor=HALL), "created_at", NONE),
    (AssetFilter(related_to=RelatedTo(TANK)), "created_at", FULL),
    (AssetFilter(related_to=RelatedTo(TANK, "feeds"), match={"serial": 500}), "created_at", ONE),
    (AssetFilter(related_to=RelatedTo(TANK, "feeds", Direction.IN)), "created_at", NONE),
    (AssetFilter(device_id=DeviceId(UUID(int=9)), match={"volts": 230}), "name", NONE),
    (AssetFilter(match={"serial": 159_999}), f"properties.{UNKEPT}", ONE),
]


def name_of(case: tuple[AssetFilter, str, int]) -> str:
    asked = {name: value for name, value in asdict(case[0]).items() if value is not None}
    return f"{asked} by {case[1]}".replace(UNKEPT, "...")


@pytest.mark.parametrize(("narrowed_to", "sort", "shown"), CASES, ids=map(name_of, CASES))
async def test_no_page_of_a_search_costs_more_than_its_bounds(
    fleet: AsyncConnection, narrowed_to: AssetFilter, sort: str, shown: int
) -> None:
    repository = SqlAlchemyAssetSearchRepository(fleet)
    cursor: str | None = None
    pages: list[tuple[int, bool]] = []

    while not pages or (cursor is not None and len(pages) < 3):
        before = await touched(fleet)
        page = await repository.list(OURS, narrowed_to, read_order(sort), limit=100, cursor=cursor)
        after = await touched(fleet)
        assert after.scans == before.scans
        assert after.fetched - before.fetched <= MOST_FETCHED
        cursor = page.next_cursor
        pages.append((len(page.items), cursor is None))

    # A page that is not full has a next one only where much was gone past.
    assert pages[0] == ({SHORT: 0, SHORT_BUT_ONE: 1}.get(shown, shown), shown not in {FULL, SHORT, SHORT_BUT_ONE})


async def test_what_is_rare_at_the_end_is_found_by_following_the_cursors(fleet: AsyncConnection) -> None:
    repository = SqlAlchemyAssetSearchRepository(fleet)
    cursor: str | None = None
    found: list[str] = []
    for _ in range(9):
        page = await repository.list(
            OURS, AssetFilter(match={"batch": "late"}), read_order("created_at"), limit=500, cursor=cursor
        )
        found += [asset.name for asset in page.items]
        cursor = page.next_cursor

    assert found[:2] == ["P140001", "P140002"]
    assert len(found) == len(set(found)) >= 500


async def test_of_each_way_to_candidates_it_is_told_how_many_they_are(fleet: AsyncConnection) -> None:
    asked = AssetFilter(ancestor=HALL, words="s", path=read_predicate('$.maker == "M7" && $.kw > 50'))
    question = AssetQuestion(OURS, asked, read_order("name"))
    conditions = await find_conditions(fleet, OURS, asked)
    ways = list(narrowings(question, conditions, await find_paths(fleet, OURS)))

    plan = await fleet.scalar(estimate([way.query for way in (everything(question), *ways)]))

    # Of few of a kind the planner may know little.
    everywhere, _of_maker, with_word, _in_hall, in_range = estimated(plan)
    assert everywhere == pytest.approx(SIZE, rel=0.2)
    assert with_word < SIZE / 50
    assert SIZE / 20 < in_range < SIZE


async def test_what_takes_too_long_is_refused_with_advice(fleet: AsyncConnection) -> None:
    # So little time is left that no statement ends in it.
    repository = SqlAlchemyAssetSearchRepository(fleet, monotonic=chain([0.0], repeat(1.7999)).__next__)

    with pytest.raises(SearchTooCostlyError, match="Narrow it down"):
        await repository.list(
            OURS, path('$.maker like_regex "^X.*Y.*Z"'), read_order("created_at"), limit=9, cursor=None
        )


async def test_what_takes_too_long_on_the_whole_is_refused_likewise(fleet: AsyncConnection) -> None:
    # A second goes by whenever somebody looks.
    repository = SqlAlchemyAssetSearchRepository(fleet, monotonic=map(float, count()).__next__)

    with pytest.raises(SearchTooCostlyError):
        await repository.list(
            OURS, AssetFilter(match={"batch": "late"}), read_order("created_at"), limit=9, cursor=None
        )


async def test_many_are_not_sorted_by_what_is_not_kept_in_order(fleet: AsyncConnection) -> None:
    repository = SqlAlchemyAssetSearchRepository(fleet)
    before = await touched(fleet)

    with pytest.raises(SearchOrderError):
        await repository.list(OURS, AssetFilter(), read_order(f"properties.{UNKEPT}"), limit=9, cursor=None)

    after = await touched(fleet)
    assert (after.scans, after.fetched - before.fetched <= MOST_FETCHED) == (before.scans, True)
