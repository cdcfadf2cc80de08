"""Whatever is asked, within whatever bounds, the pages join to what a plain model finds by looking at every asset."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from functools import partial
from random import Random
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from iotsphere.assets.errors import SearchOrderError
from iotsphere.assets.model import Asset
from iotsphere.assets.ports import AssetSearchRepository, AssetsUnitOfWorkFactory
from iotsphere.assets.predicate import read_predicate
from iotsphere.assets.relationship import Direction, Link, Relationship
from iotsphere.assets.search import BY_CREATION, AssetFilter, AssetOrder, RelatedTo, read_order
from iotsphere.kernel.identifiers import AssetId, DeviceId, OrganisationId
from repositories.assets.search import SearchBounds, SqlAlchemyAssetSearchRepository
from repositories.assets.search_settings import SEARCH_SETTINGS
from repositories.assets.unit_of_work import SqlAlchemyAssetsUnitOfWork
from repositories.availability import StoreGate
from repositories.sql import create_store_engine
from tests.factories.assets import FIRST_DAY, build_asset
from tests.fakes.assets import InMemoryAssetsUnitOfWork

SIZE = 30
VALUES: list[Any] = [0, 1, 1.5, -3, 10**20, "", "a", "b", "1", "ä" * 70, True, False, None, [1, 2], {"v": 1}]
NAMES = ["Pump", "pump 1", "Feed pump", "Hall B", "b", "Ä", "ä-pump", "1"]
UNKEPT = f"properties.{'x' * 257}"
OURS = OrganisationId(uuid4())
DEVICE_ID = DeviceId(uuid4())
CHANCE = Random(7)  # noqa: S311  # of no secret


def make_assets() -> list[Asset]:
    """Make assets in trees; some at the same moment, or of the same name, or with the same values."""
    made: list[Asset] = []
    for number in range(SIZE):
        values = {key: CHANCE.choice(VALUES) for key in CHANCE.sample(["v", "w", "x" * 257], CHANCE.randint(0, 3))}
        made.append(
            build_asset(
                organisation_id=OURS,
                name=CHANCE.choice(NAMES),
                asset_type=CHANCE.choice(["pump", "pump", "robot"]),
                properties=values | ({"at": {"v": CHANCE.choice(VALUES)}} if CHANCE.random() < 0.5 else {}),
                parent_id=CHANCE.choice(made[-9:]).id if made and CHANCE.random() < 0.7 else None,
                created_at=FIRST_DAY + timedelta(seconds=CHANCE.randint(0, 20)),
                device_id=DEVICE_ID if number == SIZE // 2 else None,
            )
        )
    return made


ASSETS = make_assets()
ENDS = {(CHANCE.choice(ASSETS).id, CHANCE.choice(ASSETS[:9]).id) for _ in range(40)}
# Some are related in more ways than one.
LINKS = [
    Link(OURS, one, kind, other)
    for one, other in sorted(ENDS)
    for kind in CHANCE.sample(["cools", "feeds", "near"], CHANCE.randint(1, 3))
    if one != other
]
PREDICATES = ["$.at.v == 1.5", "$.at.v >= 0", "$.at.v < 1 && $.at.v > -5", "$.none > 1"]

some_asset = st.sampled_from([asset.id for asset in ASSETS[:20]])
filters = st.builds(
    AssetFilter,
    asset_type=st.sampled_from([None, None, "pump", "robot"]),
    device_id=st.sampled_from([None, None, None, DEVICE_ID, DeviceId(uuid4())]),
    parent_id=st.one_of(st.none(), st.none(), st.none(), some_asset),
    ancestor=st.one_of(st.none(), st.none(), some_asset),
    related_to=st.one_of(
        st.none(),
        st.none(),
        st.builds(RelatedTo, some_asset, st.sampled_from([None, "feeds", "near"]), st.sampled_from(Direction)),
    ),
    match=st.sampled_from([None, None, {}, {"v": 1}, {"w": "a"}, {"at": {"v": 1.5}}, {"v": [2]}, {"none": 1}]),
    path=st.sampled_from([None, None, *map(read_predicate, PREDICATES)]),
    words=st.sampled_from([None, None, None, "pump", "P", "feed pu", "ä", "hallo", "1"]),
)
orders = st.sampled_from(
    [
        read_order(sign + by)
        for by in ("created_at", "name", "properties.v", "properties.at.v", "properties.none", UNKEPT)
        for sign in ("", "-")
    ]
)
bounds = st.builds(
    SearchBounds, st.sampled_from([0, 1, 5, 1000]), st.sampled_from([2, 5]), st.sampled_from([2, 7, 200])
)


class Stores:
    """The same assets in memory and in PostgreSQL."""

    def __init__(
        self,
        run: Callable[[Coroutine[Any, Any, Any]], Any],
        engine: AsyncEngine,
        in_memory: AssetsUnitOfWorkFactory,
    ) -> None:
        self.run = run
        self.engine = engine
        self.in_memory = in_memory

    @asynccontextmanager
    async def model(self) -> AsyncIterator[AssetSearchRepository]:
        async with self.in_memory() as uow:
            yield uow.search

    @asynccontextmanager
    async def database(self, bounds: SearchBounds) -> AsyncIterator[AssetSearchRepository]:
        async with self.engine.connect() as connection:
            # However long it takes.
            yield SqlAlchemyAssetSearchRepository(connection, bounds=bounds, monotonic=lambda: 0.0, is_alone=True)


async def keep(unit_of_work: AssetsUnitOfWorkFactory) -> None:
    async with unit_of_work() as uow:
        for asset in ASSETS:
            await uow.assets.add(asset)
        for link in LINKS:
            await uow.relationships.add(Relationship(link, {}, FIRST_DAY, FIRST_DAY))
        await uow.commit()


async def all_pages(
    open_search: Callable[[], AbstractAsyncContextManager[AssetSearchRepository]],
    narrowed_to: AssetFilter,
    order: AssetOrder,
    limit: int,
) -> list[AssetId]:
    found: list[AssetId] = []
    cursor: str | None = None
    while True:
        async with open_search() as search:
            page = await search.list(OURS, narrowed_to, order, limit=limit, cursor=cursor)
        assert len(page.items) <= limit
        found += [asset.id for asset in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return found


@pytest.fixture(scope="module")
def stores(assets_dsn: str) -> Iterator[Stores]:
    with asyncio.Runner() as runner:
        # An engine of its own, for its connections belong to the loop.
        engine = create_store_engine(assets_dsn, settings=SEARCH_SETTINGS)
        in_memory = partial(InMemoryAssetsUnitOfWork, {}, {}, {})
        for unit_of_work in (in_memory, partial(SqlAlchemyAssetsUnitOfWork, engine, StoreGate("assets"))):
            runner.run(keep(unit_of_work))
        yield Stores(runner.run, engine, in_memory)
        runner.run(engine.dispose())


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(narrowed_to=filters, order=orders, limit=st.sampled_from([2, 7, 100]), bounds=bounds)
def test_pages_join_to_what_the_model_finds(
    stores: Stores, narrowed_to: AssetFilter, order: AssetOrder, limit: int, bounds: SearchBounds
) -> None:
    expected = stores.run(all_pages(stores.model, narrowed_to, order, limit))

    try:
        found = stores.run(all_pages(partial(stores.database, bounds), narrowed_to, order, limit))
    except SearchOrderError:
        assert order.keys == ("x" * 257,)
        assert bounds.candidates < SIZE
    else:
        assert found == expected


async def test_a_search_that_took_long_leaves_the_next_one_all_its_time(assets_dsn: str) -> None:
    engine = create_store_engine(assets_dsn, pool_size=1, settings=SEARCH_SETTINGS)
    asked: list[str] = []

    @sa.event.listens_for(engine.sync_engine, "before_cursor_execute")
    def take_down(_: Any, __: Any, statement: str, *___: Any) -> None:
        asked.append(statement)

    # The first one has 0.3 seconds left, the second all of them.
    for monotonic in (itertools.chain([0.0], itertools.repeat(1.5)).__next__, lambda: 0.0):
        asked.clear()
        async with engine.connect() as connection:
            search = SqlAlchemyAssetSearchRepository(connection, is_alone=True, monotonic=monotonic)
            await search.list(OURS, AssetFilter(match={"v": 1}), BY_CREATION, limit=1, cursor=None)
            left = await connection.scalar(sa.text("SHOW statement_timeout"))
        told = next(nth for nth, statement in enumerate(asked) if "set_config" in statement)
        expected = next(nth for nth, statement in enumerate(asked) if statement.startswith("EXPLAIN"))
        assert (left, told < expected) == (("300ms", False) if monotonic() else ("1800ms", True))
    await engine.dispose()


async def test_who_is_related_in_several_ways_is_one_candidate_and_hides_no_other(assets_dsn: str) -> None:
    engine = create_store_engine(assets_dsn)
    ours = OrganisationId(uuid4())
    hub, *others = (build_asset(organisation_id=ours) for _ in range(6))
    async with SqlAlchemyAssetsUnitOfWork(engine, StoreGate("assets")) as uow:
        for asset in (hub, *others):
            await uow.assets.add(asset)
        for asset, kind in itertools.product(others, ("cools", "feeds", "heats", "near")):
            await uow.relationships.add(Relationship(Link(ours, asset.id, kind, hub.id), {}, FIRST_DAY, FIRST_DAY))
        await uow.commit()

    async with engine.connect() as connection:
        search = SqlAlchemyAssetSearchRepository(connection, bounds=SearchBounds(candidates=5))
        page = await search.list(ours, AssetFilter(related_to=RelatedTo(hub.id)), limit=100, cursor=None)
    await engine.dispose()

    assert {asset.id for asset in page.items} == {asset.id for asset in others}
