"""Compresses what is old enough; that may take minutes, for which nobody has to wait."""

import asyncio

import structlog

from iotsphere.kernel.errors import UnavailableError
from iotsphere.telemetry.compressing import CompressingService
from iotsphere.worker.pauses import pause

log = structlog.get_logger()

INTERVAL_SECONDS = 600.0


async def compress_chunks(compressing: CompressingService, *, stop: asyncio.Event) -> None:
    """Compress now and then, until told to stop; what is under way then is broken off, and has changed nothing."""
    while not stop.is_set():
        work = asyncio.create_task(compressing.compress_chunks())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (work, stopping):
                task.cancel()
            await asyncio.wait({work, stopping})
        if not work.cancelled() and (error := work.exception()) is not None:
            if not isinstance(error, UnavailableError):
                raise error
            log.warning("worker.compressing.postponed", detail=error.detail)
        await pause(INTERVAL_SECONDS, unless=stop)
