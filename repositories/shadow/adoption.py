"""Takes over shadows as the platform kept them before it had a change stream, and before it had metadata of requests.

A shadow was a hash ``iotsphere:shadow:{<device>}[:name:<name>]`` of a version and a document, the names of a device's
shadows were at ``iotsphere:shadow:{<device>}:names``.
"""

import logging
import re
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.shadow.model import ChangeKind, Section, Shadow, ShadowChange, ShadowKey
from repositories.shadow.entries import encode_change, encode_shadow
from repositories.shadow.keys import BACKLOG_BYTES, CHANGES, PREFIX, document_key, names_key
from repositories.shadow.scripts import CONVERT
from repositories.shadow.store import READ_SECONDS, ShadowStore

logger = logging.getLogger(__name__)

OLD_KEY = re.compile(rf"{PREFIX}\{{([0-9a-f-]{{36}})\}}(?::name:([A-Za-z0-9:_-]{{1,64}}))?")
SCANNED_AT_ONCE = 1000


class OldShadow(msgspec.Struct):
    """A document of the old layout; ``changed_at`` in epoch seconds."""

    version: int
    desired: Section
    reported: Section
    changed_at: int = 0
    is_deleted: bool = False

    def convert(self) -> Shadow:
        """Nobody knows who asked for what, so that nothing counts as asked for."""
        return Shadow(
            version=self.version,
            desired=self.desired,
            reported=self.reported,
            changed_at=datetime.fromtimestamp(self.changed_at, UTC),
            is_deleted=self.is_deleted,
        )


_OLD_SHADOW = msgspec.json.Decoder(OldShadow)


async def adopt_old_layout(store: ShadowStore, *, generation: int) -> int:
    """Convert every old shadow, one by one and each at once with its change; what was stopped can be done again."""
    count, cursor = 0, 0
    while True:
        async with store.watch(seconds=READ_SECONDS):
            found: Any
            cursor, found = await store.reads.scan(cursor, match=f"{PREFIX}{{*", count=SCANNED_AT_ONCE, _type="HASH")
        for old_key in found:
            count += await _convert(store, old_key.decode(), generation)
        if cursor == 0:
            return count


async def _convert(store: ShadowStore, old_key: str, generation: int) -> bool:
    parts = OLD_KEY.fullmatch(old_key)
    if parts is None:
        return False
    key = ShadowKey(DeviceId(UUID(parts[1])), parts[2])
    async with store.watch(seconds=READ_SECONDS):
        document: Any = await store.reads.hget(old_key, "document")
    shadow = _decode(document)
    if shadow is None:
        logger.error("A shadow of the old layout cannot be read and is left where it is: %s", old_key)
        return False
    change = ShadowChange(
        key=key, kind=ChangeKind.RESTORED, shadow=shadow, actor="platform", correlation_id="adopt-old-layout"
    )
    old_names = f"{PREFIX}{{{key.device_id}}}:names"
    keys = [old_key, document_key(key), CHANGES, BACKLOG_BYTES, old_names, names_key(key.device_id)]
    values: list[str | bytes | int] = [
        shadow.version, generation, encode_shadow(shadow), encode_change(change, generation=generation),
        key.name or "",
    ]  # fmt: skip
    async with store.watch(seconds=READ_SECONDS):
        return bool(await store.writes.eval(CONVERT, len(keys), *keys, *values))


def _decode(document: bytes | None) -> Shadow | None:
    try:
        return _OLD_SHADOW.decode(document or b"").convert()
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, OverflowError, OSError):
        return None
