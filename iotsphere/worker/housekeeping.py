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
        try:
            await idempotency.forget_old()
            await sessions.forget_ended()
            await ring.keep_keys()
        except UnavailableError as error:
            log.warning("worker.housekeeping.postponed", detail=error.detail)
        await pause(INTERVAL_SECONDS, unless=stop)
