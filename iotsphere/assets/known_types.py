"""What is asked of device types all the time, remembered for a moment: their schemas, and units of metrics."""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from iotsphere.assets.device_type import DeviceType
from iotsphere.assets.ports import AssetsUnitOfWorkFactory
from iotsphere.assets.properties_schema import PropertiesSchema
from iotsphere.assets.shadow_schema import ShadowSchema
from iotsphere.assets.shipped_types import ShippedTypes
from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import OrganisationId

# A change that another process made counts here after as long as that.
FRESH_SECONDS = 1.0
MOST_TYPES = 1_000
# So long a write waits for a store that does not answer, where it is known what the schema was.
PATIENCE_SECONDS = 0.25

TypeKey = tuple[OrganisationId, str]


@dataclass(slots=True)
class RememberedType:
    """What was read of a type; ``version`` tells whether it has changed since. Most have no schema."""

    schema: ShadowSchema | None
    properties_schema: PropertiesSchema | None
    units: Mapping[str, str]
    version: int | None
    read_at: float


class KnownTypes:
    """Tells of a device type what it said a second ago at the most.

    While the asset database is away, the last known one goes on counting, however old.
    """

    def __init__(
        self,
        *,
        unit_of_work: AssetsUnitOfWorkFactory,
        shipped: ShippedTypes,
        monotonic: Callable[[], float] = time.monotonic,
        most_types: int = MOST_TYPES,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._shipped = shipped
        self._monotonic = monotonic
        self._most_types = most_types
        self._known: OrderedDict[TypeKey, RememberedType] = OrderedDict()
        self._readings: dict[TypeKey, asyncio.Task[RememberedType]] = {}

    async def find_schema(self, *, organisation_id: OrganisationId, device_type: str) -> ShadowSchema | None:
        """Give the schema of a type's shadows, None where there is no such type or it has none.

        :raises UnavailableError: the asset database is away, and it was never read.
        """
        return (await self._find((organisation_id, device_type))).schema

    async def find_properties_schema(
        self, *, organisation_id: OrganisationId, device_type: str
    ) -> PropertiesSchema | None:
        """Give the schema of a type's properties likewise.

        :raises UnavailableError: the asset database is away, and it was never read.
        """
        return (await self._find((organisation_id, device_type))).properties_schema

    async def find_units(self, *, organisation_id: OrganisationId, device_type: str) -> Mapping[str, str]:
        """Give the unit of each metric that has one, none where there is no such type.

        :raises UnavailableError: the asset database is away, and it was never read.
        """
        return (await self._find((organisation_id, device_type))).units

    def forget(self, organisation_id: OrganisationId, device_type: str) -> None:
        """Take in that a type was changed: what is known, or just being read, holds no more."""
        key = organisation_id, device_type
        self._readings.pop(key, None)
        if key in self._known:
            # Kept all the same, for as long as it cannot be read anew.
            self._known[key].read_at = -math.inf

    async def _find(self, key: TypeKey) -> RememberedType:
        known = self._known.get(key)
        if known is None:
            return await asyncio.shield(self._reading_of(key))
        if self._monotonic() - known.read_at < FRESH_SECONDS:
            return known
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await asyncio.shield(self._reading_of(key))
        except (UnavailableError, TimeoutError):
            known.read_at = self._monotonic()
            return known

    def _reading_of(self, key: TypeKey) -> asyncio.Task[RememberedType]:
        """Read together with all others who want to know the same."""
        if key not in self._readings:
            reading = self._readings[key] = asyncio.create_task(self._read(key))
            reading.add_done_callback(lambda done: self._settle(key, done))
        return self._readings[key]

    def _settle(self, key: TypeKey, done: asyncio.Task[RememberedType]) -> None:
        if self._readings.get(key) is done:
            del self._readings[key]
        if not done.cancelled():
            # Whoever waited was told; nobody may be waiting any more.
            done.exception()

    async def _read(self, key: TypeKey) -> RememberedType:
        reading = asyncio.current_task()
        read_at = self._monotonic()
        organisation_id, device_type = key
        async with self._unit_of_work() as uow:
            kept = await uow.device_types.find(organisation_id, device_type)
        read = _read_type(self._shipped.present(organisation_id, device_type, kept), self._known.get(key), read_at)
        if self._readings.get(key) is reading:
            self._remember(key, read)
        return read

    def _remember(self, key: TypeKey, read: RememberedType) -> None:
        self._known[key] = read
        self._known.move_to_end(key)
        if len(self._known) > self._most_types:
            self._known.popitem(last=False)


def _read_type(found: DeviceType | None, known: RememberedType | None, read_at: float) -> RememberedType:
    """Take over what was compiled, unless the type has changed since."""
    if found is None:
        return RememberedType(None, None, {}, None, read_at)
    if known is not None and known.version == found.version:
        return replace(known, read_at=read_at)
    return RememberedType(
        schema=None if found.shadow_schema is None else ShadowSchema(found.shadow_schema),
        properties_schema=None if found.properties_schema is None else PropertiesSchema(found.properties_schema),
        units={metric["name"]: metric["unit"] for metric in found.metrics if metric["unit"]},
        version=found.version,
        read_at=read_at,
    )
