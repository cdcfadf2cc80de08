"""What is said of a device's asset, held against what its type says, with the registry there or away."""

from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from iotsphere.assets.known_types import KnownTypes
from iotsphere.assets.model import Asset, AssetPatch
from iotsphere.assets.service import AssetService
from iotsphere.assets.shipped_types import ShippedTypes
from iotsphere.kernel.clock import utc_now
from iotsphere.kernel.errors import PreconditionFailedError, RuleViolationError, UnavailableError
from iotsphere.kernel.identifiers import AssetId, DeviceId, OrganisationId
from iotsphere.registry.model import Device
from iotsphere.registry.service import DeviceRegistryService
from iotsphere.workflows.description import DescriptionWorkflow
from iotsphere.workflows.device_kinds import DeviceKinds
from tests.factories.assets import build_asset, build_device_type
from tests.factories.registry import build_device
from tests.fakes.assets import DeviceTypes, InMemoryAssetsUnitOfWork
from tests.fakes.registry import InMemoryRegistryUnitOfWork, RegistryTables, UnreachableUnitOfWork

OURS = OrganisationId(uuid4())
SCHEMA = {"properties": {"kw": {"type": "number", "maximum": 10}}, "required": ["kw"]}


class Site:
    """A registry and an asset database in memory; of a ``pump`` the ``kw`` have to be said, and are at most 10."""

    def __init__(self) -> None:
        self.tables = RegistryTables()
        self.assets: dict[AssetId, Asset] = {}
        self.types: DeviceTypes = {}
        self.is_registry_away = False
        self.say(SCHEMA)
        self.start_process()

    def start_process(self) -> None:
        """Begin with nothing remembered."""
        open_assets = partial(InMemoryAssetsUnitOfWork, self.assets, self.types)
        devices = DeviceRegistryService(unit_of_work=self.open_registry, clock=utc_now, new_id=uuid4)
        self.workflow = DescriptionWorkflow(
            devices=devices,
            kinds=DeviceKinds(devices=devices),
            types=KnownTypes(unit_of_work=open_assets, shipped=ShippedTypes({})),
            assets=AssetService(unit_of_work=open_assets, moving=open_assets, clock=utc_now, new_id=uuid4),
        )

    def open_registry(self) -> InMemoryRegistryUnitOfWork:
        return (UnreachableUnitOfWork if self.is_registry_away else InMemoryRegistryUnitOfWork)(self.tables)

    def say(self, schema: dict[str, Any] | None, version: int = 1) -> None:
        self.types[OURS, "pump"] = build_device_type(
            organisation_id=OURS, name="pump", properties_schema=schema, version=version
        )

    def add_device(self, organisation_id: OrganisationId = OURS) -> Device:
        device = build_device(organisation_id=organisation_id)
        self.tables.devices[device.id] = device
        return device

    def add_described(self, properties: dict[str, Any], device_id: DeviceId | None = None) -> Asset:
        """Keep an asset as it is, whatever its type says."""
        device_id = device_id or self.add_device().id
        asset = build_asset(organisation_id=OURS, device_id=device_id, properties=properties)
        self.assets[asset.id] = asset
        return asset

    async def add(self, **said: Any) -> Asset:
        return await self.workflow.add_asset(
            organisation_id=OURS, added_by="user:1", asset_type="pump", name="P", **said
        )

    async def change(self, asset: Asset, patch: AssetPatch, expected_version: int | None = None) -> Asset:
        return await self.workflow.change_asset(
            organisation_id=OURS,
            asset_id=asset.id,
            changed_by="user:1",
            patch=patch,
            expected_version=expected_version,
        )


@pytest.fixture
def site() -> Site:
    return Site()


async def test_what_is_said_of_a_device_has_to_fit_its_type(site: Site) -> None:
    with pytest.raises(RuleViolationError) as refusal:
        await site.add(device_id=site.add_device().id, properties={"kw": 11})

    assert refusal.value.errors == {"properties.kw": ["It is greater than the maximum of 10"]}
    assert site.assets == {}
    assert (await site.add(device_id=site.add_device().id, properties={"kw": 9})).properties == {"kw": 9}


@pytest.mark.parametrize("said", [{}, {"properties": {}}])
async def test_of_a_device_nothing_need_be_said(site: Site, said: dict[str, Any]) -> None:
    assert (await site.add(device_id=site.add_device().id, **said)).properties == {}


async def test_what_belongs_to_no_device_is_held_against_nothing(site: Site) -> None:
    asset = await site.add(properties={"kw": "much"})

    assert (await site.change(asset, {"properties": {"kw": 11}})).properties == {"kw": 11}


@pytest.mark.parametrize("organisation_id", [OURS, OrganisationId(uuid4())])
async def test_a_device_that_is_not_there_or_not_ours_is_refused(site: Site, organisation_id: OrganisationId) -> None:
    device = build_device() if organisation_id == OURS else site.add_device(organisation_id)

    with pytest.raises(RuleViolationError) as refusal:
        await site.add(device_id=device.id, properties={"kw": 11})

    assert list(refusal.value.errors) == ["device_id"]


async def test_a_change_has_to_fit_with_what_stays(site: Site) -> None:
    asset = site.add_described({"kw": 1, "maker": "Wilo"})

    for patch, place in (({"kw": 11}, "properties.kw"), ({"kw": None}, "properties")):
        with pytest.raises(RuleViolationError) as refusal:
            await site.change(asset, {"properties": patch})
        assert list(refusal.value.errors) == [place]

    assert site.assets[asset.id] == asset
    assert (await site.change(asset, {"properties": {"maker": None}})).properties == {"kw": 1}
    assert (await site.change(asset, {"properties": None})).properties == {}


async def test_what_the_type_says_later_counts_when_properties_are_next_changed(site: Site) -> None:
    asset = site.add_described({"kw": 11})

    assert (await site.change(asset, {"name": "Renamed"})).properties == {"kw": 11}
    with pytest.raises(RuleViolationError):
        await site.change(asset, {"properties": {"maker": "Wilo"}})
    assert (await site.change(asset, {"properties": {"maker": "Wilo", "kw": 10}})).version == 3


async def test_a_type_that_says_nothing_of_properties_takes_all(site: Site) -> None:
    site.say(None)
    site.start_process()

    assert (await site.change(site.add_described({}), {"properties": {"kw": 11}})).properties == {"kw": 11}


async def test_of_a_device_that_is_gone_nothing_is_known(site: Site) -> None:
    asset = site.add_described({"kw": 1}, DeviceId(uuid4()))

    assert (await site.change(asset, {"properties": {"kw": 11}})).properties == {"kw": 11}


async def test_with_the_registry_away_only_properties_of_unknown_devices_wait(site: Site) -> None:
    asset, plain = site.add_described({"kw": 1}), await site.add()
    site.is_registry_away = True

    assert (await site.change(asset, {"name": "Renamed"})).name == "Renamed"
    assert (await site.change(plain, {"properties": {"kw": 11}})).properties == {"kw": 11}
    with pytest.raises(UnavailableError):
        await site.change(asset, {"properties": {"kw": 2}})

    site.is_registry_away = False
    await site.change(asset, {"properties": {"kw": 2}})
    site.is_registry_away = True
    with pytest.raises(RuleViolationError):
        await site.change(asset, {"properties": {"kw": 11}})


async def test_another_version_than_the_expected_one_is_told_before_what_does_not_fit(site: Site) -> None:
    asset = site.add_described({"kw": 1})

    with pytest.raises(PreconditionFailedError):
        await site.change(asset, {"properties": {"kw": 11}}, expected_version=2)
