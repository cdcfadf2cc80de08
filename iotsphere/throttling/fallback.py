"""Goes on without the shared store: no request waits for a limit that cannot be asked for, and none is refused."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from prometheus_client import Gauge

from iotsphere.kernel.errors import UnavailableError
from iotsphere.throttling.model import Demand, Taking
from iotsphere.throttling.ports import ThrottleStore

T = TypeVar("T")

FALLBACK = Gauge("iotsphere_throttle_fallback", "1 while this process limits alone, its store being away")


class FallbackThrottleStore:
    """Asks the ``shared`` store, and the process's ``own`` while that one is away.

    Each process then admits as much as all of them together did: limits are multiplied, never lifted.
    """

    def __init__(self, shared: ThrottleStore, own: ThrottleStore) -> None:
        self._shared = shared
        self._own = own

    async def take(self, demands: Sequence[Demand]) -> Taking:
        return await _first(lambda store: store.take(demands), self._shared, self._own)

    async def give_back(self, demands: Sequence[Demand]) -> None:
        await _first(lambda store: store.give_back(demands), self._shared, self._own)

    async def add_familiar(self, account: str, network: str) -> None:
        # Here in any case, or an outage would make the owner a stranger at home.
        await self._own.add_familiar(account, network)
        await _first(lambda store: store.add_familiar(account, network), self._shared, self._own)

    async def find_familiar(self, account: str, network: str) -> bool:
        return await _first(lambda store: store.find_familiar(account, network), self._shared, self._own)


async def _first(ask: Callable[[ThrottleStore], Awaitable[T]], shared: ThrottleStore, own: ThrottleStore) -> T:
    try:
        answer = await ask(shared)
    except UnavailableError:
        FALLBACK.set(1)
        return await ask(own)
    FALLBACK.set(0)
    return answer
