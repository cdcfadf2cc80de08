"""What has to go on in a process while it recognises callers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from iotsphere.identity.key_cache import KeyWatch
from iotsphere.kernel.errors import UnavailableError
from iotsphere.registry.contacts import ContactService

log = structlog.get_logger()

WRITE_INTERVAL_SECONDS = 1.0


class AuthenticationUpkeep:
    """Listens for changed keys, and writes down which devices were heard of."""

    def __init__(self, *, watch: KeyWatch, contacts: ContactService) -> None:
        self._watch = watch
        self._contacts = contacts

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep at it for as long as the block lasts; contacts that are not written down by its end are then."""
        tasks = [asyncio.create_task(work) for work in (self._watch.keep_watching(), self._keep_writing())]
        for task in tasks:
            task.add_done_callback(_report)
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await self._write_contacts(also_resting=True)

    async def _keep_writing(self) -> None:
        while True:
            await asyncio.sleep(WRITE_INTERVAL_SECONDS)
            await self._write_contacts()

    async def _write_contacts(self, *, also_resting: bool = False) -> None:
        try:
            await self._contacts.write_contacts(also_resting=also_resting)
        except UnavailableError as error:
            log.warning("registry.contacts.postponed", detail=error.detail)


def _report(task: asyncio.Task[None]) -> None:
    """Say at once that something which should never end has ended."""
    if not task.cancelled():
        log.error("authentication.upkeep.failed", exc_info=task.exception())
