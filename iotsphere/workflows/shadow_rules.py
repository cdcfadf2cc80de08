"""What the type of a device says of its shadow: the registry knows the type, the asset database its schema."""

from collections.abc import Collection, Iterator

from iotsphere.assets.known_types import KnownTypes
from iotsphere.assets.shadow_schema import ShadowSchema
from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.shadow.model import DESIRED, REPORTED, Shadow, ShadowKey, Violation
from iotsphere.workflows.device_kinds import DeviceKinds

MAX_VIOLATIONS = 20


class DeviceTypeRules:
    """Implements ``ShadowRules``. The schema of a type is of the unnamed shadow.

    Where neither store can tell what the schema is, and nothing is remembered, what shall be is refused, for it might
    do harm; what a device reports is so already, and is taken, with the flags that it had.
    """

    def __init__(self, *, kinds: DeviceKinds, types: KnownTypes) -> None:
        self._kinds = kinds
        self._types = types

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
        kind = await self._kinds.find_kind(device_id)
        return await self._types.find_schema(**kind._asdict()) if kind else None


def _violations(schema: ShadowSchema, shadow: Shadow, sections: Collection[str]) -> Iterator[Violation]:
    for section in sections:
        is_whole = section != DESIRED
        for way, message in schema.violations(shadow.state[section], is_whole=is_whole, limit=MAX_VIOLATIONS):
            yield Violation(".".join(["state", section, *map(str, way)]), message)
