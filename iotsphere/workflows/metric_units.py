"""In which units devices measure: the registry knows their types, the asset database the metrics of a type."""

import asyncio
from collections.abc import Collection, Mapping

from iotsphere.assets.known_types import PATIENCE_SECONDS, KnownTypes
from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import DeviceId, OrganisationId
from iotsphere.workflows.device_kinds import DeviceKinds


class MetricUnits:
    def __init__(self, *, kinds: DeviceKinds, types: KnownTypes) -> None:
        self._kinds = kinds
        self._types = types

    async def find_units(self, *, device_id: DeviceId) -> Mapping[str, str]:
        """Give the unit of each metric that has one.

        None has, where neither store can tell soon: a series is worth more without its unit than not at all.
        """
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                kind = await self._kinds.find_kind(device_id)
                return await self._types.find_units(**kind._asdict()) if kind else {}
        except (UnavailableError, TimeoutError):
            return {}

    async def find_units_of_types(
        self, *, organisation_id: OrganisationId, device_types: Collection[str]
    ) -> Mapping[str, Mapping[str, str]]:
        """Give the same of each of the types; without the asset database none is told of."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return {
                    name: await self._types.find_units(organisation_id=organisation_id, device_type=name)
                    for name in device_types
                }
        except (UnavailableError, TimeoutError):
            return {}
