"""Says how far the journal is behind."""

import asyncio

import structlog
from prometheus_client import Gauge

from iotsphere.kernel.clock import Clock
from iotsphere.kernel.errors import UnavailableError
from iotsphere.shadow.errors import StoreUnverifiedError
from iotsphere.shadow.ports import Backlog, ChangeStream

log = structlog.get_logger()

INTERVAL_SECONDS = 5.0
# The journal is behind by milliseconds as long as a worker is at it.
LATE_SECONDS = 10.0

CHANGES = Gauge("iotsphere_shadow_backlog_changes", "Changes of shadows that are not in the journal yet")
BYTES = Gauge("iotsphere_shadow_backlog_bytes", "How much room they take in the shadow store")
AGE = Gauge("iotsphere_shadow_backlog_age_seconds", "How long the oldest of them has been waiting")


class BacklogWatch:
    def __init__(self, *, stream: ChangeStream, clock: Clock, interval_seconds: float = INTERVAL_SECONDS) -> None:
        self._stream = stream
        self._clock = clock
        self._interval_seconds = interval_seconds
        self._is_late = False

    async def keep_watching(self) -> None:
        """Measure now and then for as long as it is let; a store that does not answer is somebody else's affair."""
        while True:
            try:
                self._tell(await self._stream.measure())
            except (UnavailableError, StoreUnverifiedError) as error:
                log.debug("shadow.backlog.unknown", reason=str(error))
            await asyncio.sleep(self._interval_seconds)

    def _tell(self, backlog: Backlog) -> None:
        age = 0.0 if backlog.oldest_at is None else (self._clock() - backlog.oldest_at).total_seconds()
        CHANGES.set(backlog.length)
        BYTES.set(backlog.size_bytes)
        AGE.set(max(age, 0.0))
        if age > LATE_SECONDS and not self._is_late:
            log.warning("shadow.journal.behind", changes=backlog.length, seconds=round(age, 1))
        self._is_late = age > LATE_SECONDS
