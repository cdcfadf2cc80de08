"""What the database keeps of properties beside them is what they say, whatever is done to assets and by whom."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from iotsphere.assets.model import MAX_VALUES, Asset
from iotsphere.assets.service import AssetService
from iotsphere.kernel.identifiers import OrganisationId
from repositories.assets.assets import SqlAlchemyAssetRepository
from repositories.sql import create_store_engine
from tests.factories.assets import FIRST_DAY, build_asset

NUMBER, TEXT, BOOLEAN, IN_ARRAY = range(4)
MAX_PATHS = 256

Value = tuple[Any, ...]

KEPT = sa.text("""
    SELECT assets.id, property_paths.name, kind, num, txt
    FROM property_values JOIN property_paths USING (path) LEFT JOIN assets ON number = asset
    WHERE property_paths.organisation_id = :organisation_id
""")
HOW_MANY = sa.text("SELECT count(*) FROM property_paths WHERE organisation_id = :organisation_id")

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([2**53 + 1, -(10**400), 10**400, 5e-324, 0.1, -1e300, "true", "1", "x" * 70]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=3),
)
keys = st.sampled_from(["a", "b", "a.b", "größe", "", "k" * 300])
documents = st.dictionaries(
    keys,
    st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3)),
    max_size=4,
)
# What is done to the asset of a number: it is added with the document, or changed by it; without one, removed.
courses = st.lists(st.tuples(st.integers(0, 2), st.none() | documents), max_size=8)


def values_of(asset: Asset) -> set[Value]:
    return {(asset.id, *value) for value in _values_below((), asset.properties, is_element=False)}


def _values_below(name: tuple[str, ...], value: Any, *, is_element: bool) -> Iterator[Value]:
    if isinstance(value, dict):
        for key, member in value.items():
            yield from _values_below((*name, key), member, is_element=is_element)
    elif isinstance(value, list):
        for element in value:
            yield from _values_below(name, element, is_element=True)
    elif value is not None and len(".".join(name).encode()) <= MAX_PATHS:
        yield from _value_at(name, value, is_element=is_element)


def _value_at(name: tuple[str, ...], value: Any, *, is_element: bool) -> Iterator[Value]:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_element:
        yield from [(name, IN_ARRAY, 0.0, "")] if is_number else []
    elif is_number:
        yield name, NUMBER, _double(value), ""
    elif isinstance(value, bool):
        yield name, BOOLEAN, 0.0, "true" if value else "false"
    else:
        yield name, TEXT, 0.0, value[:64]


def _double(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")


async def kept_of(connection: AsyncConnection, organisation_id: OrganisationId) -> list[Value]:
    rows = await connection.execute(KEPT, {"organisation_id": organisation_id})
    return [(row.id, tuple(row.name), row.kind, row.num, row.txt) for row in rows]


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def connection(runner: asyncio.Runner, assets_dsn: str) -> Iterator[AsyncConnection]:
    engine = create_store_engine(assets_dsn)
    connection = runner.run(engine.connect().__aenter__())
    yield connection
    runner.run(connection.close())
    runner.run(engine.dispose())


@settings(max_examples=60)
@given(course=courses)
def test_any_course_of_changes_leaves_the_values_of_the_documents(
    runner: asyncio.Runner, connection: AsyncConnection, course: list[tuple[int, dict[str, Any] | None]]
) -> None:
    async def run() -> None:
        ours = OrganisationId(uuid4())
        there: dict[int, Asset] = {}
        for number, document in course:
            await _do(
                SqlAlchemyAssetRepository(connection), there, build_asset(organisation_id=ours), number, document
            )
        kept = await kept_of(connection, ours)
        await connection.rollback()
        assert sorted(kept, key=str) == sorted(
            (value for asset in there.values() for value in values_of(asset)), key=str
        )

    runner.run(run())


async def _do(
    repository: SqlAlchemyAssetRepository,
    there: dict[int, Asset],
    new: Asset,
    number: int,
    document: dict[str, Any] | None,
) -> None:
    if document is None:
        if number in there:
            await repository.remove(there.pop(number))
    elif number in there:
        there[number] = there[number].change({"properties": document}, changed_at=FIRST_DAY)
        await repository.save(there[number])
    else:
        there[number] = replace(new, properties=document)
        await repository.add(there[number])


async def test_who_needs_the_same_new_paths_at_once_has_them_together(
    service: AssetService, assets_engine: AsyncEngine
) -> None:
    ours = OrganisationId(uuid4())
    documents = [{f"p{(number + shift) % 8}": number for shift in range(6)} for number in range(8)]

    added = await asyncio.gather(
        *(
            service.add_asset(
                organisation_id=ours, added_by="user:1", asset_type="pump", name="P", properties=document
            )
            for document in documents
        )
    )

    async with assets_engine.connect() as connection:
        kept = await kept_of(connection, ours)
        assert await connection.scalar(HOW_MANY, {"organisation_id": ours}) == 8
    assert sorted(kept, key=str) == sorted((value for asset in added for value in values_of(asset)), key=str)


async def test_the_paths_that_came_first_are_kept_of_every_asset_and_no_others(
    service: AssetService, assets_engine: AsyncEngine
) -> None:
    ours = OrganisationId(uuid4())
    most = {f"p{number:03}": number for number in range(MAX_PATHS - 1)}
    too_many = {f"z{number:03}": number for number in range(9)}

    await service.add_asset(organisation_id=ours, added_by="user:1", asset_type="pump", name="P", properties=most)
    await asyncio.gather(
        *(
            service.add_asset(
                organisation_id=ours, added_by="user:1", asset_type="pump", name="P", properties=most | {key: 1}
            )
            for key in too_many
        )
    )

    async with assets_engine.connect() as connection:
        kept = await kept_of(connection, ours)
    keys = {name for _, (name,), *_ in kept}
    assert len(keys) == MAX_PATHS
    assert len([name for _, (name,), *_ in kept if name in most]) == 10 * len(most)
    assert len([name for _, (name,), *_ in kept if name in too_many]) == 1


async def test_as_much_as_properties_may_hold_is_kept_and_changed_in_time(
    service: AssetService, assets_engine: AsyncEngine
) -> None:
    ours = OrganisationId(uuid4())
    most = {f"k{place}": place for place in range(MAX_VALUES - 2)}
    added = await service.add_asset(
        organisation_id=ours, added_by="user:1", asset_type="pump", name="P", properties={"a": most}
    )

    changed = await service.change_asset(
        organisation_id=ours,
        asset_id=added.id,
        changed_by="user:1",
        patch={"properties": {"a": None, "b": most}},
        expected_version=None,
    )

    assert changed.properties == {"b": most}
    async with assets_engine.connect() as connection:
        # The paths that came first, of which no asset has a value any more.
        assert await kept_of(connection, ours) == []


async def test_of_thousands_of_values_below_a_long_key_none_is_looked_at(
    service: AssetService, assets_engine: AsyncEngine
) -> None:
    ours = OrganisationId(uuid4())
    below = {f"{place}": place for place in range(4_900)}

    added = await service.add_asset(
        organisation_id=ours,
        added_by="user:1",
        asset_type="pump",
        name="P",
        properties={"k" * 200_000: {"inside": below}, "kw": 1},
    )

    async with assets_engine.connect() as connection:
        assert await kept_of(connection, ours) == [(added.id, ("kw",), NUMBER, 1.0, "")]
