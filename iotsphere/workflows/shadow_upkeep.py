"""Keeps an eye on the shadow store in every process that works on it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from iotsphere.kernel.errors import UnavailableError
from iotsphere.shadow.errors import StoreUnverifiedError
from iotsphere.shadow.recovery import ShadowStoreRecovery
from iotsphere.workflows.upkeep import keep_up

log = structlog.get_logger()

# All others wait a second for what this process knows when the store has lost data.
WATCH_INTERVAL_SECONDS = 0.25


class ShadowUpkeep:
    """Notices at once what becomes of the store, and leaves nothing behind that only this process knows."""

    def __init__(self, *, recovery: ShadowStoreRecovery) -> None:
        self._recovery = recovery

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(keep_up(self._keep_watching, stop=asyncio.Event()))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            await self._leave()

    async def _keep_watching(self) -> None:
        is_well = True
        while True:
            try:
                await self._recovery.watch()
                is_well = True
            except (UnavailableError, StoreUnverifiedError) as error:
                if is_well:
                    log.warning("shadow.watch.postponed", detail=str(error))
                is_well = False
            await asyncio.sleep(WATCH_INTERVAL_SECONDS)

    async def _leave(self) -> None:
        try:
            await self._recovery.leave()
        except UnavailableError as error:
            log.warning("shadow.writer.not_closed", detail=error.detail)
