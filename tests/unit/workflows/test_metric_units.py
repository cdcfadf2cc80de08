"""In which units a device measures, with either store there or away."""

import asyncio
from typing import Self
from uuid import uuid4

import pytest

from iotsphere.assets.known_types import KnownTypes
from iotsphere.assets.shipped_types import ShippedTypes
from iotsphere.kernel.clock import utc_now
from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.registry.service import DeviceRegistryService
from iotsphere.workflows.device_kinds import DeviceKinds
from iotsphere.workflows.metric_units import MetricUnits
from tests.factories.assets import build_device_type
from tests.factories.registry import build_device
from tests.fakes.assets import DeviceTypes, InMemoryAssetsUnitOfWork
from tests.fakes.registry import InMemoryRegistryUnitOfWork, RegistryTables, UnreachableUnitOfWork


class Plant:
    """A pump of a type whose metrics have units."""

    def __init__(self) -> None:
        self.tables, self.types = RegistryTables(), DeviceTypes()
        self.is_registry_away = self.are_assets_away = self.are_assets_frozen = False
        device = build_device()
        self.tables.devices[device.id] = device
        self.pump = device.id
        kept = build_device_type(organisation_id=device.organisation_id, name=device.device_type)
        self.types[kept.organisation_id, kept.name] = kept
        devices = DeviceRegistryService(unit_of_work=self.open_registry, clock=utc_now, new_id=uuid4)
        kinds = DeviceKinds(devices=devices)
        self.units = MetricUnits(
            kinds=kinds, types=KnownTypes(unit_of_work=self.open_assets, shipped=ShippedTypes({}))
        )

    def open_registry(self) -> InMemoryRegistryUnitOfWork:
        kind = UnreachableUnitOfWork if self.is_registry_away else InMemoryRegistryUnitOfWork
        return kind(self.tables)

    def open_assets(self) -> InMemoryAssetsUnitOfWork:
        if self.are_assets_away:
            raise UnavailableError("assets", "It is away.")
        return (FrozenUnitOfWork if self.are_assets_frozen else InMemoryAssetsUnitOfWork)({}, self.types)


class FrozenUnitOfWork(InMemoryAssetsUnitOfWork):
    async def __aenter__(self) -> Self:
        await asyncio.Event().wait()
        return self


@pytest.fixture
def plant() -> Plant:
    return Plant()


async def test_the_type_of_the_device_says_the_units(plant: Plant) -> None:
    assert await plant.units.find_units(device_id=plant.pump) == {"flow": "l/min"}
    assert await plant.units.find_units(device_id=DeviceId(uuid4())) == {}


async def test_a_type_that_nobody_has_defined_says_none(plant: Plant) -> None:
    plant.types.clear()

    assert await plant.units.find_units(device_id=plant.pump) == {}


@pytest.mark.parametrize("trouble", ["is_registry_away", "are_assets_away", "are_assets_frozen"])
async def test_without_a_store_there_are_none_and_nobody_waits_or_fails(plant: Plant, trouble: str) -> None:
    setattr(plant, trouble, True)

    async with asyncio.timeout(5):
        assert await plant.units.find_units(device_id=plant.pump) == {}


async def test_each_type_says_its_own_and_none_without_the_store(plant: Plant) -> None:
    ((organisation_id, name),) = plant.types
    told = await plant.units.find_units_of_types(organisation_id=organisation_id, device_types=[name, "unheard-of"])
    assert told == {name: {"flow": "l/min"}, "unheard-of": {}}

    plant.are_assets_frozen = True
    async with asyncio.timeout(5):
        assert await plant.units.find_units_of_types(organisation_id=organisation_id, device_types=["other"]) == {}


async def test_they_are_known_while_both_stores_are_away(plant: Plant) -> None:
    await plant.units.find_units(device_id=plant.pump)
    plant.is_registry_away = plant.are_assets_away = True

    assert await plant.units.find_units(device_id=plant.pump) == {"flow": "l/min"}
