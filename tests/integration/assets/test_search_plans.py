"""What it costs PostgreSQL to search among 160 000 assets of an organisation, beside 40 000 of another one."""

from dataclasses import asdict, dataclass
from itertools import chain, count, repeat
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.assets.errors import SearchOrderError, SearchTooCostlyError
from iotsphere.assets.predicate import read_predicate
from iotsphere.assets.relationship import Direction
from iotsphere.assets.search import AssetFilter, RelatedTo, read_order
from iotsphere.kernel.identifiers import DeviceId
from repositories.assets.search import SqlAlchemyAssetSearchRepository
from repositories.assets.search_conditions import find_values
from repositories.assets.search_narrowing import EVERYTHING, Narrowable, in_ranges, narrowings
from repositories.assets.search_statements import estimate, estimated
from repositories.assets.values import find_paths
from tests.integration.assets.fleet import HALL, IN_HALL, OURS, SITE, SIZE, TANK

# Those of a short walk, then the candidates, those of a long walk, and what is shown.
MOST_FETCHED = 5_000 + 10_001 + 20_000 + 101
# No values are kept of a path that is so long.
UNKEPT = "x" * 257
# What the connection has done lately.
TOUCHED = sa.text("""
    SELECT coalesce(sum(seq_scan), 0) AS scans,
           coalesce(sum(idx_tup_fetch) FILTER (WHERE relname = 'assets'), 0) AS fetched
    FROM pg_stat_xact_user_tables WHERE relname IN ('assets', 'places', 'relationships', 'property_values')
""")


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


async def test_what_few_have_in_common_is_not_looked_for_on_a_walk_before(fleet: AsyncConnection) -> None:
    repository = SqlAlchemyAssetSearchRepository(fleet)
    before = await touched(fleet)

    page = await repository.list(
        OURS, path('$.maker == "M7" && $.kw > 95'), read_order("created_at"), limit=100, cursor=None
    )

    # Those with such a number, of which the planner expects fewer than of the maker's, and what is shown.
    assert len(page.items) == 100
    assert (await touched(fleet)).fetched - before.fetched <= SIZE / 20 + 101


async def test_of_each_way_to_candidates_it_is_told_how_many_they_are(fleet: AsyncConnection) -> None:
    asked = AssetFilter(ancestor=HALL, words="s", path=read_predicate('$.maker == "M7" && $.kw > 50'))
    paths = await find_paths(fleet, OURS)
    values = await find_values(fleet, OURS, asked) | in_ranges(asked, paths)
    ways = narrowings(Narrowable.of(asked, paths, is_by_creation=False))

    plan = await fleet.scalar(estimate((EVERYTHING, *ways)), values)

    # Of few of a kind the planner may know little.
    everywhere, _of_maker, with_word, in_hall, in_range = estimated(plan)
    assert everywhere == pytest.approx(SIZE, rel=0.2)
    assert in_hall == pytest.approx(IN_HALL, rel=0.5)
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
