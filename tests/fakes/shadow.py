"""The shadow store in memory; the contract suite holds it to what Redis does."""

import asyncio

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.kernel.pagination import Page, decode_cursor, encode_cursor
from iotsphere.shadow.model import NamedShadow, Shadow, ShadowChange, ShadowKey


class InMemoryShadowRepository:
    def __init__(self) -> None:
        self.stored: dict[ShadowKey, Shadow] = {}
        self.made: dict[ShadowKey, int] = {}
        self._sequence = 0

    async def find(self, key: ShadowKey) -> Shadow | None:
        await _others_first()
        return self.stored.get(key)

    async def save(self, change: ShadowChange, *, replacing: int, fsynced: bool) -> ShadowChange | None:
        key, shadow = change.key, change.shadow
        await _others_first()
        current = self.stored.get(key)
        if (current.version if current else 0) != replacing:
            return None
        self.stored[key] = shadow
        if shadow.is_deleted:
            self.made.pop(key, None)
        elif key not in self.made:
            self._sequence += 1
            self.made[key] = self._sequence
        return change

    async def list(self, device_id: DeviceId, *, limit: int, cursor: str | None) -> Page[NamedShadow]:
        (last,) = decode_cursor(cursor, tuple[int]) if cursor is not None else (0,)
        found = [
            (sequence, NamedShadow(key.name, self.stored[key].version))
            for key, sequence in self.made.items()
            if key.device_id == device_id and key.name is not None and sequence > last
        ]
        shown = found[:limit]
        more = len(found) > limit
        return Page([shadow for _, shadow in shown], encode_cursor(shown[-1][0]) if more else None)


async def _others_first() -> None:
    """Let other tasks run, as waiting for a store does: a race that could happen does happen."""
    await asyncio.sleep(0)
