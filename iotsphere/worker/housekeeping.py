"""What has to be forgotten now and then, so that no table grows for ever."""

import asyncio

import structlog

from iotsphere.identity.idempotency import IdempotencyService
from iotsphere.identity.service import SessionService
from iotsphere.identity.signing import SigningKeyRing
from iotsphere.kernel.errors import UnavailableError
from iotsphere.worker.pauses import pause

log = structlog.get_logger()

INTERVAL_SECONDS = 600.0


async def keep_house(
    idempotency: IdempotencyService, sessions: SessionService, ring: SigningKeyRing, *, stop: asyncio.Event
) -> None:
    """Forget answers after their 24 hours, sessions that are over, and keys that sign no more, until told to stop."""
    while not stop.is_set():
        for duty in (idempotency.forget_old, sessions.forget_ended, ring.keep_keys):
            try:
                await duty()
            # One that takes too long keeps the others from nothing.
            except UnavailableError as error:
                log.warning("worker.housekeeping.postponed", duty=duty.__name__, detail=error.detail)
        await pause(INTERVAL_SECONDS, unless=stop)
