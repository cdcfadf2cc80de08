"""What a process has in hand of allowances, so that most requests ask nobody.

Whatever is in hand has been taken from the allowance before: together the processes never admit more than it holds.
"""

import asyncio
import time
from collections.abc import Callable

from iotsphere.throttling.model import Demand, Limit, Taking
from iotsphere.throttling.ports import ThrottleStore

# A device that sends a reading now and again asks for its limit once a minute, not every time.
LEASE_SECONDS = 60.0
MOST_LEASES = 20_000

Monotonic = Callable[[], float]


class Lease:
    """A block of one subject's allowance: ``left`` of it may be used until it lapses.

    ``waiting`` counts the requests that wait for more, and ``refused_until`` spares them asking before there is any.
    """

    __slots__ = ("lapses_at", "left", "limit", "lock", "refused_until", "subject", "waiting")

    def __init__(self, limit: Limit, subject: str) -> None:
        self.limit = limit
        self.subject = subject
        self.left = 0
        self.lapses_at = 0.0
        self.refused_until = 0.0
        self.waiting = 0
        self.lock = asyncio.Lock()

    def spend_at_once(self, now: float) -> bool:
        if self.left < 1 or now >= self.lapses_at:
            return False
        self.left -= 1
        return True


class Leases:
    """The leases of a process; the oldest of too many is forgotten, and what it had left with it."""

    def __init__(
        self, store: ThrottleStore, *, monotonic: Monotonic = time.monotonic, most_leases: int = MOST_LEASES
    ) -> None:
        self._store = store
        self._monotonic = monotonic
        self._most_leases = most_leases
        self._leases: dict[object, Lease] = {}

    def of(self, limit: Limit, subject: object) -> Lease:
        """Give the lease of a subject, which is an id or a name that no other limit's subject has."""
        lease = self._leases.get(subject)
        if lease is None:
            lease = self._leases[subject] = Lease(limit, str(subject))
            if len(self._leases) > self._most_leases:
                del self._leases[next(iter(self._leases))]
        return lease

    async def spend(self, lease: Lease) -> float:
        """Use one of what is in hand, or take more.

        :returns: 0, or if there is none in how many seconds there will be.
        """
        if lease.spend_at_once(self._monotonic()):
            return 0
        lease.waiting += 1
        try:
            # One asks for all that wait.
            async with lease.lock:
                return await self._spend_next(lease)
        finally:
            lease.waiting -= 1

    async def _spend_next(self, lease: Lease) -> float:
        now = self._monotonic()
        if lease.spend_at_once(now):
            return 0
        if now < lease.refused_until:
            return lease.refused_until - now
        wanted = max(lease.limit.block, lease.waiting)
        taking = await self._store.take([Demand(lease.limit, lease.subject, wanted)])
        return self._note(lease, taking)

    def _note(self, lease: Lease, taking: Taking) -> float:
        now = self._monotonic()
        if taking.refused_by is not None:
            lease.refused_until = now + taking.retry_after_seconds
            return taking.retry_after_seconds
        lease.left = taking.granted[0] - 1
        lease.lapses_at = now + LEASE_SECONDS
        return 0
