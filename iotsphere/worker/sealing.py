"""Gives the entries of the audit trail their places and seals, soon after they were made."""

import asyncio

import structlog

from iotsphere.audit.service import SEALED_AT_ONCE, SealingService
from iotsphere.kernel.errors import UnavailableError
from iotsphere.worker.pauses import pause

log = structlog.get_logger()

IDLE_SECONDS = 0.25
HEAD_SECONDS = 600.0
"""How often the end of the chain is logged. Kept apart from the database, it shows whether the end was cut off."""


async def seal_trail(sealing: SealingService, *, stop: asyncio.Event) -> None:
    """Seal what waits, until told to stop; with nothing to do, look again after a moment."""
    now = asyncio.get_running_loop().time
    registry_is_up = True
    next_head_at = now()
    while not stop.is_set():
        sealed = 0
        try:
            records = await sealing.seal_entries()
            sealed = len(records)
            if records and now() >= next_head_at:
                log.info("audit.chain.head", head=str(records[-1].place))
                next_head_at = now() + HEAD_SECONDS
            registry_is_up = True
        except UnavailableError as error:
            if registry_is_up:
                log.warning("audit.sealing.postponed", detail=error.detail)
            registry_is_up = False
        if sealed < SEALED_AT_ONCE:
            await pause(IDLE_SECONDS, unless=stop)
