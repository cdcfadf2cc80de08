"""Keeps what a process remembers of keys, sessions and devices honest: hears from the registry what has changed."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import structlog

from iotsphere.identity.ports import CatchUp, ChangeFeed
from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.lease import LeasedCache, Monotonic

log = structlog.get_logger()

# A proof every so often, so that one may come late, by as much as the lease leaves, and nothing is looked up for it.
PROOF_INTERVAL_SECONDS = 0.25


class ChangeWatch:
    """Listens to what the registry says of changes, and tells every cache; an id is that of one thing alone."""

    def __init__(
        self, *, caches: Sequence[LeasedCache[Any]], feed: ChangeFeed, monotonic: Monotonic = time.monotonic
    ) -> None:
        self._caches = caches
        self._feed = feed
        self._monotonic = monotonic

    async def keep_watching(self) -> None:
        """Listen until cancelled, and begin anew whenever the registry was lost."""
        is_lost = False
        while True:
            try:
                async with self._feed.listen(self._forget) as catch_up:
                    # Only now: a look-up that began before we listened may hold what has changed unheard.
                    self._forget_all()
                    is_lost = False
                    await self._keep_proving(catch_up)
            except UnavailableError as error:
                if not is_lost:
                    log.warning("identity.changes.unheard", detail=error.detail)
                is_lost = True
            finally:
                self._forget_all()
            await asyncio.sleep(PROOF_INTERVAL_SECONDS)

    async def _keep_proving(self, catch_up: CatchUp) -> None:
        while True:
            asked_at = self._monotonic()
            await catch_up()
            for cache in self._caches:
                cache.prove(asked_at)
            await asyncio.sleep(PROOF_INTERVAL_SECONDS)

    def _forget(self, id_: UUID) -> None:
        for cache in self._caches:
            cache.forget(id_)

    def _forget_all(self) -> None:
        for cache in self._caches:
            cache.forget_all()
