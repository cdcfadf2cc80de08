import random
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from iotsphere.assets.asset_line import KnownAsset
from iotsphere.assets.documents import size_of
from iotsphere.assets.errors import AssetNotFoundError
from iotsphere.assets.model import Asset
from iotsphere.assets.ports import AssetsUnitOfWork, AssetsUnitOfWorkFactory
from iotsphere.assets.search import AssetFilter
from iotsphere.kernel.identifiers import AssetId, DeviceId, OrganisationId
from tests.factories.assets import build_asset

HOSTILE = {"": [5e-324, 0.0, 2**70, None, {}], "a\u0308'; --": {"{,}": '"\\'}, "one": 1, "float": 1.0, "n": None}


@pytest.fixture
def ours() -> OrganisationId:
    return OrganisationId(uuid4())


async def all_names(uow: AssetsUnitOfWork, ours: OrganisationId, *, limit: int, **narrowed_to: Any) -> list[str]:
    names: list[str] = []
    cursor: str | None = None
    while True:
        page = await uow.asset_files.list(ours, AssetFilter(**narrowed_to), limit=limit, cursor=cursor)
        names += [asset.name for asset in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return names


async def add(unit_of_work: AssetsUnitOfWorkFactory, *assets: Asset) -> None:
    async with unit_of_work() as uow:
        await uow.asset_files.add(assets)
        await uow.commit()


async def test_what_is_added_comes_back_as_it_was(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    root = build_asset(organisation_id=ours, properties=HOSTILE, name='\u202e"\\,{}\n😀', capabilities=[])
    below = build_asset(organisation_id=ours, parent_id=root.id)
    await add(unit_of_work, root)
    await add(unit_of_work, below)

    async with unit_of_work() as uow:
        for asset in (root, below):
            found = await uow.assets.get(ours, asset.id)
            assert (found, repr(sorted(found.properties.items()))) == (asset, repr(sorted(asset.properties.items())))


async def test_what_was_added_before_stays_as_it_is(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    one, other = build_asset(organisation_id=ours), build_asset(organisation_id=ours)
    await add(unit_of_work, one)

    async with unit_of_work() as uow:
        assert await uow.asset_files.add([replace(one, name="Again"), other]) == {other.id}
        await uow.commit()

    async with unit_of_work() as uow:
        assert await uow.assets.get(ours, one.id) == one
        assert await uow.assets.get(ours, other.id) == other


async def test_those_below_one_stand_in_the_order_in_which_they_were_given(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    root = build_asset(organisation_id=ours)
    below = [build_asset(organisation_id=ours, parent_id=root.id, name=str(n)) for n in range(30)]
    random.Random(6).shuffle(below)  # noqa: S311  # no secret
    await add(unit_of_work, root)
    await add(unit_of_work, *below)

    async with unit_of_work() as uow:
        page = await uow.places.list_descendants(ours, root.id, depth=1, limit=50, cursor=None)
        assert [asset.name for asset in page.items] == [asset.name for asset in below]


async def test_assets_are_found_by_their_names_in_their_organisation_alone(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    device_id, their_device = DeviceId(uuid4()), DeviceId(uuid4())
    root = build_asset(organisation_id=ours, properties={"a": 1}, capabilities=[])
    device = build_asset(organisation_id=ours, parent_id=root.id, device_id=device_id, properties={"b": "x" * 1000})
    theirs = build_asset(organisation_id=uuid4(), device_id=their_device)
    async with unit_of_work() as uow:
        for asset in (root, device, theirs):
            await uow.assets.add(asset)
        await uow.commit()
    ids = {root.id, device.id, theirs.id, AssetId(uuid4())}
    devices = {device_id, their_device, DeviceId(uuid4())}

    async with unit_of_work() as uow:
        files = uow.asset_files
        known = {asset.id: asset for asset in await files.find_known(ours, asset_ids=ids, device_ids=())}
        assert [asset.id for asset in await files.find_known(ours, asset_ids=(), device_ids=devices)] == [device.id]
        both = await files.find_known(ours, asset_ids=ids, device_ids=devices)
        assert sorted(asset.id for asset in both) == sorted(known)
        assert await files.find_known(ours, asset_ids=(), device_ids=()) == []
        found = {asset.id: asset for asset in await files.find(ours, ids)}
        places = await files.find_places(ours, ids)

    # PostgreSQL writes a blank behind colons and commas.
    assert known == {
        root.id: KnownAsset(root.id, None, None, True, known[root.id].size),
        device.id: KnownAsset(device.id, device_id, root.id, False, known[device.id].size),
    }
    for asset in (root, device):
        assert 0 <= known[asset.id].size - size_of(asset.properties) - size_of(asset.capabilities) < 20
    assert found == {root.id: root, device.id: device}
    assert places[device.id][:-1] == places[root.id]
    assert places.keys() == found.keys()


async def test_changes_and_moves_of_many_are_kept(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    roots = [build_asset(organisation_id=ours, name=str(n)) for n in range(4)]
    theirs = build_asset(organisation_id=uuid4())
    await add(unit_of_work, *roots, theirs)
    changed = [
        replace(roots[0], name="=changed", properties=HOSTILE, version=2),
        replace(roots[1], parent_id=roots[0].id, version=2),
        replace(roots[2], parent_id=roots[0].id, capabilities=[{"name": "x", "y": None}], version=7),
    ]

    async with unit_of_work() as uow:
        await uow.places.hold(ours, alone=True)
        places = await uow.asset_files.find_places(ours, {asset.id for asset in roots})
        await uow.asset_files.save([*changed, replace(theirs, organisation_id=ours, name="Ours")])
        await uow.asset_files.save_places([(*places[roots[0].id], places[root.id][-1]) for root in roots[1:3]])
        await uow.commit()

    async with unit_of_work() as uow:
        found = {asset.id: asset for asset in await uow.asset_files.find(ours, {asset.id for asset in roots})}
        assert found == {asset.id: asset for asset in [*changed, roots[3]]}
        assert (await uow.assets.get(theirs.organisation_id, theirs.id)).name == theirs.name
        page = await uow.places.list_descendants(ours, roots[0].id, depth=9, limit=9, cursor=None)
        assert [asset.name for asset in page.items] == ["1", "2"]


@pytest.mark.parametrize("limit", [1, 2, 3, 500])
async def test_all_are_listed_tree_by_tree_each_before_what_is_below_it(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, limit: int
) -> None:
    inner, pump = build_asset(organisation_id=ours, name="inner"), build_asset(organisation_id=ours, name="pump")
    site, yard = build_asset(organisation_id=ours, name="site"), build_asset(organisation_id=ours, name="yard")
    await add(unit_of_work, inner, pump, site, yard, build_asset(organisation_id=uuid4(), name="theirs"))
    # The older are now below the younger.
    async with unit_of_work() as uow:
        await uow.places.hold(ours, alone=True)
        places = await uow.asset_files.find_places(ours, {inner.id, pump.id, site.id})
        below = (*places[site.id], *places[inner.id])
        moved = [replace(inner, parent_id=site.id), replace(pump, parent_id=inner.id, asset_type="meter")]
        await uow.asset_files.save_places([below, (*below, *places[pump.id])])
        await uow.asset_files.save(moved)
        await uow.commit()

    async with unit_of_work() as uow:
        assert await all_names(uow, ours, limit=limit) == ["site", "inner", "pump", "yard"]
        assert await all_names(uow, ours, limit=limit, asset_type="meter") == ["pump"]
        assert await all_names(uow, ours, limit=limit, asset_type="none") == []
        assert await all_names(uow, OrganisationId(uuid4()), limit=limit) == []


@pytest.mark.parametrize("limit", [1, 2, 500])
async def test_what_is_below_an_asset_is_listed_with_that_one(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, limit: int
) -> None:
    site, other = build_asset(organisation_id=ours, name="site"), build_asset(organisation_id=ours, name="other")
    theirs = build_asset(organisation_id=uuid4())
    halls = [build_asset(organisation_id=ours, name=f"hall {n}", parent_id=site.id) for n in range(2)]
    lines = [build_asset(organisation_id=ours, name=f"line {n}", parent_id=halls[0].id) for n in range(3)]
    await add(unit_of_work, site, other, theirs)
    await add(unit_of_work, *halls)
    await add(unit_of_work, *lines)

    async with unit_of_work() as uow:
        assert await all_names(uow, ours, limit=limit, ancestor=halls[0].id) == [
            "hall 0",
            "line 0",
            "line 1",
            "line 2",
        ]
        assert await all_names(uow, ours, limit=limit, ancestor=lines[2].id) == ["line 2"]
        assert await all_names(uow, ours, limit=limit, ancestor=site.id, parent_id=site.id) == ["hall 0", "hall 1"]
        assert await all_names(uow, ours, limit=limit, parent_id=halls[0].id) == ["line 0", "line 1", "line 2"]
        assert await all_names(uow, ours, limit=limit, words="li 1") == ["line 1"]
        for unknown in (theirs.id, AssetId(uuid4())):
            with pytest.raises(AssetNotFoundError):
                await all_names(uow, ours, limit=limit, ancestor=unknown)
            with pytest.raises(AssetNotFoundError):
                await all_names(uow, ours, limit=limit, parent_id=unknown)


async def test_what_is_added_between_two_pages_hides_nothing(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    roots = [build_asset(organisation_id=ours, name=f"{n}") for n in range(3)]
    inner = [build_asset(organisation_id=ours, name=f"{n}.0", parent_id=root.id) for n, root in enumerate(roots)]
    await add(unit_of_work, *roots)
    await add(unit_of_work, *inner)
    names: list[str] = []
    cursor: str | None = None
    for n in range(20):
        async with unit_of_work() as uow:
            page = await uow.asset_files.list(ours, AssetFilter(), limit=1, cursor=cursor)
        names += [asset.name for asset in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
        if n < 6:
            await add(unit_of_work, build_asset(organisation_id=ours, name="later", parent_id=roots[n % 3].id))

    assert cursor is None
    assert [name for name in names if name != "later"] == ["0", "0.0", "1", "1.0", "2", "2.0"]
