from dataclasses import replace
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from iotsphere.assets.errors import AssetDeviceTakenError, AssetNotFoundError
from iotsphere.assets.model import Asset
from iotsphere.assets.ports import AssetsUnitOfWorkFactory
from iotsphere.assets.search import AssetFilter
from iotsphere.kernel.identifiers import AssetId, DeviceId, OrganisationId
from tests.factories.assets import FIRST_DAY, build_asset


@pytest.fixture
def ours() -> OrganisationId:
    return OrganisationId(uuid4())


@pytest.fixture
def device_id() -> DeviceId:
    return DeviceId(uuid4())


async def keep(unit_of_work: AssetsUnitOfWorkFactory, *assets: Asset) -> None:
    async with unit_of_work() as uow:
        for asset in assets:
            await uow.assets.add(asset)
        await uow.commit()


async def listed(unit_of_work: AssetsUnitOfWorkFactory, organisation_id: OrganisationId) -> list[Asset]:
    async with unit_of_work() as uow:
        page = await uow.search.list(organisation_id, AssetFilter(), limit=500, cursor=None)
    assert page.next_cursor is None
    return page.items


async def test_returns_what_was_added(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, device_id: DeviceId
) -> None:
    asset = build_asset(organisation_id=ours, device_id=device_id, name="Pümpe 😀", version=3)

    await keep(unit_of_work, asset)

    async with unit_of_work() as uow:
        assert await uow.assets.get(ours, asset.id) == asset
        assert await uow.assets.get(ours, asset.id, for_update=True) == asset
        assert await uow.assets.find_for_device(ours, device_id) == asset


async def test_of_many_those_are_added_whose_device_has_no_asset(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, device_id: DeviceId
) -> None:
    there = build_asset(organisation_id=ours, device_id=device_id, name="There")
    await keep(unit_of_work, there)
    added = [build_asset(organisation_id=ours, device_id=DeviceId(uuid4()), properties={"a": [{}]}) for _ in range(3)]

    async with unit_of_work() as uow:
        await uow.assets.add_missing([added[0], build_asset(organisation_id=ours, device_id=device_id), *added[1:]])
        await uow.commit()

    assert await listed(unit_of_work, ours) == [there, *added]


@pytest.mark.parametrize(
    "properties",
    [
        {"one": 1, "one_point_zero": 1.0, "true": True},
        {"beyond_64_bits": 2**64 + 1, "below": -(2**63) - 1, "huge": 10**300 + 7},
        {"array": [], "object": {}, "null": None, "text": "", "nested": [[], {}, [None], [{"a": []}]]},
        {"": 1, " ": 2, "a.b": 3, "$ref": 4, "A": 5, "a": 6, "ä": 7, "a\u0308": 8, "\U0001f600": 9, '"\\/\n': 10},
        {"fractions": [0.1, 1e-7, 5e-324, 9007199254740993.5, 123456.789, 1.10]},
        {"order": [3, 1, 2, 1], "text": "\u0001\u007f\u2028\uffff"},
    ],
)
async def test_properties_keep_their_json_exactly(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, properties: dict[str, Any]
) -> None:
    asset = build_asset(organisation_id=ours, properties=properties, capabilities=[{"name": "c"} | properties])

    await keep(unit_of_work, asset)

    async with unit_of_work() as uow:
        found = await uow.assets.get(ours, asset.id)
    # Python takes 1 for 1.0 and for True, so the JSON is compared.
    as_added = msgspec.json.encode([properties, asset.capabilities], order="sorted")
    assert msgspec.json.encode([found.properties, found.capabilities], order="sorted") == as_added


async def test_nothing_is_kept_without_a_commit(unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId) -> None:
    kept, left = build_asset(organisation_id=ours), build_asset(organisation_id=ours)
    await keep(unit_of_work, kept)

    async with unit_of_work() as uow:
        await uow.assets.add(left)
        await uow.assets.save(replace(kept, name="Other"))
        assert (await uow.assets.get(ours, kept.id)).name == "Other"

    assert await listed(unit_of_work, ours) == [kept]


async def test_a_second_asset_of_a_device_is_refused_and_the_first_can_be_found_at_once(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, device_id: DeviceId
) -> None:
    first = build_asset(organisation_id=ours, device_id=device_id)
    await keep(unit_of_work, first)

    async with unit_of_work() as uow:
        with pytest.raises(AssetDeviceTakenError):
            await uow.assets.add(build_asset(organisation_id=ours, device_id=device_id))
        assert await uow.assets.find_for_device(ours, device_id) == first

    assert await listed(unit_of_work, ours) == [first]


async def test_many_assets_may_be_no_devices(unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId) -> None:
    assets = [build_asset(organisation_id=ours) for _ in range(3)]

    await keep(unit_of_work, *assets)

    assert await listed(unit_of_work, ours) == assets


async def test_an_asset_that_is_not_there_is_not_found(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, device_id: DeviceId
) -> None:
    async with unit_of_work() as uow:
        with pytest.raises(AssetNotFoundError):
            await uow.assets.get(ours, AssetId(uuid4()))
        assert await uow.assets.find_for_device(ours, device_id) is None


async def test_another_organisation_finds_changes_and_removes_nothing(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, device_id: DeviceId
) -> None:
    asset = build_asset(organisation_id=ours, device_id=device_id)
    theirs = OrganisationId(uuid4())
    await keep(unit_of_work, asset)

    async with unit_of_work() as uow:
        for for_update in (False, True):
            with pytest.raises(AssetNotFoundError):
                await uow.assets.get(theirs, asset.id, for_update=for_update)
        assert await uow.assets.find_for_device(theirs, device_id) is None
        await uow.assets.save(replace(asset, organisation_id=theirs, name="Stolen"))
        await uow.assets.remove(replace(asset, organisation_id=theirs))
        await uow.commit()

    assert await listed(unit_of_work, theirs) == []
    assert await listed(unit_of_work, ours) == [asset]


async def test_a_saved_asset_is_what_was_saved(unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId) -> None:
    asset = build_asset(organisation_id=ours)
    await keep(unit_of_work, asset)
    changed = asset.change(
        {"name": "New", "asset_type": "robot", "properties": {"a": 1}, "capabilities": None}, changed_at=FIRST_DAY
    )

    async with unit_of_work() as uow:
        await uow.assets.save(changed)
        await uow.commit()

    assert await listed(unit_of_work, ours) == [changed]


async def test_a_removed_asset_is_gone_and_its_device_free(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, device_id: DeviceId
) -> None:
    asset = build_asset(organisation_id=ours, device_id=device_id)
    await keep(unit_of_work, asset)

    async with unit_of_work() as uow:
        await uow.assets.remove(asset)
        await uow.commit()
    await keep(unit_of_work, replace(asset, id=AssetId(uuid4())))

    with pytest.raises(AssetNotFoundError):
        async with unit_of_work() as uow:
            await uow.assets.get(ours, asset.id)


async def test_names_are_told_of_those_that_are_ours(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    one, other = build_asset(organisation_id=ours), build_asset(organisation_id=ours)
    foreign = build_asset()
    await keep(unit_of_work, one, other, foreign)

    async with unit_of_work() as uow:
        assert await uow.assets.find_names(ours, {one.id, foreign.id, AssetId(uuid4())}) == {one.id: one.name}
        assert await uow.assets.find_names(ours, set()) == {}
