"""Restores the shadows of a store that has lost them, and closes writers that have ended without a word."""

import asyncio

import structlog

from iotsphere.kernel.errors import UnavailableError
from iotsphere.shadow.errors import StoreUnverifiedError
from iotsphere.shadow.handover import AbsentWriters
from iotsphere.shadow.recovery import ShadowStoreRecovery
from iotsphere.worker.pauses import pause

log = structlog.get_logger()

IDLE_SECONDS = 0.25
# Longer than a process that is merely held up keeps still.
ABSENCE_SECONDS = 30.0
PROGRESS_SECONDS = 5.0


async def rebuild_shadows(recovery: ShadowStoreRecovery, *, stop: asyncio.Event) -> None:
    """Restore all shadows whenever the store is being rebuilt, until told to stop."""
    while not stop.is_set():
        try:
            if recovery.generation is not None and recovery.is_rebuilding:
                await _rebuild(recovery)
                await recovery.watch()
        except (UnavailableError, StoreUnverifiedError) as error:
            log.warning("shadow.rebuilding.interrupted", detail=str(error))
        await pause(IDLE_SECONDS, unless=stop)


async def close_absent_writers(writers: AbsentWriters, *, stop: asyncio.Event) -> None:
    """Close now and then those who have ended, until told to stop."""
    while not stop.is_set():
        try:
            await writers.close_absent()
        except (UnavailableError, StoreUnverifiedError) as error:
            log.warning("shadow.writers.postponed", detail=str(error))
        await pause(ABSENCE_SECONDS, unless=stop)


async def _rebuild(recovery: ShadowStoreRecovery) -> None:
    now = asyncio.get_running_loop().time
    began = told_at = now()
    restored = 0

    def report(share: float, count: int) -> None:
        nonlocal restored, told_at
        restored += count
        if now() - told_at >= PROGRESS_SECONDS:
            told_at = now()
            log.info("shadow.rebuilding", share=share, restored=restored)

    log.info("shadow.rebuilding.began", generation=recovery.generation)
    await recovery.restore_all(report=report)
    log.info("shadow.rebuilding.ended", restored=restored, seconds=round(now() - began, 3))
