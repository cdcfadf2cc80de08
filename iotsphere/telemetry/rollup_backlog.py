"""Says how much waits for being rolled up."""

import math

from prometheus_client import Gauge

from iotsphere.kernel.clock import Clock
from iotsphere.kernel.errors import UnavailableError
from iotsphere.telemetry.errors import QueryTooCostlyError
from iotsphere.telemetry.rollups import RollupService

WAITING = Gauge("iotsphere_rollups_waiting_hours", "Hours of devices that are over and wait for being rolled up")
AGE = Gauge("iotsphere_rollups_waiting_age_seconds", "How long the first of them has been waiting")
PUT_OFF = Gauge("iotsphere_rollups_put_off_hours", "Hours of devices that took too long to be rolled up")


class RollupBacklogReport:
    def __init__(self, *, rollups: RollupService, clock: Clock) -> None:
        self._rollups = rollups
        self._clock = clock

    async def tell_metrics(self) -> None:
        """Let the metrics say what waits now; they are no number while the store cannot tell."""
        try:
            backlog = await self._rollups.find_backlog()
        except (UnavailableError, QueryTooCostlyError):
            for gauge in (WAITING, AGE, PUT_OFF):
                gauge.set(math.nan)
            return
        WAITING.set(backlog.waiting)
        PUT_OFF.set(backlog.put_off)
        # Two clocks are compared, of which the store's may be a little ahead.
        AGE.set(max(0.0, (self._clock() - backlog.oldest_at).total_seconds()) if backlog.oldest_at else 0.0)
