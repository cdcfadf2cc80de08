"""Throttles for tests: on the memory of the process, and on stores that fail."""

import asyncio
from collections.abc import Sequence

from iotsphere.kernel.errors import UnavailableError
from iotsphere.throttling.model import SECOND, Demand, RequestLimits, Taking
from iotsphere.throttling.process import ProcessThrottleStore
from iotsphere.throttling.service import Throttle


def build_throttle(limits: RequestLimits | None = None) -> Throttle:
    return Throttle(store=ProcessThrottleStore(), limits=limits or RequestLimits())


class Seconds:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def microseconds(self) -> int:
        return round(self.now * SECOND)


class CountingThrottleStore(ProcessThrottleStore):
    """Keeps allowances, writes down what is asked of it, and while it is down does not answer."""

    def __init__(self, clock: Seconds) -> None:
        super().__init__(microseconds=clock.microseconds)
        self.asked: list[tuple[str, int]] = []
        self.is_down = False

    async def take(self, demands: Sequence[Demand]) -> Taking:
        # Others come in between, as they do while a store is waited for.
        await asyncio.sleep(0)
        self._reach()
        self.asked += [(demand.limit.name, demand.wanted) for demand in demands]
        return await super().take(demands)

    async def give_back(self, demands: Sequence[Demand]) -> None:
        self._reach()
        await super().give_back(demands)

    async def add_familiar(self, account: str, network: str) -> None:
        self._reach()
        await super().add_familiar(account, network)

    async def find_familiar(self, account: str, network: str) -> bool:
        self._reach()
        return await super().find_familiar(account, network)

    def _reach(self) -> None:
        if self.is_down:
            raise UnavailableError("throttling", "Down.")
