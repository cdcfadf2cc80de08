from uuid import uuid4

import pytest

from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import DeviceId, OrganisationId
from iotsphere.kernel.lease import LeasedCache
from iotsphere.registry.errors import DeviceNotFoundError
from iotsphere.registry.model import DeviceStatus
from iotsphere.registry.ownership import DeviceOwnership
from tests.factories.registry import build_device
from tests.fakes.registry import InMemoryRegistryUnitOfWork, RegistryTables, UnreachableUnitOfWork


class Bench:
    """The service on a store in memory that may be lost, with a cache that hears of every change."""

    def __init__(self) -> None:
        self.tables = RegistryTables()
        self.is_up = True
        self.cache = LeasedCache[OrganisationId](monotonic=lambda: 0.0)
        self.cache.prove(0.0)
        self.ownership = DeviceOwnership(unit_of_work=self.unit_of_work, cache=self.cache)

    def unit_of_work(self) -> InMemoryRegistryUnitOfWork:
        return InMemoryRegistryUnitOfWork(self.tables) if self.is_up else UnreachableUnitOfWork(self.tables)


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_device_is_its_organisations_and_to_every_other_it_is_not_there(bench: Bench) -> None:
    device = build_device()
    bench.tables.devices[device.id] = device

    for _ in range(2):
        await bench.ownership.check_device(organisation_id=device.organisation_id, device_id=device.id)
        with pytest.raises(DeviceNotFoundError):
            await bench.ownership.check_device(organisation_id=OrganisationId(uuid4()), device_id=device.id)


async def test_what_is_remembered_asks_nobody(bench: Bench) -> None:
    device = build_device()
    bench.tables.devices[device.id] = device
    await bench.ownership.check_device(organisation_id=device.organisation_id, device_id=device.id)

    bench.is_up = False
    await bench.ownership.check_device(organisation_id=device.organisation_id, device_id=device.id)

    bench.cache.forget_all()
    with pytest.raises(UnavailableError):
        await bench.ownership.check_device(organisation_id=device.organisation_id, device_id=device.id)


async def test_a_device_that_is_not_there_is_looked_for_each_time(bench: Bench) -> None:
    device = build_device(status=DeviceStatus.RETIRED)
    bench.tables.devices[device.id] = device
    for device_id in (device.id, DeviceId(uuid4())):
        with pytest.raises(DeviceNotFoundError):
            await bench.ownership.check_device(organisation_id=device.organisation_id, device_id=device_id)

    newcomer = build_device(id=device.id)
    bench.tables.devices[device.id] = newcomer
    await bench.ownership.check_device(organisation_id=newcomer.organisation_id, device_id=device.id)
