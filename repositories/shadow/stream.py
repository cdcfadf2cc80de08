import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import chain
from typing import Any

from redis import exceptions as refusals

from iotsphere.kernel.errors import UnavailableError
from iotsphere.shadow.errors import ShadowStoreDamagedError
from iotsphere.shadow.model import ShadowChange
from iotsphere.shadow.ports import Backlog
from repositories.shadow.entries import decode_entry, place_of, position_of
from repositories.shadow.keys import BACKLOG_BYTES, CHANGES, UNREADABLE
from repositories.shadow.scripts import GROUP, PUT_ASIDE, SETTLE, BoundScript
from repositories.shadow.store import READ_SECONDS, STREAM_WAIT_SECONDS, ShadowStore

# Who has taken changes and not settled them by then is taken for dead. It need not be: the journal may be told twice,
# and every history waits for what was taken.
CLAIM_SECONDS = 5.0
# Sooner by one who has just begun, for its predecessor has ended, or to whom the store did not answer a moment ago:
# what it was given with the answer that was lost would keep every history waiting.
HASTY_CLAIM_SECONDS = 1.0
HASTE_SECONDS = 5.0

logger = logging.getLogger(__name__)


class RedisChangeStream:
    """The change stream as db/shadow/keyspace.md describes it.

    It is read whatever is known of the store: the journal may be told twice, and of an earlier life.
    """

    def __init__(
        self,
        store: ShadowStore,
        *,
        claim_seconds: float = CLAIM_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._claim_seconds = claim_seconds
        self._monotonic = monotonic
        self._hasty_until: float | None = None

    async def read(self, consumer: str, *, limit: int, wait_seconds: float) -> list[ShadowChange]:
        wait_seconds = min(wait_seconds, STREAM_WAIT_SECONDS)
        if self._hasty_until is None:
            self._hasty_until = self._monotonic() + HASTE_SECONDS
        async with self._hastening(), self._store.reach(seconds=wait_seconds + READ_SECONDS):
            entries = await self._take_of_group(consumer, limit, wait_seconds)
        return await self._decode(entries)

    async def settle(self, changes: Sequence[ShadowChange]) -> None:
        async with self._hastening():
            await self._let_go([(place_of(change.position), str(change.generation)) for change in changes])

    async def measure(self) -> Backlog:
        length, size_bytes, first, last = await self._store.ask(BoundScript.MEASURE, [CHANGES, BACKLOG_BYTES])
        if not length:
            return Backlog()
        return Backlog(length, int(size_bytes), position_of(first), position_of(last))

    @asynccontextmanager
    async def _hastening(self) -> AsyncIterator[None]:
        """Claim sooner after a failure, be it of letting go: an older file gives back what was let go before."""
        try:
            yield
        except UnavailableError:
            self._hasty_until = None
            raise

    async def _take_of_group(self, consumer: str, limit: int, wait_seconds: float) -> Any:
        try:
            return await self._take(consumer, limit, wait_seconds)
        except refusals.ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
            await self._make_group()
            return await self._take(consumer, limit, wait_seconds)

    def _claim_milliseconds(self) -> int:
        is_hasty = self._hasty_until is None or self._monotonic() < self._hasty_until
        return int(1000 * (min(HASTY_CLAIM_SECONDS, self._claim_seconds) if is_hasty else self._claim_seconds))

    async def _take(self, consumer: str, limit: int, wait_seconds: float) -> Any:
        client = self._store.stream
        claimed: Any = await client.xautoclaim(CHANGES, GROUP, consumer, self._claim_milliseconds(), count=limit)
        if claimed[1]:
            return claimed[1]
        # 0 would wait for ever.
        block = int(wait_seconds * 1000) or None
        taken: Any = await client.xreadgroup(GROUP, consumer, {CHANGES: ">"}, count=limit, block=block)
        return taken[0][1] if taken else []

    async def _make_group(self) -> None:
        try:
            await self._store.stream.xgroup_create(CHANGES, GROUP, id="0", mkstream=True)
        except refusals.ResponseError as error:
            # Another process was faster.
            if not str(error).startswith("BUSYGROUP"):
                raise

    async def _decode(self, entries: Any) -> list[ShadowChange]:
        changes = []
        for place, entry in entries:
            try:
                changes.append(decode_entry(place, entry))
            except ShadowStoreDamagedError:
                logger.exception("A change in the stream cannot be read and is put aside: %s", place.decode())
                await self._put_aside(place)
        return changes

    async def _put_aside(self, place: bytes) -> None:
        """Keep what cannot be read for whoever looks into it, so that what is behind it goes on."""
        async with self._store.reach(seconds=READ_SECONDS):
            await self._store.writes.eval(PUT_ASIDE, 2, CHANGES, UNREADABLE, place)
        await self._let_go([(place.decode(), "")])

    async def _let_go(self, entries: list[tuple[str, str]]) -> None:
        """Let go of entries by their places and the generations in which they were made."""
        if not entries:
            return
        async with self._store.reach(seconds=READ_SECONDS):
            await self._store.writes.eval(SETTLE, 2, CHANGES, BACKLOG_BYTES, *chain.from_iterable(entries))
