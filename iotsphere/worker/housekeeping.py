"""What has to be forgotten now and then, so that no table grows for ever."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from iotsphere.kernel.errors import UnavailableError
from iotsphere.worker.pauses import pause

log = structlog.get_logger()

INTERVAL_SECONDS = 600.0


async def keep_house(duty: Callable[[], Awaitable[None]], *, stop: asyncio.Event) -> None:
    """Do a duty now and then, until told to stop. Each is kept by itself: one that fails keeps no other waiting."""
    while not stop.is_set():
        try:
            await duty()
        except UnavailableError as error:
            log.warning("worker.housekeeping.postponed", duty=duty.__name__, detail=error.detail)
        await pause(INTERVAL_SECONDS, unless=stop)
