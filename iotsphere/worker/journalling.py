"""Carries the changes of shadows from their stream into the journal."""

import asyncio

import structlog

from iotsphere.kernel.errors import UnavailableError
from iotsphere.shadow.journal import JournalService
from iotsphere.worker.pauses import pause

log = structlog.get_logger()

# How long the stream is listened to at a time, and so how long the end may have to be waited for.
WAIT_SECONDS = 0.25
PAUSE_SECONDS = 0.25


async def journal_changes(journal: JournalService, *, consumer: str, stop: asyncio.Event) -> None:
    """Carry what comes until told to stop. While a store is away, what was taken is held, and tried again."""
    is_going_on = True
    while not stop.is_set():
        try:
            await journal.record_next(consumer=consumer, wait_seconds=WAIT_SECONDS)
            is_going_on = True
        except UnavailableError as error:
            if is_going_on:
                log.warning("worker.journal.postponed", detail=error.detail)
            is_going_on = False
            await pause(PAUSE_SECONDS, unless=stop)
