"""Which type a device is of, as the registry knows, for what is asked with every request."""

from collections import OrderedDict
from collections.abc import Collection
from typing import NamedTuple

from iotsphere.kernel.identifiers import DeviceId, OrganisationId
from iotsphere.registry.service import DeviceRegistryService

MOST_DEVICES = 50_000


class DeviceKind(NamedTuple):
    organisation_id: OrganisationId
    device_type: str


class DeviceKinds:
    """Remembers them, for what a device is never changes."""

    def __init__(self, *, devices: DeviceRegistryService, most_devices: int = MOST_DEVICES) -> None:
        self._devices = devices
        self._most_devices = most_devices
        self._kinds: OrderedDict[DeviceId, DeviceKind] = OrderedDict()

    async def find_kind(self, device_id: DeviceId) -> DeviceKind | None:
        """Give the organisation and the type of a device, None where there is no such device.

        :raises UnavailableError: the registry is away, and it was never read.
        """
        kind = self._kinds.get(device_id)
        if kind is not None:
            self._kinds.move_to_end(device_id)
            return kind
        device = await self._devices.find_device(device_id=device_id)
        if device is None:
            return None
        kind = DeviceKind(device.organisation_id, device.device_type)
        self._remember(device_id, kind)
        return kind

    async def find_types(
        self, organisation_id: OrganisationId, device_ids: Collection[DeviceId]
    ) -> dict[DeviceId, str]:
        """Give the type of each of the devices that is there in the organisation.

        :raises UnavailableError: the registry is away, and one of them was never read.
        """
        types = {device_id: kind.device_type for device_id in device_ids if (kind := self._kinds.get(device_id))}
        if missing := [device_id for device_id in device_ids if device_id not in types]:
            found = await self._devices.find_types(organisation_id=organisation_id, device_ids=missing)
            for device_id, device_type in found.items():
                self._remember(device_id, DeviceKind(organisation_id, device_type))
            types |= found
        return types

    def _remember(self, device_id: DeviceId, kind: DeviceKind) -> None:
        self._kinds[device_id] = kind
        if len(self._kinds) > self._most_devices:
            self._kinds.popitem(last=False)
