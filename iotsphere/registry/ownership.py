"""Whose is a device? Every request of a user for one asks."""

from iotsphere.kernel.identifiers import DeviceId, OrganisationId
from iotsphere.kernel.lease import LeasedCache
from iotsphere.registry.errors import DeviceNotFoundError
from iotsphere.registry.ports import RegistryUnitOfWorkFactory


class DeviceOwnership:
    """Remembers whose devices are for as long as every change of that is heard of."""

    def __init__(self, *, unit_of_work: RegistryUnitOfWorkFactory, cache: LeasedCache[OrganisationId]) -> None:
        self._unit_of_work = unit_of_work
        self._cache = cache

    async def check_device(self, *, organisation_id: OrganisationId, device_id: DeviceId) -> None:
        """:raises DeviceNotFoundError: there is none, or not in this organisation."""
        owner = self._cache.recall(device_id) or await self._look_up(device_id)
        if owner != organisation_id:
            raise DeviceNotFoundError

    async def _look_up(self, device_id: DeviceId) -> OrganisationId | None:
        generation = self._cache.generation
        async with self._unit_of_work() as uow:
            device = await uow.devices.find(device_id)
        if device is None:
            return None
        self._cache.remember(device_id, device.organisation_id, generation=generation)
        return device.organisation_id
