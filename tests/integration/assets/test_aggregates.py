"""Figures over generated assets are those of a plain model, and what would take too long is refused."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from iotsphere.assets.aggregate import (
    MAX_GROUPINGS,
    MAX_GROUPS,
    Aggregation,
    Group,
    GroupedBy,
    Grouping,
    Groups,
    Measure,
    MeasureOp,
    read_grouping,
)
from iotsphere.assets.errors import AggregateTooCostlyError
from iotsphere.assets.model import Asset
from iotsphere.assets.predicate import read_predicate
from iotsphere.assets.search import AssetFilter
from iotsphere.assets.service import AssetService
from iotsphere.kernel.identifiers import AssetId, OrganisationId
from repositories.assets.aggregates import SqlAlchemyAssetAggregateRepository
from repositories.assets.assets import SqlAlchemyAssetRepository
from repositories.assets.values import KeptPaths, find_paths
from repositories.sql import create_store_engine
from tests.factories.assets import build_asset
from tests.fakes.asset_aggregates import InMemoryAssetAggregateRepository
from tests.fakes.asset_search import InMemoryAssetSearchRepository

OURS = OrganisationId(uuid4())
TYPES = ["site", "hall", "pump"]
KEYS = [("maker",), ("kw",), ("rated", "kw"), ("nowhere",)]


def generated(count: int) -> dict[AssetId, Asset]:
    """Make assets of a tree, whose properties are of all kinds."""
    chance = random.Random(6)  # noqa: S311  # of tests
    made: list[Asset] = []
    for _ in range(count):
        kw: Any = chance.choice([chance.randrange(5), chance.gauss(10, 3), "5", True, None, [3], {"kw": 1}])
        properties = {"maker": chance.choice(["a", "b", "ä", 1, False]), "kw": kw, "rated": {"kw": chance.random()}}
        kept = {key: value for key, value in properties.items() if chance.random() < 0.8}
        parent = chance.choice([None, *made[-20:]])
        made.append(
            build_asset(
                organisation_id=OURS,
                asset_type=chance.choice(TYPES),
                properties=kept,
                parent_id=parent.id if parent else None,
            )
        )
    return {asset.id: asset for asset in made}


ASSETS = generated(150)

groupings = st.one_of(
    st.sampled_from([Grouping(GroupedBy.ASSET_TYPE), Grouping(GroupedBy.PARENT)]),
    st.sampled_from(TYPES).map(lambda name: Grouping(GroupedBy.ANCESTOR, asset_type=name)),
    st.sampled_from(KEYS).map(lambda keys: Grouping(GroupedBy.PROPERTY, keys)),
)
measures = st.one_of(
    st.just(Measure(MeasureOp.COUNT)), st.builds(Measure, st.sampled_from(MeasureOp), st.sampled_from(KEYS))
)
filters = st.one_of(
    st.just(AssetFilter()),
    st.builds(
        AssetFilter,
        asset_type=st.none() | st.sampled_from([*TYPES, "none"]),
        ancestor=st.none() | st.sampled_from(list(ASSETS)[:10]),
        match=st.none() | st.sampled_from([{"maker": "a"}, {"rated": {}}]),
        path=st.none() | st.just(read_predicate("$.rated.kw > 0.4")),
    ),
)
questions = st.builds(
    Aggregation,
    groupings=st.lists(groupings, max_size=MAX_GROUPINGS, unique=True).map(tuple),
    measures=st.lists(measures, min_size=1, max_size=4).map(tuple),
    narrowed_to=filters,
)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def connection(runner: asyncio.Runner, assets_dsn: str) -> Iterator[AsyncConnection]:
    """In a transaction in which the assets are, and which is not committed."""

    async def fill(engine: AsyncEngine) -> AsyncConnection:
        connection = await engine.connect()
        repository = SqlAlchemyAssetRepository(connection)
        for asset in ASSETS.values():
            await repository.add(asset)
        return connection

    engine = create_store_engine(assets_dsn)
    connection = runner.run(fill(engine))
    yield connection
    runner.run(connection.close())
    runner.run(engine.dispose())


@settings(max_examples=60)
@given(asked=questions)
def test_any_figures_are_those_of_a_plain_model(
    runner: asyncio.Runner, connection: AsyncConnection, asked: Aggregation
) -> None:
    numbers = {asset_id: number for number, asset_id in enumerate(ASSETS)}
    model = InMemoryAssetAggregateRepository(ASSETS, InMemoryAssetSearchRepository(ASSETS, {}, numbers))

    async def work_out() -> Groups:
        async with connection.begin_nested():
            return await SqlAlchemyAssetAggregateRepository(connection).aggregate(OURS, asked)

    found = runner.run(work_out())

    expected = runner.run(model.aggregate(OURS, asked))
    assert found.total == expected.total
    assert list(map(_key, found.groups)) == list(map(_key, expected.groups))
    for group, other in zip(found.groups, expected.groups, strict=True):
        assert [figure is None for figure in group.figures] == [figure is None for figure in other.figures]
        assert [figure or 0 for figure in group.figures] == pytest.approx([figure or 0 for figure in other.figures])


def _key(group: Group) -> list[tuple[type, Any]]:
    """Tell true from 1, but not 1 from 1.0."""
    return [(bool if isinstance(value, bool) else object, value) for value in group.key]


# A value each, but the last one, which is the second of its kind.
FILL = sa.text("""
    INSERT INTO assets
        (id, organisation_id, asset_type, name, properties, capabilities, created_at, updated_at, version)
    SELECT gen_random_uuid(), CAST(:organisation_id AS uuid), 'pump', 'P', jsonb_build_object('kw', least(n, 1003)),
           '[]', now(), now(), 1
    FROM generate_series(0, 1004) AS n
""")
HAS_MORE = 1_005
THEIRS = OrganisationId(uuid4())


@pytest_asyncio.fixture
async def filled(assets_engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A transaction with a thousand assets and some, of which nothing is committed."""
    async with assets_engine.connect() as connection:
        await connection.execute(FILL, {"organisation_id": THEIRS})
        yield connection
        await connection.rollback()


async def test_the_largest_groups_are_shown_and_all_are_counted(filled: AsyncConnection) -> None:
    asked = Aggregation((read_grouping("properties.kw"),), (Measure(MeasureOp.COUNT),), AssetFilter())

    found = await SqlAlchemyAssetAggregateRepository(filled).aggregate(THEIRS, asked)

    assert found.total == HAS_MORE - 1
    shown = [(*group.key, *group.figures) for group in found.groups]
    assert shown == [(1003, 2), *((number, 1) for number in range(MAX_GROUPS - 1))]


SUM = Measure(MeasureOp.SUM, ("kw",))


async def test_more_documents_than_can_be_read_in_time_are_refused(filled: AsyncConnection) -> None:
    asked = Aggregation((read_grouping("asset_type"),), (SUM,), AssetFilter())

    enough = await SqlAlchemyAssetAggregateRepository(filled, most_documents=HAS_MORE).aggregate(THEIRS, asked)
    with pytest.raises(AggregateTooCostlyError):
        await SqlAlchemyAssetAggregateRepository(filled, most_documents=HAS_MORE - 1).aggregate(THEIRS, asked)

    assert enough.groups == [Group(("pump",), (sum(range(1004)) + 1003,))]


async def test_figures_are_of_one_moment_whatever_is_added_meanwhile(
    service: AssetService, assets_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = OrganisationId(uuid4())
    add = partial(service.add_asset, organisation_id=ours, added_by="user:1", asset_type="pump", name="P")
    await add(properties={"maker": "a"})

    async def find_paths_and_be_overtaken(*asked: Any) -> KeptPaths:
        paths = await find_paths(*asked)
        await add(properties={"maker": "a", "kw": 3})
        return paths

    monkeypatch.setattr("repositories.assets.aggregates.find_paths", find_paths_and_be_overtaken)
    asked = Aggregation((read_grouping("properties.kw"),), (Measure(MeasureOp.COUNT),), AssetFilter())
    async with assets_engine.connect() as connection:
        found = await SqlAlchemyAssetAggregateRepository(connection).aggregate(ours, asked)

    # Not that there are two that have no such property.
    assert found.groups == [Group((None,), (1,))]


async def test_what_takes_too_long_is_too_costly_and_no_store_that_is_busy(
    filled: AsyncConnection, assets_engine: AsyncEngine
) -> None:
    slow = Aggregation((read_grouping("properties.kw"),), (Measure(MeasureOp.P99, ("kw",)),) * 5, AssetFilter())

    with pytest.raises(AggregateTooCostlyError) as refused:
        await SqlAlchemyAssetAggregateRepository(filled, milliseconds=1).aggregate(THEIRS, slow)

    assert refused.value.__cause__ is None
    async with assets_engine.connect() as other:
        assert await other.scalar(sa.text("SHOW statement_timeout")) == "1900ms"
