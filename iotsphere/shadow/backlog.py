"""Says how far the journal is behind."""

import math

from prometheus_client import Gauge

from iotsphere.kernel.clock import Clock
from iotsphere.kernel.errors import UnavailableError
from iotsphere.shadow.errors import StoreUnverifiedError
from iotsphere.shadow.ports import ChangeStream

CHANGES = Gauge("iotsphere_shadow_backlog_changes", "Changes of shadows that are not in the journal yet")
BYTES = Gauge("iotsphere_shadow_backlog_bytes", "How much room they take in the shadow store")
AGE = Gauge("iotsphere_shadow_backlog_age_seconds", "How long the oldest of them has been waiting")


class BacklogReport:
    def __init__(self, *, stream: ChangeStream, clock: Clock) -> None:
        self._stream = stream
        self._clock = clock

    async def tell_metrics(self) -> None:
        """Let the metrics say what waits now; they are no number while the store cannot be asked."""
        try:
            backlog = await self._stream.measure()
        except (UnavailableError, StoreUnverifiedError):
            for gauge in (CHANGES, BYTES, AGE):
                gauge.set(math.nan)
            return
        CHANGES.set(backlog.length)
        BYTES.set(backlog.size_bytes)
        # Two clocks are compared, of which the store's may be a little ahead.
        AGE.set(max(0.0, (self._clock() - backlog.oldest_at).total_seconds()) if backlog.oldest_at else 0.0)
