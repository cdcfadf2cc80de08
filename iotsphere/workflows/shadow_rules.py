"""What the type of a device says of its shadow: the registry knows the type, the asset database its schema."""

from collections import OrderedDict
from collections.abc import Collection, Iterator

from iotsphere.assets.shadow_schema import ShadowSchema
from iotsphere.assets.shadow_schemas import ShadowSchemas
from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import DeviceId, OrganisationId
from iotsphere.registry.service import DeviceRegistryService
from iotsphere.shadow.model import DESIRED, REPORTED, Shadow, ShadowKey, Violation

MOST_DEVICES = 50_000
MAX_VIOLATIONS = 20


class DeviceTypeRules:
    """Implements ``ShadowRules``. The schema of a type is of the unnamed shadow; what a device is never changes.

    Where neither store can tell what the schema is, and nothing is remembered, what shall be is refused, for it might
    do harm; what a device reports is so already, and is taken, with the flags that it had.
    """

    def __init__(
        self, *, devices: DeviceRegistryService, schemas: ShadowSchemas, most_devices: int = MOST_DEVICES
    ) -> None:
        self._devices = devices
        self._schemas = schemas
        self._most_devices = most_devices
        self._kinds: OrderedDict[DeviceId, tuple[OrganisationId, str]] = OrderedDict()

    async def check(self, key: ShadowKey, shadow: Shadow, *, sections: Collection[str]) -> list[Violation]:
        """Do what the port says. A section that holds nothing is not there, and breaks nothing."""
        # What would be refused comes first, so that no number of flags can push it out of the list.
        named = [section for section in (DESIRED, REPORTED) if section in sections and shadow.state.get(section)]
        if key.name is not None or not named:
            return []
        try:
            schema = await self._find_schema(key.device_id)
        except UnavailableError:
            if DESIRED in named:
                raise
            return shadow.violations
        return [] if schema is None else list(_violations(schema, shadow, named))[:MAX_VIOLATIONS]

    async def _find_schema(self, device_id: DeviceId) -> ShadowSchema | None:
        kind = self._kinds.get(device_id)
        if kind is not None:
            self._kinds.move_to_end(device_id)
        else:
            kind = await self._look_up(device_id)
        if kind is None:
            return None
        return await self._schemas.find_schema(organisation_id=kind[0], device_type=kind[1])

    async def _look_up(self, device_id: DeviceId) -> tuple[OrganisationId, str] | None:
        device = await self._devices.find_device(device_id=device_id)
        if device is None:
            return None
        self._kinds[device_id] = device.organisation_id, device.device_type
        if len(self._kinds) > self._most_devices:
            self._kinds.popitem(last=False)
        return self._kinds[device_id]


def _violations(schema: ShadowSchema, shadow: Shadow, sections: Collection[str]) -> Iterator[Violation]:
    for section in sections:
        is_whole = section != DESIRED
        for way, message in schema.violations(shadow.state[section], is_whole=is_whole, limit=MAX_VIOLATIONS):
            yield Violation(".".join(["state", section, *map(str, way)]), message)
