from datetime import UTC, datetime
from itertools import count
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from iotsphere.assets.errors import (
    AssetBoundToDeviceError,
    AssetCycleError,
    AssetDeviceTakenError,
    AssetHasChildrenError,
    AssetNotFoundError,
    AssetParentUnknownError,
    AssetTooDeepError,
    AssetTooLargeError,
)
from iotsphere.assets.model import Asset, AssetDescription, AssetPatch
from iotsphere.assets.place import MANY, MAX_LEVELS
from iotsphere.assets.service import AssetService
from iotsphere.kernel.errors import PreconditionFailedError, RuleViolationError
from iotsphere.kernel.identifiers import AssetId, DeviceId, OrganisationId
from tests.factories.assets import build_asset
from tests.fakes.assets import InMemoryAssetRepository, InMemoryAssetsUnitOfWork

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LATER = datetime(2026, 11, 21, 12, tzinfo=UTC)
OURS = OrganisationId(uuid4())
THEIRS = OrganisationId(uuid4())
US = "user:us"


class Bench:
    """A service on a store in memory, with a clock that is set by hand."""

    def __init__(self) -> None:
        self.stored: dict[AssetId, Asset] = {}
        self.now = NOW
        self.long_moves = 0
        numbers = count(1)
        self.service = AssetService(
            unit_of_work=lambda: InMemoryAssetsUnitOfWork(self.stored),
            moving=self.open_for_long,
            clock=lambda: self.now,
            new_id=lambda: UUID(int=next(numbers)),
        )

    def open_for_long(self) -> InMemoryAssetsUnitOfWork:
        self.long_moves += 1
        return InMemoryAssetsUnitOfWork(self.stored)

    async def move(self, asset: Asset, parent: Asset | None, **patch: Any) -> Asset:
        patch["parent_id"] = parent.id if parent else None
        return await self.service.change_asset(
            changed_by=US,
            organisation_id=asset.organisation_id,
            asset_id=asset.id,
            patch=cast("AssetPatch", patch),
            expected_version=None,
        )

    async def add(self, **description: Any) -> Asset:
        given: dict[str, Any] = {"organisation_id": OURS, "added_by": US, "asset_type": "pump", "name": "P1"}
        return await self.service.add_asset(**given | description)

    async def grow(self, levels: int) -> Asset:
        """Add so many assets, each below the one before, and give the last."""
        last = await self.add()
        for _ in range(levels - 1):
            last = await self.add(parent_id=last.id)
        return last

    async def describe(self, device_id: DeviceId, description: AssetDescription) -> Asset:
        return await self.service.describe_device(
            organisation_id=OURS, device_id=device_id, described_by=US, description=description
        )


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_an_added_asset_can_be_read_again(bench: Bench) -> None:
    asset = await bench.add(properties={"a": 1}, capabilities=[{"name": "dosing"}])

    assert asset == await bench.service.get_asset(organisation_id=OURS, asset_id=asset.id)
    assert (asset.id, asset.version, asset.created_at, asset.updated_at) == (UUID(int=1), 1, NOW, NOW)
    assert (asset.properties, asset.capabilities, asset.device_id) == ({"a": 1}, [{"name": "dosing"}], None)


async def test_an_asset_that_breaks_a_rule_is_not_kept(bench: Bench) -> None:
    with pytest.raises(RuleViolationError):
        await bench.add(asset_type="Not A Type")

    assert bench.stored == {}


async def test_a_device_has_one_asset(bench: Bench) -> None:
    device_id = DeviceId(uuid4())
    first = await bench.add(device_id=device_id)

    with pytest.raises(AssetDeviceTakenError):
        await bench.add(device_id=device_id)

    assert list(bench.stored) == [first.id]
    assert await bench.service.get_device_asset(organisation_id=OURS, device_id=device_id) == first


async def test_nobody_else_sees_changes_or_removes_an_asset(bench: Bench) -> None:
    asset = await bench.add(device_id=DeviceId(uuid4()))
    theirs: dict[str, Any] = {"organisation_id": THEIRS, "asset_id": asset.id}

    with pytest.raises(AssetNotFoundError):
        await bench.service.get_asset(**theirs)
    with pytest.raises(AssetNotFoundError):
        await bench.service.change_asset(**theirs, changed_by=US, patch={"name": "Mine"}, expected_version=None)
    with pytest.raises(AssetNotFoundError):
        await bench.service.remove_asset(**theirs, expected_version=None)
    with pytest.raises(AssetNotFoundError):
        await bench.service.get_device_asset(organisation_id=THEIRS, device_id=asset.device_id)  # type: ignore[arg-type]
    assert list(bench.stored.values()) == [asset]


async def test_a_patch_is_kept_with_its_time_and_the_next_version(bench: Bench) -> None:
    asset = await bench.add(properties={"a": 1})
    bench.now = LATER

    changed = await bench.service.change_asset(
        changed_by=US, organisation_id=OURS, asset_id=asset.id, patch={"properties": {"b": 2}}, expected_version=1
    )

    assert bench.stored[asset.id] == changed
    assert (changed.properties, changed.version, changed.updated_at) == ({"a": 1, "b": 2}, 2, LATER)


async def test_a_patch_of_another_version_than_the_expected_one_changes_nothing(bench: Bench) -> None:
    asset = await bench.add()

    for expected in (0, 2, -1):
        with pytest.raises(PreconditionFailedError):
            await bench.service.change_asset(
                changed_by=US, organisation_id=OURS, asset_id=asset.id, patch={"name": "Q"}, expected_version=expected
            )

    assert bench.stored[asset.id] == asset


async def test_a_refused_patch_changes_nothing(bench: Bench) -> None:
    asset = await bench.add(properties={"a": "x" * 200_000})

    with pytest.raises(AssetTooLargeError):
        await bench.service.change_asset(
            changed_by=US,
            organisation_id=OURS,
            asset_id=asset.id,
            patch={"name": "Q", "properties": {"b": "x" * 100_000}},
            expected_version=None,
        )

    assert bench.stored[asset.id] == asset


async def test_a_removed_asset_is_gone(bench: Bench) -> None:
    asset = await bench.add()

    await bench.service.remove_asset(organisation_id=OURS, asset_id=asset.id, expected_version=1)

    assert bench.stored == {}


async def test_an_asset_of_another_version_than_the_expected_one_is_not_removed(bench: Bench) -> None:
    asset = await bench.add()

    with pytest.raises(PreconditionFailedError):
        await bench.service.remove_asset(organisation_id=OURS, asset_id=asset.id, expected_version=2)

    assert asset.id in bench.stored


async def test_the_asset_of_a_device_is_not_removed(bench: Bench) -> None:
    asset = await bench.add(device_id=DeviceId(uuid4()))

    with pytest.raises(AssetBoundToDeviceError):
        await bench.service.remove_asset(organisation_id=OURS, asset_id=asset.id, expected_version=None)

    assert asset.id in bench.stored


async def test_a_new_device_is_described_once_however_often_that_is_asked(bench: Bench) -> None:
    device_id = DeviceId(uuid4())

    first = await bench.describe(device_id, AssetDescription("pump", "P1", {"a": 1}))
    again = await bench.describe(device_id, AssetDescription("pump", "P1 again"))

    assert first == again == bench.stored[first.id]
    assert len(bench.stored) == 1


async def test_a_device_that_is_described_by_somebody_else_meanwhile_keeps_their_asset(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    device_id = DeviceId(uuid4())
    first = await bench.add(device_id=device_id)
    find = InMemoryAssetRepository.find_for_device
    looks = count(1)

    async def find_from_the_second_look_on(self: InMemoryAssetRepository, *where: Any) -> Asset | None:
        return None if next(looks) == 1 else await find(self, *where)

    monkeypatch.setattr(InMemoryAssetRepository, "find_for_device", find_from_the_second_look_on)

    found = await bench.describe(device_id, AssetDescription("pump", "Late"))

    assert found == first
    assert list(bench.stored) == [first.id]


async def test_a_new_device_is_described_as_part_of_something(bench: Bench) -> None:
    hall = await bench.add()
    part = AssetDescription("pump", "P", parent_id=hall.id)

    one = await bench.describe(DeviceId(uuid4()), part)
    await bench.service.describe_devices(
        organisation_id=OURS, described_by=US, descriptions={DeviceId(uuid4()): part for _ in range(2)}
    )

    below = await bench.service.list_descendants(
        organisation_id=OURS, asset_id=hall.id, depth=9, limit=9, cursor=None
    )
    assert (below.items[0], len(below.items)) == (one, 3)


@pytest.mark.parametrize("whose", ["nobody's", "theirs", "too deep"])
async def test_a_new_device_is_not_described_as_part_of_what_has_no_room_for_it(bench: Bench, whose: str) -> None:
    parent_id = AssetId(UUID(int=999))
    if whose == "theirs":
        parent_id = (await bench.add(organisation_id=THEIRS)).id
    if whose == "too deep":
        parent_id = (await bench.grow(MAX_LEVELS)).id
    refused = AssetTooDeepError if whose == "too deep" else AssetParentUnknownError
    there = dict(bench.stored)
    described = {DeviceId(uuid4()): AssetDescription("pump", "P", parent_id=wanted) for wanted in (None, parent_id)}

    for device_id, description in list(described.items())[1:]:
        with pytest.raises(refused):
            await bench.describe(device_id, description)
    with pytest.raises(refused):
        await bench.service.describe_devices(organisation_id=OURS, described_by=US, descriptions=described)

    assert bench.stored == there
    found = await bench.service.find_refused_parents(organisation_id=OURS, parent_ids={parent_id})
    assert {key: type(error) for key, error in found.items()} == {parent_id: refused}


async def test_what_has_room_below_it_is_not_refused(bench: Bench) -> None:
    parent_ids = {(await bench.grow(MAX_LEVELS - 1)).id, (await bench.add()).id}

    assert await bench.service.find_refused_parents(organisation_id=OURS, parent_ids=parent_ids) == {}


async def test_an_asset_below_another_one_moves_with_it(bench: Bench) -> None:
    site, other = await bench.add(), await bench.add()
    hall = await bench.add(parent_id=site.id)
    pump = await bench.add(parent_id=hall.id)
    bench.now = LATER

    moved = await bench.move(hall, other, name="Hall")

    assert (moved.parent_id, moved.name, moved.version, moved.updated_at) == (other.id, "Hall", 2, LATER)
    above = await bench.service.list_ancestors(organisation_id=OURS, asset_id=pump.id, limit=9, cursor=None)
    below = await bench.service.list_descendants(
        organisation_id=OURS, asset_id=site.id, depth=9, limit=9, cursor=None
    )
    assert (above.items, below.items) == ([other, moved], [])


async def test_a_refused_move_changes_nothing_else_either(bench: Bench) -> None:
    site = await bench.add()
    hall = await bench.add(parent_id=site.id)
    foreign = await bench.add(organisation_id=THEIRS)

    with pytest.raises(AssetCycleError):
        await bench.move(site, hall, name="changed")
    with pytest.raises(AssetParentUnknownError) as refused:
        await bench.move(hall, foreign, name="changed")
    with pytest.raises(AssetParentUnknownError):
        await bench.add(parent_id=foreign.id)

    assert list(refused.value.errors) == ["parent_id"]
    assert list(bench.stored.values()) == [site, hall, foreign]


async def test_what_others_are_below_is_not_removed(bench: Bench) -> None:
    site = await bench.add()
    await bench.add(parent_id=site.id)

    with pytest.raises(AssetHasChildrenError):
        await bench.service.remove_asset(organisation_id=OURS, asset_id=site.id, expected_version=None)

    assert site.id in bench.stored


async def test_only_what_has_many_below_it_is_moved_where_there_is_time_for_that(bench: Bench) -> None:
    site, other = await bench.add(), await bench.add()
    parts = [build_asset(organisation_id=OURS, parent_id=site.id) for _ in range(MANY - 1)]
    bench.stored.update({part.id: part for part in parts})

    site = await bench.move(site, other)
    assert bench.long_moves == 0

    await bench.add(parent_id=site.id)
    moved = await bench.move(site, None)

    assert (bench.long_moves, moved.parent_id) == (1, None)
    assert bench.stored[site.id] == moved
