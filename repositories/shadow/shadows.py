from dataclasses import replace
from typing import Any

from redis import exceptions as refusals

from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.kernel.pagination import Page, decode_cursor, encode_cursor
from iotsphere.shadow.errors import ShadowChangeUnconfirmedError, ShadowStoreDamagedError
from iotsphere.shadow.model import NamedShadow, Shadow, ShadowChange, ShadowKey
from repositories.shadow.entries import decode_document, encode_change, encode_shadow, position_of
from repositories.shadow.keys import BACKLOG_BYTES, CHANGES, REBUILDING, document_key, names_key
from repositories.shadow.scripts import MAX_BACKLOG_BYTES, Answer, BoundScript
from repositories.shadow.store import FSYNC_SECONDS, WRITE_SECONDS, ShadowStore, checked


class RedisShadowRepository:
    """Shadows as db/shadow/keyspace.md describes them."""

    def __init__(self, store: ShadowStore, *, max_backlog_bytes: int = MAX_BACKLOG_BYTES) -> None:
        self._store = store
        self._max_backlog_bytes = max_backlog_bytes

    async def find(self, key: ShadowKey) -> Shadow | None:
        document = await self._store.ask(BoundScript.READ, [REBUILDING, document_key(key)])
        return None if document is None else decode_document(document)

    async def save(self, change: ShadowChange, *, replacing: int, fsynced: bool) -> ShadowChange | None:
        session, key, shadow = self._store.session, change.key, change.shadow
        keys = [REBUILDING, document_key(key), CHANGES, BACKLOG_BYTES]
        document, entry = encode_shadow(shadow), encode_change(change, generation=session.generation)
        values: list[str | bytes | int] = [replacing, shadow.version, document, entry, self._max_backlog_bytes]
        if key.name is not None:
            keys.append(names_key(key.device_id))
            values += [key.name, int(shadow.is_deleted)]
        answer = await self._write(session.call(BoundScript.WRITE, keys, *values), fsynced=fsynced)
        if checked(answer) == Answer.CONFLICT:
            return None
        return replace(
            change,
            generation=session.generation,
            position=position_of(answer),
            size_bytes=len(document) + len(entry),
        )

    async def _write(self, call: tuple[Any, ...], *, fsynced: bool) -> Any:
        self._store.gate.enter()
        try:
            if not fsynced:
                return await self._store.ask_over(self._store.writing, call)
            async with self._store.watch(seconds=WRITE_SECONDS):
                # On one connection, the only one on which this write can be waited for, and sent at once.
                pipeline = self._store.writes.pipeline(transaction=False)
                pipeline.evalsha(*call)
                pipeline.waitaof(1, 0, int(FSYNC_SECONDS * 1000))
                answer, waited = await pipeline.execute(raise_on_error=False)
                if isinstance(answer, Exception):
                    raise answer
        except ShadowStoreDamagedError:
            raise
        except UnavailableError as error:
            raise ShadowChangeUnconfirmedError from error
        if isinstance(answer, bytes):
            _check_synced(waited)
        return answer

    async def list(self, device_id: DeviceId, *, limit: int, cursor: str | None) -> Page[NamedShadow]:
        (last,) = decode_cursor(cursor, tuple[int]) if cursor is not None else (0,)
        keys = [REBUILDING, names_key(device_id)]
        found = await self._store.ask(
            BoundScript.LIST, keys, last, limit + 1, document_key(ShadowKey(device_id)) + ":"
        )
        items = [NamedShadow(name.decode(), int(version)) for name, _, version in found[:limit]]
        return Page(items, encode_cursor(int(found[limit - 1][1])) if len(found) > limit else None)


def _check_synced(waited: Any) -> None:
    """Tell from what WAITAOF gave whether what the connection wrote is synced to the disk.

    :raises ShadowChangeUnconfirmedError: the server did not say so in time, or keeps no log.
    """
    if isinstance(waited, refusals.ResponseError):
        # Servers older than the command cannot be asked; they are safe if they sync their log at every write.
        if not str(waited).startswith("unknown command"):
            raise ShadowChangeUnconfirmedError from waited
    elif isinstance(waited, Exception) or not waited[0]:
        raise ShadowChangeUnconfirmedError
