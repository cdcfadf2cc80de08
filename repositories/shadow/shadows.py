from typing import cast

import msgspec
from redis import exceptions as refusals
from redis.asyncio import Redis

from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.kernel.pagination import Page, decode_cursor, encode_cursor
from iotsphere.shadow.errors import ShadowChangeUnconfirmedError
from iotsphere.shadow.model import NamedShadow, Shadow, ShadowChange, ShadowKey
from repositories.shadow.store import FSYNC_SECONDS, READ_SECONDS, WRITE_SECONDS, ShadowStore

# KEYS: the shadow; for a named one also the index of names.
# ARGV: the version to replace, the new version, the document, and for a named one its name and 1 if it is deleted.
# The document stays a string: cjson would make {} of [] and floats of large integers. The index is ordered by the
# server's clock in microseconds, never falling back, so that the newest name comes last whoever adds it.
REPLACE = """
if (redis.call('HGET', KEYS[1], 'version') or '0') ~= ARGV[1] then
    return 0
end
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'document', ARGV[3])
if #KEYS == 2 then
    if ARGV[5] == '1' then
        redis.call('ZREM', KEYS[2], ARGV[4])
    elseif not redis.call('ZSCORE', KEYS[2], ARGV[4]) then
        local time = redis.call('TIME')
        local newest = redis.call('ZRANGE', KEYS[2], -1, -1, 'WITHSCORES')[2] or 0
        local place = math.max(time[1] * 1000000 + time[2], newest + 1)
        redis.call('ZADD', KEYS[2], string.format('%.0f', place), ARGV[4])
    end
end
return 1
"""

DOCUMENT = msgspec.json.Decoder(Shadow)


class RedisShadowRepository:
    """Shadows as db/shadow/keyspace.md describes them."""

    def __init__(self, store: ShadowStore) -> None:
        self._store = store
        self._replace = store.writes.register_script(REPLACE)

    async def find(self, key: ShadowKey) -> Shadow | None:
        async with self._store.reach(seconds=READ_SECONDS):
            document = await self._store.reads.hget(_redis_key(key), "document")
        return None if document is None else DOCUMENT.decode(document)

    async def save(self, change: ShadowChange, *, replacing: int, fsynced: bool) -> ShadowChange | None:
        key, shadow = change.key, change.shadow
        keys = [_redis_key(key)]
        values: list[str | bytes | int] = [replacing, shadow.version, msgspec.json.encode(shadow)]
        if key.name is not None:
            keys.append(_index_key(key.device_id))
            values += [key.name, int(shadow.is_deleted)]
        self._store.gate.enter()
        try:
            async with self._store.watch(seconds=WRITE_SECONDS), self._store.writes.client() as connection:
                is_stored = await self._replace(keys, values, client=connection)
                if is_stored and fsynced:
                    await _wait_for_disk(connection)
        except UnavailableError as error:
            raise ShadowChangeUnconfirmedError from error
        return change if is_stored else None

    async def list(self, device_id: DeviceId, *, limit: int, cursor: str | None) -> Page[NamedShadow]:
        (last,) = decode_cursor(cursor, tuple[int]) if cursor is not None else (0,)
        async with self._store.reach(seconds=READ_SECONDS):
            found = await _places(self._store.reads, device_id, after=last, limit=limit + 1)
            shown = found[:limit]
            pipeline = self._store.reads.pipeline(transaction=False)
            for name, _ in shown:
                pipeline.hget(_redis_key(ShadowKey(device_id, name)), "version")
            versions = await pipeline.execute()
        items = [NamedShadow(name, int(version)) for (name, _), version in zip(shown, versions, strict=True)]
        return Page(items, encode_cursor(shown[-1][1]) if len(found) > limit else None)


async def _places(redis: Redis, device_id: DeviceId, *, after: int, limit: int) -> list[tuple[str, int]]:
    """Give the names of a device's shadows with their places in the index."""
    found = await redis.zrange(
        _index_key(device_id), f"({after}", "+inf", byscore=True, offset=0, num=limit, withscores=True
    )  # fmt: skip
    return [(name.decode(), int(place)) for name, place in cast("list[tuple[bytes, float]]", found)]


async def _wait_for_disk(connection: Redis) -> None:
    """Wait until what the connection wrote is synced to the disk.

    :raises ShadowChangeUnconfirmedError: the server did not say so in time, or keeps no log.
    """
    try:
        synced, _ = await connection.waitaof(1, 0, int(FSYNC_SECONDS * 1000))
    except refusals.ResponseError as error:
        # Servers older than the command cannot be asked; they are safe if they sync their log at every write.
        if str(error).startswith("unknown command"):
            return
        raise ShadowChangeUnconfirmedError from error
    if not synced:
        raise ShadowChangeUnconfirmedError


def _redis_key(key: ShadowKey) -> str:
    # The braces keep all keys of a device in one slot of a cluster, as a script over several of them needs.
    own = f"iotsphere:shadow:{{{key.device_id}}}"
    return own if key.name is None else f"{own}:name:{key.name}"


def _index_key(device_id: DeviceId) -> str:
    return f"iotsphere:shadow:{{{device_id}}}:names"
