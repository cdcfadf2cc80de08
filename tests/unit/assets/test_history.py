from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from iotsphere.assets.change import AssetChange, AssetChangeKind
from iotsphere.assets.errors import AssetNotFoundError, AssetVersionNotFoundError
from iotsphere.assets.history import AssetHistoryService
from iotsphere.assets.model import Asset, AssetDescription, AssetPatch
from iotsphere.assets.service import AssetService
from iotsphere.kernel.errors import RuleViolationError
from iotsphere.kernel.identifiers import AssetId, DeviceId, OrganisationId
from tests.factories.assets import build_asset
from tests.fakes.assets import Changes, InMemoryAssetsUnitOfWork

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
OURS = OrganisationId(uuid4())
THEIRS = OrganisationId(uuid4())


class Bench:
    """What changes assets and what tells of it, on one store in memory, with a clock that is set by hand."""

    def __init__(self) -> None:
        self.assets: dict[AssetId, Asset] = {}
        self.changes: Changes = {}
        self.now = NOW
        self.service = AssetService(unit_of_work=self.open, moving=self.open, clock=lambda: self.now, new_id=uuid4)
        self.history = AssetHistoryService(unit_of_work=self.open)

    def open(self) -> InMemoryAssetsUnitOfWork:
        return InMemoryAssetsUnitOfWork(self.assets, committed_changes=self.changes)

    async def add(self, **said: Any) -> Asset:
        return await self.service.add_asset(
            organisation_id=OURS, added_by="user:maker", asset_type="pump", name="P1", **said
        )

    async def change(self, asset: Asset, patch: AssetPatch, *, by: str = "user:changer") -> Asset:
        return await self.service.change_asset(
            organisation_id=OURS, asset_id=asset.id, changed_by=by, patch=patch, expected_version=None
        )

    async def told(self, asset: Asset, **narrowed: Any) -> list[AssetChange]:
        given: dict[str, Any] = {"start": None, "end": None, "limit": 100, "cursor": None} | narrowed
        page = await self.history.list_changes(organisation_id=OURS, asset_id=asset.id, **given)
        assert page.next_cursor is None
        return page.items

    async def version(self, asset: Asset, version: int) -> Asset:
        return await self.history.get_version(organisation_id=OURS, asset_id=asset.id, version=version)

    async def at(self, asset: Asset, at: datetime) -> Asset:
        return await self.history.get_at(organisation_id=OURS, asset_id=asset.id, at=at)


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_every_change_is_told_with_actor_and_time_the_newest_first(bench: Bench) -> None:
    site = await bench.add()
    asset = await bench.add(properties={"a": 1, "n": None})
    bench.now += timedelta(hours=1)
    await bench.change(asset, {"properties": {"a": 2, "b": 3}})
    bench.now += timedelta(hours=1)
    await bench.change(asset, {"parent_id": site.id}, by="integration:mover")

    moved, changed, added = await bench.told(asset)

    assert [(each.version, each.kind, each.actor, each.at) for each in (moved, changed, added)] == [
        (3, AssetChangeKind.CHANGED, "integration:mover", NOW + timedelta(hours=2)),
        (2, AssetChangeKind.CHANGED, "user:changer", NOW + timedelta(hours=1)),
        (1, AssetChangeKind.ADDED, "user:maker", NOW),
    ]
    assert moved.content == {"parent_id": str(site.id)}
    assert changed.content == {"properties": {"a": 2, "b": 3}}
    assert added.content == {
        "asset_type": "pump",
        "name": "P1",
        "properties": {"a": 1, "n": None},
        "capabilities": [],
    }


async def test_an_asset_is_shown_as_it_was_at_a_version_and_at_a_time(bench: Bench) -> None:
    versions = [await bench.add(properties={"a": 1})]
    for number in range(3):
        bench.now += timedelta(hours=1)
        versions.append(await bench.change(versions[0], {"properties": {"a": number, f"b{number}": [{}]}}))

    assert [await bench.version(versions[0], number) for number in (1, 2, 3, 4)] == versions
    for number, then in enumerate(versions):
        moment = NOW + timedelta(hours=number)
        assert await bench.at(then, moment) == await bench.at(then, moment + timedelta(minutes=59)) == then
    assert await bench.at(versions[0], datetime.max.replace(tzinfo=UTC)) == versions[3]


async def test_of_changes_at_the_same_moment_the_last_one_holds(bench: Bench) -> None:
    asset = await bench.add()
    await bench.change(asset, {"name": "P2"})
    last = await bench.change(asset, {"name": "P3"})

    assert await bench.at(asset, NOW) == last
    assert [change.version for change in await bench.told(asset)] == [3, 2, 1]


async def test_a_clock_that_is_behind_does_not_turn_the_order(bench: Bench) -> None:
    asset = await bench.add()
    bench.now -= timedelta(hours=1)

    changed = await bench.change(asset, {"name": "P2"})

    assert await bench.at(asset, NOW) == changed
    assert [change.at for change in await bench.told(asset)] == [NOW, NOW]


async def test_before_it_was_added_there_was_no_such_asset(bench: Bench) -> None:
    asset = await bench.add()

    with pytest.raises(AssetVersionNotFoundError, match="was added at 2026-11-20T12:00:00"):
        await bench.at(asset, NOW - timedelta(microseconds=1))
    with pytest.raises(AssetVersionNotFoundError, match="no version 2 yet"):
        await bench.version(asset, 2)


async def test_what_was_there_before_it_had_a_history_is_found_as_it_is(bench: Bench) -> None:
    asset = build_asset(organisation_id=OURS, created_at=NOW - timedelta(days=9), updated_at=NOW, version=7)
    bench.assets[asset.id] = asset

    [found] = await bench.told(asset)
    assert (found.version, found.kind, found.at, found.actor) == (7, AssetChangeKind.FOUND, NOW, "unknown")
    assert found.content["properties"] == asset.properties
    assert await bench.version(asset, 7) == await bench.at(asset, NOW) == asset
    with pytest.raises(AssetVersionNotFoundError, match="does not go back to that time"):
        await bench.at(asset, NOW - timedelta(microseconds=1))
    with pytest.raises(AssetVersionNotFoundError, match="does not go back to version 6"):
        await bench.version(asset, 6)

    bench.now += timedelta(hours=1)
    await bench.change(asset, {"name": "P2"})

    assert [(change.version, change.actor) for change in await bench.told(asset)] == [
        (8, "user:changer"),
        (7, "unknown"),
    ]
    assert await bench.version(asset, 7) == asset


async def test_a_refused_change_is_not_told(bench: Bench) -> None:
    asset = await bench.add()

    with pytest.raises(RuleViolationError):
        await bench.change(asset, {"name": ""})
    with pytest.raises(RuleViolationError):
        await bench.change(asset, {"parent_id": AssetId(uuid4())})

    assert [change.version for change in await bench.told(asset)] == [1]


async def test_the_asset_of_a_device_is_told_to_be_made_by_who_registered_it(bench: Bench) -> None:
    one, other, third = (DeviceId(uuid4()) for _ in range(3))
    described = await bench.service.describe_device(
        organisation_id=OURS, device_id=one, described_by="user:1", description=AssetDescription("pump", "P")
    )
    descriptions = {device: AssetDescription("pump", "P") for device in (one, other, third)}
    await bench.service.describe_devices(
        organisation_id=OURS, described_by="provisioning_key:2", descriptions=descriptions
    )

    assert [change.actor for change in await bench.told(described)] == ["user:1"]
    for device_id in (other, third):
        asset = await bench.service.get_device_asset(organisation_id=OURS, device_id=device_id)
        assert [change.actor for change in await bench.told(asset)] == ["provisioning_key:2"]
    assert len(bench.changes) == 3


async def test_the_history_goes_with_the_asset(bench: Bench) -> None:
    asset, other = await bench.add(), await bench.add()
    await bench.change(asset, {"name": "P2"})

    await bench.service.remove_asset(organisation_id=OURS, asset_id=asset.id, expected_version=None)

    assert {asset_id for asset_id, _ in bench.changes} == {other.id}
    with pytest.raises(AssetNotFoundError):
        await bench.told(asset)


async def test_nobody_else_sees_the_history(bench: Bench) -> None:
    asset = await bench.add()
    await bench.change(asset, {"name": "P2"})
    theirs: dict[str, Any] = {"organisation_id": THEIRS, "asset_id": asset.id}

    with pytest.raises(AssetNotFoundError):
        await bench.history.list_changes(**theirs, start=None, end=None, limit=9, cursor=None)
    with pytest.raises(AssetNotFoundError):
        await bench.history.get_version(**theirs, version=1)
    with pytest.raises(AssetNotFoundError):
        await bench.history.get_at(**theirs, at=NOW)
    with pytest.raises(AssetNotFoundError):
        await bench.version(build_asset(id=UUID(int=9)), 1)


async def test_a_time_in_which_nothing_was_changed_has_no_changes(bench: Bench) -> None:
    asset = await bench.add()

    assert await bench.told(asset, start=NOW + timedelta(hours=1)) == []
    assert await bench.told(asset, end=NOW) == []
    assert len(await bench.told(asset, start=NOW, end=NOW + timedelta(microseconds=1))) == 1
