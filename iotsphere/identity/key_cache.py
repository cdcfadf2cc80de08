"""What a process remembers of API keys, and for how long it may.

A remembered key spares the look-up. What must not happen is that a key which was revoked goes on being accepted, so
the cache answers only while it is certain to have heard of every change but those of the last moment: ``KeyWatch``
listens to the registry, and proves again and again up to when it has heard of everything. Without that proof the
cache is silent, and every key is looked up.
"""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from uuid import UUID

import structlog

from iotsphere.identity.model import KeyHolder
from iotsphere.identity.ports import CatchUp, KeyFeed
from iotsphere.kernel.errors import UnavailableError

log = structlog.get_logger()

# A key that was revoked longer ago than this is not accepted, whatever has become of the registry.
LEASE_SECONDS = 0.8
# A proof every so often, so that one may come late, by as much as the lease leaves, and nothing is looked up for it.
PROOF_INTERVAL_SECONDS = 0.25
MOST_KEYS = 50_000

Monotonic = Callable[[], float]


class KeyCache:
    """Holders of API keys by the id of the key; the one that was not asked for the longest gives way to a new one."""

    def __init__(self, *, monotonic: Monotonic = time.monotonic, most_keys: int = MOST_KEYS) -> None:
        self._monotonic = monotonic
        self._most_keys = most_keys
        self._holders: OrderedDict[UUID, KeyHolder] = OrderedDict()
        self._proven_at = -math.inf
        self.generation = 0
        """Changes with every word of a change. A look-up notes it before it begins."""

    def recall(self, key_id: UUID) -> KeyHolder | None:
        """Give the holder of a key if one is remembered and no change of it can have been missed."""
        if self._monotonic() - self._proven_at >= LEASE_SECONDS:
            return None
        holder = self._holders.get(key_id)
        if holder is not None:
            self._holders.move_to_end(key_id)
        return holder

    def remember(self, holder: KeyHolder, *, generation: int) -> None:
        """Remember what was looked up, unless there was word of a change since the look-up began.

        It may have read what the change replaced, and the word would not come again.
        """
        if generation != self.generation:
            return
        self._holders[holder.key_id] = holder
        if len(self._holders) > self._most_keys:
            self._holders.popitem(last=False)

    def forget(self, key_id: UUID) -> None:
        """Take in that a key, or what its holder may do, was changed."""
        self.generation += 1
        self._holders.pop(key_id, None)

    def forget_all(self) -> None:
        """Begin anew: what is remembered or being looked up may have changed while nobody listened."""
        self.generation += 1
        self._holders.clear()
        self._proven_at = -math.inf

    def prove(self, moment: float) -> None:
        """Take in that there was word of every change before a moment of the monotonic clock."""
        self._proven_at = moment


class KeyWatch:
    """Listens to what the registry says of changed keys, and keeps the cache honest."""

    def __init__(self, *, cache: KeyCache, feed: KeyFeed, monotonic: Monotonic = time.monotonic) -> None:
        self._cache = cache
        self._feed = feed
        self._monotonic = monotonic

    async def keep_watching(self) -> None:
        """Listen until cancelled, and begin anew whenever the registry was lost."""
        is_lost = False
        while True:
            try:
                async with self._feed.listen(self._cache.forget) as catch_up:
                    # Only now: a look-up that began before we listened may hold what has changed unheard.
                    self._cache.forget_all()
                    is_lost = False
                    await self._keep_proving(catch_up)
            except UnavailableError as error:
                if not is_lost:
                    log.warning("identity.keys.unheard", detail=error.detail)
                is_lost = True
            finally:
                self._cache.forget_all()
            await asyncio.sleep(PROOF_INTERVAL_SECONDS)

    async def _keep_proving(self, catch_up: CatchUp) -> None:
        while True:
            asked_at = self._monotonic()
            await catch_up()
            self._cache.prove(asked_at)
            await asyncio.sleep(PROOF_INTERVAL_SECONDS)
