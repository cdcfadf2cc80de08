"""What has to go on in a process whatever happens, such as what recognising callers rests on."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import structlog
from prometheus_client import Counter

from iotsphere.identity.change_watch import ChangeWatch
from iotsphere.kernel.errors import UnavailableError
from iotsphere.registry.contacts import ContactService

log = structlog.get_logger()

WRITE_INTERVAL_SECONDS = 1.0
RESTART_INTERVAL_SECONDS = 1.0
FAILURES = Counter("iotsphere_upkeep_failures", "How often work that has to go on had to begin anew")


async def keep_up(
    work: Callable[[], Coroutine[Any, Any, None]],
    *,
    stop: asyncio.Event,
    interval_seconds: float = RESTART_INTERVAL_SECONDS,
) -> None:
    """Begin work anew that should not end before it is told to stop, whatever has ended it, and say so."""
    while not stop.is_set():
        task = asyncio.create_task(work())
        try:
            await asyncio.wait([task])
        finally:
            # Where it is we who are to end.
            task.cancel()
            await asyncio.wait([task])
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is None and stop.is_set():
            return
        FAILURES.inc()
        log.error("upkeep.failed", exc_info=error)
        await asyncio.sleep(interval_seconds)


class AuthenticationUpkeep:
    """Listens for changed keys, and writes down which devices were heard of."""

    def __init__(
        self, *, watch: ChangeWatch, contacts: ContactService, interval_seconds: float = WRITE_INTERVAL_SECONDS
    ) -> None:
        self._watch = watch
        self._contacts = contacts
        self._interval_seconds = interval_seconds

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep at it for as long as the block lasts; contacts that are not written down by its end are then."""
        tasks = [
            asyncio.create_task(keep_up(work, stop=asyncio.Event(), interval_seconds=self._interval_seconds))
            for work in (self._watch.keep_watching, self._keep_writing)
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await self._write_contacts(also_resting=True)

    async def _keep_writing(self) -> None:
        while True:
            await asyncio.sleep(self._interval_seconds)
            await self._write_contacts()

    async def _write_contacts(self, *, also_resting: bool = False) -> None:
        try:
            await self._contacts.write_contacts(also_resting=also_resting)
        except UnavailableError as error:
            log.warning("registry.contacts.postponed", detail=error.detail)
