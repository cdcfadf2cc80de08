from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from iotsphere.assets.errors import AssetNotFoundError, RelationshipNotFoundError
from iotsphere.assets.model import Asset
from iotsphere.assets.ports import AssetsUnitOfWorkFactory
from iotsphere.assets.relationship import Direction, Link, Relationship, RelationshipFilter
from iotsphere.kernel.errors import MalformedInputError
from iotsphere.kernel.identifiers import AssetId, OrganisationId
from iotsphere.kernel.pagination import encode_cursor
from tests.factories.assets import FIRST_DAY, build_asset


@pytest.fixture
def ours() -> OrganisationId:
    return OrganisationId(uuid4())


async def add_assets(unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, number: int) -> list[Asset]:
    added = sorted((build_asset(organisation_id=ours) for _ in range(number)), key=lambda asset: asset.id)
    async with unit_of_work() as uow:
        for asset in added:
            await uow.assets.add(asset)
        await uow.commit()
    return added


def related(one: Asset, type_name: str, other: Asset, **properties: Any) -> Relationship:
    link = Link(one.organisation_id, one.id, type_name, other.id)
    return Relationship(link, properties, created_at=FIRST_DAY, updated_at=FIRST_DAY)


async def keep(unit_of_work: AssetsUnitOfWorkFactory, *relationships: Relationship) -> None:
    async with unit_of_work() as uow:
        for relationship in relationships:
            assert await uow.relationships.add(relationship)
        await uow.commit()


async def listed(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, narrowed_to: RelationshipFilter, *, limit: int = 500
) -> list[Relationship]:
    """Read page after page."""
    found: list[Relationship] = []
    cursor: str | None = None
    async with unit_of_work() as uow:
        while True:
            page = await uow.relationships.list(ours, narrowed_to, limit=limit, cursor=cursor)
            assert len(page.items) == limit or page.next_cursor is None
            found += page.items
            cursor = page.next_cursor
            if cursor is None:
                return found


async def test_returns_what_was_added_with_its_json(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    one, other = await add_assets(unit_of_work, ours, 2)
    kept = related(one, "feeds", other, bar=1.0, big=2**64, nothing=None, list=[], object={})

    await keep(unit_of_work, kept)

    async with unit_of_work() as uow:
        for found in (
            await uow.relationships.get(kept.link),
            await uow.relationships.get(kept.link, for_update=True),
        ):
            assert found == kept
            assert msgspec.json.encode(found.properties, order="sorted") == msgspec.json.encode(
                kept.properties, order="sorted"
            )


async def test_what_is_there_is_not_added_again_and_can_be_replaced_at_once(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    one, other = await add_assets(unit_of_work, ours, 2)
    kept = related(one, "feeds", other, a=1)
    await keep(unit_of_work, kept)
    changed = kept.describe({"b": 2}, changed_at=FIRST_DAY + timedelta(1))

    async with unit_of_work() as uow:
        assert not await uow.relationships.add(related(one, "feeds", other, c=3))
        assert await uow.relationships.get(kept.link, for_update=True) == kept
        await uow.relationships.save(changed)
        await uow.commit()

    assert await listed(unit_of_work, ours, RelationshipFilter(one.id)) == [changed]


async def test_nothing_is_kept_without_a_commit(unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId) -> None:
    one, other = await add_assets(unit_of_work, ours, 2)
    kept = related(one, "feeds", other)
    await keep(unit_of_work, kept)

    async with unit_of_work() as uow:
        await uow.relationships.add(related(other, "feeds", one))
        await uow.relationships.remove(kept.link)

    assert await listed(unit_of_work, ours, RelationshipFilter(one.id)) == [kept]
    assert await listed(unit_of_work, ours, RelationshipFilter(other.id)) == []


@pytest.mark.parametrize("limit", [1, 2, 500])
async def test_a_list_goes_by_type_and_then_by_the_other_asset(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, limit: int
) -> None:
    one, *others = await add_assets(unit_of_work, ours, 4)
    out = [related(one, type_name, other) for type_name in ("a", "a-b", "b") for other in others]
    into = [related(other, type_name, one) for type_name in ("a", "c") for other in others]
    await keep(unit_of_work, *reversed(out), *reversed(into))

    async def of(**narrowed_to: Any) -> list[Relationship]:
        return await listed(unit_of_work, ours, RelationshipFilter(one.id, **narrowed_to), limit=limit)

    assert await of() == await of(direction=Direction.OUT) == out
    assert await of(direction=Direction.IN) == into
    assert await of(type="a") == out[:3]
    assert await of(type="c", direction=Direction.IN) == into[3:]
    assert await of(type="c") == []


async def test_relationships_go_with_either_asset(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    one, other, third = await add_assets(unit_of_work, ours, 3)
    left = related(other, "feeds", third)
    await keep(unit_of_work, related(one, "feeds", other), related(other, "feeds", one), left)

    async with unit_of_work() as uow:
        await uow.assets.remove(one)
        await uow.commit()

    assert await listed(unit_of_work, ours, RelationshipFilter(other.id)) == [left]
    assert await listed(unit_of_work, ours, RelationshipFilter(other.id, Direction.IN)) == []
    assert await listed(unit_of_work, ours, RelationshipFilter(one.id)) == []


async def test_what_is_removed_is_gone(unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId) -> None:
    one, other = await add_assets(unit_of_work, ours, 2)
    gone, left = related(one, "feeds", other), related(one, "cools", other)
    await keep(unit_of_work, gone, left)

    async with unit_of_work() as uow:
        await uow.relationships.remove(gone.link)
        await uow.commit()

    async with unit_of_work() as uow:
        with pytest.raises(RelationshipNotFoundError):
            await uow.relationships.get(gone.link)
    assert await listed(unit_of_work, ours, RelationshipFilter(one.id)) == [left]


@pytest.mark.parametrize("ends", [(True, False), (False, True), (False, False)])
async def test_nothing_is_related_to_what_is_not_there(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, ends: tuple[bool, bool]
) -> None:
    there = await add_assets(unit_of_work, ours, 2)
    one, other = (
        asset if is_there else replace(asset, id=AssetId(uuid4()))
        for asset, is_there in zip(there, ends, strict=True)
    )

    with pytest.raises(AssetNotFoundError):
        async with unit_of_work() as uow:
            await uow.relationships.add(related(one, "feeds", other))


async def test_another_organisation_finds_changes_and_removes_nothing(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    theirs = OrganisationId(uuid4())
    one, other = await add_assets(unit_of_work, ours, 2)
    kept = related(one, "feeds", other, a=1)
    await keep(unit_of_work, kept)
    foreign = replace(kept, link=replace(kept.link, organisation_id=theirs), properties={"mine": True})

    async with unit_of_work() as uow:
        with pytest.raises(RelationshipNotFoundError):
            await uow.relationships.get(foreign.link)
        await uow.relationships.save(foreign)
        await uow.relationships.remove(foreign.link)
        await uow.commit()

    assert await listed(unit_of_work, theirs, RelationshipFilter(one.id)) == []
    assert await listed(unit_of_work, ours, RelationshipFilter(one.id)) == [kept]


@pytest.mark.parametrize(
    "cursor",
    [
        "!",
        encode_cursor("feeds"),
        encode_cursor("feeds", "x"),
        encode_cursor("feeds", UUID(int=1), 1),
        encode_cursor("a\0", UUID(int=1)),
        encode_cursor("", UUID(int=1)),
        encode_cursor(1, UUID(int=1)),
    ],
)
async def test_a_made_up_cursor_is_malformed(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, cursor: str
) -> None:
    one, other = await add_assets(unit_of_work, ours, 2)
    await keep(unit_of_work, related(one, "feeds", other))

    async with unit_of_work() as uow:
        with pytest.raises(MalformedInputError):
            await uow.relationships.list(ours, RelationshipFilter(one.id), limit=1, cursor=cursor)


async def test_one_that_is_made_again_begins_behind_all_that_have_ended(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    one, other = await add_assets(unit_of_work, ours, 2)
    first, second = related(one, "feeds", other), related(one, "cools", other)
    await keep(unit_of_work, first, second, related(other, "feeds", one))
    async with unit_of_work() as uow:
        await uow.relationships.save(replace(second, version=7))
        await uow.relationships.remove(second.link)
        await uow.relationships.remove(first.link)
        await uow.commit()

    async with unit_of_work() as uow:
        again = await uow.relationships.add(first)
        back = await uow.relationships.add(related(other, "cools", one))
        await uow.commit()

    assert (again, back) == (replace(first, version=8), related(other, "cools", one))
    async with unit_of_work() as uow:
        assert await uow.relationships.get(first.link) == again
