"""Works out the figures of hours whose readings have changed."""

import asyncio

import structlog

from iotsphere.kernel.errors import UnavailableError
from iotsphere.telemetry.rollups import RollupService
from iotsphere.worker.pauses import pause

log = structlog.get_logger()

IDLE_SECONDS = 1.0


async def roll_up_hours(rollups: RollupService, *, stop: asyncio.Event) -> None:
    """Work out what waits, until told to stop; with nothing to do, look again after a moment."""
    is_going_on = True
    while not stop.is_set():
        hours = 0
        try:
            hours = await rollups.roll_up_next()
            is_going_on = True
        except UnavailableError as error:
            if is_going_on:
                log.warning("worker.rollups.postponed", detail=error.detail)
            is_going_on = False
        if not hours:
            await pause(IDLE_SECONDS, unless=stop)
