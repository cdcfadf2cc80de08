"""What happens to requests while a store is down or frozen: the ones that need it fail soon, and say so.

Each store has one gate. An outage closes it for a moment; while it is closed, requests are refused at once instead
of queueing behind a time-out. When the moment is over one request is let through to try, and its success opens
the gate for everybody.
"""

import time
from collections.abc import Callable

from iotsphere.kernel.errors import UnavailableError

CLOSED_SECONDS = 0.5
# For so long it is worth saying that something found no room.
FULL_SECONDS = 60.0


class StoreGate:
    """A circuit breaker for one store; ``store`` is its name in error codes and in ``/health/ready``."""

    def __init__(self, store: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.store = store
        self._monotonic = monotonic
        self._closed_until: float | None = None
        self._trial_until = 0.0
        self._full_until = 0.0

    def enter(self) -> None:
        """Let a request through to the store, or not.

        :raises UnavailableError: the store failed a moment ago and has not been seen to work since.
        """
        if self._closed_until is None:
            return
        now = self._monotonic()
        if now < self._closed_until or now < self._trial_until:
            raise self.unavailable()
        # A trial that never reports back (its task was cancelled) must not keep the gate closed for ever.
        self._trial_until = now + 5 * CLOSED_SECONDS

    def succeeded(self) -> None:
        self._closed_until = None
        self._trial_until = 0.0

    def failed(self, advice: str | None = None) -> UnavailableError:
        """Close the gate and give the error to raise."""
        self._closed_until = self._monotonic() + CLOSED_SECONDS
        self._trial_until = 0.0
        return self.unavailable(advice)

    def busy(self) -> UnavailableError:
        """Give the error for a request for which the store had no room in time. That is no outage."""
        return UnavailableError(self.store, f"The {self.store} store is busy. Try again shortly.")

    def full(self) -> UnavailableError:
        """Give the error for what found no room on the store's disk. What only reads goes on."""
        self._full_until = self._monotonic() + FULL_SECONDS
        return UnavailableError(self.store, f"The {self.store} store has no room left on its disk.")

    def find_remark(self) -> str | None:
        """Give what is to be known of a store that answers."""
        if self._monotonic() >= self._full_until:
            return None
        return "There was no room left on its disk a moment ago: what it has is given, what is sent may be refused."

    def unavailable(self, advice: str | None = None) -> UnavailableError:
        return UnavailableError(
            self.store, f"The {self.store} store does not answer. {advice or 'Try again shortly.'}"
        )
