from collections.abc import Sequence
from dataclasses import replace
from uuid import uuid4

import pytest

from iotsphere.assets.errors import (
    AssetHasChildrenError,
    AssetNotFoundError,
    AssetParentUnknownError,
    AssetTooDeepError,
)
from iotsphere.assets.model import Asset
from iotsphere.assets.place import MAX_LEVELS, encode_place
from iotsphere.assets.ports import AssetsUnitOfWorkFactory
from iotsphere.kernel.errors import MalformedInputError
from iotsphere.kernel.identifiers import AssetId, DeviceId, OrganisationId
from iotsphere.kernel.pagination import encode_cursor
from tests.factories.assets import build_asset


@pytest.fixture
def ours() -> OrganisationId:
    return OrganisationId(uuid4())


async def grow(
    unit_of_work: AssetsUnitOfWorkFactory, organisation_id: OrganisationId, parents: Sequence[int | None]
) -> list[Asset]:
    """Add assets one after the other, each below the one that its parent's index says."""
    grown: list[Asset] = []
    async with unit_of_work() as uow:
        for parent in parents:
            parent_id = None if parent is None else grown[parent].id
            grown.append(build_asset(organisation_id=organisation_id, parent_id=parent_id, name=str(len(grown))))
            await uow.assets.add(grown[-1])
        await uow.commit()
    return grown


async def move(unit_of_work: AssetsUnitOfWorkFactory, asset: Asset, parent: Asset | None) -> Asset:
    owner = asset.organisation_id
    moved = replace(asset, parent_id=parent.id if parent else None)
    async with unit_of_work() as uow:
        await uow.places.hold(owner, alone=True)
        place = await uow.places.get(owner, asset.id)
        await uow.places.save(place, below=await uow.places.get(owner, parent.id) if parent else ())
        await uow.assets.save(moved)
        await uow.commit()
    return moved


async def names_below(
    unit_of_work: AssetsUnitOfWorkFactory, asset: Asset, *, depth: int = MAX_LEVELS, limit: int = 500
) -> list[str]:
    """Read page after page."""
    names: list[str] = []
    cursor: str | None = None
    async with unit_of_work() as uow:
        while True:
            page = await uow.places.list_descendants(
                asset.organisation_id, asset.id, depth=depth, limit=limit, cursor=cursor
            )
            names += [found.name for found in page.items]
            assert len(page.items) == limit or page.next_cursor is None
            cursor = page.next_cursor
            if cursor is None:
                return names


async def names_above(unit_of_work: AssetsUnitOfWorkFactory, asset: Asset, *, limit: int = 500) -> list[str]:
    names: list[str] = []
    cursor: str | None = None
    async with unit_of_work() as uow:
        while True:
            page = await uow.places.list_ancestors(asset.organisation_id, asset.id, limit=limit, cursor=cursor)
            names += [found.name for found in page.items]
            cursor = page.next_cursor
            if cursor is None:
                return names


#  0 ── 1 ── 3 ── 6
#  │    └─── 4
#  └─── 2 ── 5            7 ── 8
TREE = [None, 0, 0, 1, 1, 2, 3, None, 7]


@pytest.mark.parametrize("limit", [1, 2, 3, 500])
async def test_each_comes_before_what_is_below_it_and_the_older_before_the_younger(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, limit: int
) -> None:
    tree = await grow(unit_of_work, ours, TREE)

    assert await names_below(unit_of_work, tree[0], limit=limit) == ["1", "3", "6", "4", "2", "5"]
    assert await names_below(unit_of_work, tree[1], limit=limit) == ["3", "6", "4"]
    assert await names_below(unit_of_work, tree[7], limit=limit) == ["8"]
    assert await names_below(unit_of_work, tree[6], limit=limit) == []


@pytest.mark.parametrize("limit", [1, 2, 500])
async def test_descendants_may_be_asked_for_down_to_a_level(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, limit: int
) -> None:
    tree = await grow(unit_of_work, ours, TREE)

    assert await names_below(unit_of_work, tree[0], depth=1, limit=limit) == ["1", "2"]
    assert await names_below(unit_of_work, tree[0], depth=2, limit=limit) == ["1", "3", "4", "2", "5"]
    assert await names_below(unit_of_work, tree[0], depth=3, limit=limit) == ["1", "3", "6", "4", "2", "5"]


async def test_a_cursor_may_be_gone_on_with_at_another_depth(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    tree = await grow(unit_of_work, ours, TREE)

    async with unit_of_work() as uow:
        deep = await uow.places.list_descendants(ours, tree[0].id, depth=9, limit=3, cursor=None)
        pages = [
            await uow.places.list_descendants(ours, tree[0].id, depth=depth, limit=9, cursor=deep.next_cursor)
            for depth in (1, 2, 3)
        ]

    assert deep.items[-1].name == "6"
    assert [[asset.name for asset in page.items] for page in pages] == [["2"], ["4", "2", "5"], ["4", "2", "5"]]


@pytest.mark.parametrize("limit", [1, 2, 500])
async def test_ancestors_come_from_the_root_down(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, limit: int
) -> None:
    tree = await grow(unit_of_work, ours, TREE)

    assert await names_above(unit_of_work, tree[6], limit=limit) == ["0", "1", "3"]
    assert await names_above(unit_of_work, tree[0], limit=limit) == []


async def test_what_is_listed_is_the_asset_as_it_is_kept(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    root, child = await grow(unit_of_work, ours, [None, 0])

    async with unit_of_work() as uow:
        above = await uow.places.list_ancestors(ours, child.id, limit=1, cursor=None)
        below = await uow.places.list_descendants(ours, root.id, depth=1, limit=1, cursor=None)
        assert await uow.assets.get(ours, child.id) == child

    assert (above.items, below.items) == ([root], [child])


async def test_a_moved_asset_takes_along_all_that_is_below_it(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    tree = await grow(unit_of_work, ours, TREE)

    moved = await move(unit_of_work, tree[1], tree[8])

    assert await names_below(unit_of_work, tree[0]) == ["2", "5"]
    assert await names_below(unit_of_work, tree[7]) == ["8", "1", "3", "6", "4"]
    assert await names_above(unit_of_work, tree[6]) == ["7", "8", "1", "3"]
    async with unit_of_work() as uow:
        assert await uow.assets.get(ours, moved.id) == moved


async def test_what_is_below_nothing_is_a_root_again(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    tree = await grow(unit_of_work, ours, TREE)

    await move(unit_of_work, tree[3], None)

    assert await names_above(unit_of_work, tree[6]) == ["3"]
    assert await names_below(unit_of_work, tree[1]) == ["4"]


async def test_what_is_added_after_a_move_is_where_its_parent_is(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    tree = await grow(unit_of_work, ours, TREE)
    await move(unit_of_work, tree[3], tree[7])

    async with unit_of_work() as uow:
        await uow.assets.add(build_asset(organisation_id=ours, parent_id=tree[6].id, name="late"))
        await uow.commit()

    # By age, and not by when they came.
    assert await names_below(unit_of_work, tree[7]) == ["3", "6", "late", "8"]


async def test_a_page_goes_on_where_it_ended_though_the_whole_has_moved(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    tree = await grow(unit_of_work, ours, TREE)
    async with unit_of_work() as uow:
        first = await uow.places.list_descendants(ours, tree[1].id, depth=9, limit=2, cursor=None)

    await move(unit_of_work, tree[1], tree[8])

    async with unit_of_work() as uow:
        second = await uow.places.list_descendants(ours, tree[1].id, depth=9, limit=2, cursor=first.next_cursor)
    assert [asset.name for asset in first.items + second.items] == ["3", "6", "4"]
    assert second.next_cursor is None


async def test_a_page_goes_on_though_the_last_one_shown_has_gone(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    tree = await grow(unit_of_work, ours, TREE)
    async with unit_of_work() as uow:
        first = await uow.places.list_descendants(ours, tree[0].id, depth=9, limit=3, cursor=None)
        await uow.assets.remove(tree[6])
        await uow.commit()

    async with unit_of_work() as uow:
        second = await uow.places.list_descendants(ours, tree[0].id, depth=9, limit=9, cursor=first.next_cursor)
    assert [asset.name for asset in second.items] == ["4", "2", "5"]


async def test_nothing_is_deeper_than_the_last_level(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    chain = await grow(unit_of_work, ours, [None, *range(MAX_LEVELS - 1)])
    pair = await grow(unit_of_work, ours, [None, 0])
    assert len(await names_above(unit_of_work, chain[-1])) == MAX_LEVELS - 1

    with pytest.raises(AssetTooDeepError):
        async with unit_of_work() as uow:
            await uow.assets.add(build_asset(organisation_id=ours, parent_id=chain[-1].id))
    with pytest.raises(AssetTooDeepError):
        await move(unit_of_work, pair[0], chain[-2])

    assert await names_below(unit_of_work, pair[0]) == ["1"]
    assert await names_below(unit_of_work, chain[-1]) == []
    await move(unit_of_work, pair[0], chain[-3])
    assert await names_below(unit_of_work, chain[-3]) == [str(MAX_LEVELS - 2), str(MAX_LEVELS - 1), "0", "1"]


async def test_what_others_are_below_is_not_removed(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    root, child = await grow(unit_of_work, ours, [None, 0])

    with pytest.raises(AssetHasChildrenError):
        async with unit_of_work() as uow:
            await uow.assets.remove(root)

    async with unit_of_work() as uow:
        await uow.assets.remove(child)
        await uow.assets.remove(root)
        await uow.commit()
    async with unit_of_work() as uow:
        with pytest.raises(AssetNotFoundError):
            await uow.places.get(ours, root.id)


async def test_nothing_is_added_below_what_is_not_there(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    with pytest.raises(AssetParentUnknownError):
        async with unit_of_work() as uow:
            await uow.assets.add(build_asset(organisation_id=ours, parent_id=AssetId(uuid4())))


async def test_of_many_described_at_once_each_is_below_its_parent(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    site, hall = await grow(unit_of_work, ours, [None, 0])
    parents = [site, None, hall, site]
    described = [
        build_asset(organisation_id=ours, device_id=DeviceId(uuid4()), parent_id=parent.id if parent else None)
        for parent in parents
    ]

    async with unit_of_work() as uow:
        await uow.assets.add_missing(described)
        await uow.commit()

    for asset, parent in zip(described, parents, strict=True):
        assert (await names_above(unit_of_work, asset))[-1:] == ([parent.name] if parent else [])


@pytest.mark.parametrize("parent", ["unknown", "too deep"])
async def test_of_many_described_at_once_none_is_added_where_one_has_no_room(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, parent: str
) -> None:
    chain = await grow(unit_of_work, ours, [None, *range(MAX_LEVELS - 1)])
    parent_id = AssetId(uuid4()) if parent == "unknown" else chain[-1].id
    described = [
        build_asset(organisation_id=ours, device_id=DeviceId(uuid4()), parent_id=wanted)
        for wanted in (None, parent_id, chain[0].id)
    ]

    with pytest.raises(AssetParentUnknownError if parent == "unknown" else AssetTooDeepError):
        async with unit_of_work() as uow:
            await uow.assets.add_missing(described)

    async with unit_of_work() as uow:
        assert await uow.places.find(ours, [asset.id for asset in described]) == {}


async def test_places_are_found_of_what_is_there_and_ours(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    site, hall = await grow(unit_of_work, ours, [None, 0])
    [foreign] = await grow(unit_of_work, OrganisationId(uuid4()), [None])

    async with unit_of_work() as uow:
        found = await uow.places.find(ours, {site.id, hall.id, foreign.id, AssetId(uuid4())})
        assert found == {asset.id: await uow.places.get(ours, asset.id) for asset in (site, hall)}
        assert await uow.places.find(ours, ()) == {}


async def test_a_place_is_counted_with_all_below_it_as_far_as_it_is_asked(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    tree = await grow(unit_of_work, ours, TREE)

    async with unit_of_work() as uow:
        places = [await uow.places.get(ours, asset.id) for asset in tree]
        assert [await uow.places.count(place, at_most=5) for place in places] == [5, 4, 2, 2, 1, 1, 1, 2, 1]


async def test_another_organisation_sees_no_place(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    theirs = OrganisationId(uuid4())
    root, child = await grow(unit_of_work, ours, [None, 0])

    async with unit_of_work() as uow:
        with pytest.raises(AssetNotFoundError):
            await uow.places.get(theirs, root.id)
        with pytest.raises(AssetNotFoundError):
            await uow.places.list_ancestors(theirs, child.id, limit=1, cursor=None)


MADE_UP = [
    "!",
    encode_cursor(),
    encode_cursor(0),
    encode_cursor(-1),
    encode_cursor(2**63),
    encode_cursor(1.5),
    encode_cursor("1"),
    encode_cursor(*range(1, MAX_LEVELS + 2)),
]


@pytest.mark.parametrize("cursor", MADE_UP)
async def test_a_made_up_cursor_is_malformed(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, cursor: str
) -> None:
    (root,) = await grow(unit_of_work, ours, [None])

    async with unit_of_work() as uow:
        with pytest.raises(MalformedInputError):
            await uow.places.list_descendants(ours, root.id, depth=1, limit=1, cursor=cursor)
        with pytest.raises(MalformedInputError):
            await uow.places.list_ancestors(ours, root.id, limit=1, cursor=cursor)


async def test_a_cursor_beyond_the_end_gives_an_empty_page(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    root, _ = await grow(unit_of_work, ours, [None, 0])
    last = encode_place((2**63 - 1,) * MAX_LEVELS)

    async with unit_of_work() as uow:
        below = await uow.places.list_descendants(ours, root.id, depth=64, limit=1, cursor=last)
        above = await uow.places.list_ancestors(ours, root.id, limit=1, cursor=encode_cursor(MAX_LEVELS - 1))

    assert (below.items, below.next_cursor, above.items, above.next_cursor) == ([], None, [], None)
