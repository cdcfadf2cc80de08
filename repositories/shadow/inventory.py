from collections.abc import Sequence
from typing import Any

from iotsphere.kernel.pagination import Page
from iotsphere.shadow.model import ShadowKey
from iotsphere.shadow.ports import Backlog, HeldShadow, ShadowStoreSurvey
from repositories.shadow.entries import decode_held, position_of
from repositories.shadow.keys import (
    BACKLOG_BYTES,
    CHANGES,
    DOCUMENTS,
    GENERATION,
    REBUILDING,
    UNREADABLE,
    document_key,
    read_document_key,
)
from repositories.shadow.scripts import SURVEY
from repositories.shadow.store import READ_SECONDS, ShadowStore

# One answer of the server, of shadows that are as large as they may be, is 8 MiB at the most.
READ_AT_ONCE = 64
SCANNED_AT_ONCE = 250


class RedisShadowInventory:
    """What lies in the server, in whatever run and generation; no script of a session is asked."""

    def __init__(self, store: ShadowStore) -> None:
        self._store = store

    async def survey(self) -> ShadowStoreSurvey:
        keys = [GENERATION, REBUILDING, CHANGES, BACKLOG_BYTES, UNREADABLE]
        async with self._store.reach(seconds=READ_SECONDS):
            found: Any = await self._store.reads.eval(SURVEY, len(keys), *keys)
        generation, is_rebuilding, last, (length, size_bytes, oldest, newest), unreadable = found
        return ShadowStoreSurvey(
            generation=None if generation is None else int(generation),
            is_rebuilding=bool(is_rebuilding),
            position=0 if last is None else position_of(last),
            backlog=Backlog(length, int(size_bytes), position_of(oldest), position_of(newest))
            if length
            else Backlog(),
            unreadable=unreadable,
        )

    async def find_all(self, keys: Sequence[ShadowKey]) -> dict[ShadowKey, HeldShadow]:
        found: dict[ShadowKey, HeldShadow] = {}
        for start in range(0, len(keys), READ_AT_ONCE):
            batch = keys[start : start + READ_AT_ONCE]
            async with self._store.reach(seconds=READ_SECONDS):
                documents: Any = await self._store.reads.mget([document_key(key) for key in batch])
            for key, document in zip(batch, documents, strict=True):
                held = None if document is None else decode_held(document)
                if held is not None:
                    found[key] = held
        return found

    async def list(self, *, cursor: str | None) -> Page[ShadowKey]:
        async with self._store.reach(seconds=READ_SECONDS):
            found: Any = await self._store.reads.scan(
                int(cursor or "0"), match=f"{DOCUMENTS}*", count=SCANNED_AT_ONCE
            )
        next_cursor, texts = found
        keys = [read_document_key(text.decode(errors="replace")) for text in texts]
        return Page([key for key in keys if key is not None], str(next_cursor) if next_cursor else None)
