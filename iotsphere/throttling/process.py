"""Allowances in the memory of one process: what is left when the shared store does not answer."""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TypeVar

from iotsphere.throttling.model import FAMILIAR_SECONDS, SECOND, Demand, Taking, judge

MOST_SUBJECTS = 50_000

K = TypeVar("K")


def monotonic_microseconds() -> int:
    return time.monotonic_ns() // 1000


class ProcessThrottleStore:
    """Keeps a bounded number of subjects; the one that was not seen for longest makes room for a new one."""

    def __init__(
        self, *, microseconds: Callable[[], int] = monotonic_microseconds, most_subjects: int = MOST_SUBJECTS
    ) -> None:
        self._microseconds = microseconds
        self._most_subjects = most_subjects
        self._whole_at: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._familiar_until: OrderedDict[tuple[str, str], int] = OrderedDict()

    async def take(self, demands: Sequence[Demand]) -> Taking:
        now = self._microseconds()
        whole_at = [max(self._whole_at.get(_key(demand), now), now) for demand in demands]
        taking = judge(demands, whole_at, now=now)
        for demand, whole, granted in zip(demands, whole_at, taking.granted, strict=False):
            if granted:
                self._keep(self._whole_at, _key(demand), whole + granted * demand.limit.interval)
        return taking

    async def give_back(self, demands: Sequence[Demand]) -> None:
        for demand in demands:
            if _key(demand) in self._whole_at:
                self._whole_at[_key(demand)] -= demand.wanted * demand.limit.interval

    async def add_familiar(self, account: str, network: str) -> None:
        self._keep(self._familiar_until, (account, network), self._microseconds() + FAMILIAR_SECONDS * SECOND)

    async def find_familiar(self, account: str, network: str) -> bool:
        return self._familiar_until.get((account, network), 0) > self._microseconds()

    def _keep(self, kept: OrderedDict[K, int], key: K, moment: int) -> None:
        kept[key] = moment
        kept.move_to_end(key)
        if len(kept) > self._most_subjects:
            kept.popitem(last=False)


def _key(demand: Demand) -> tuple[str, str]:
    return demand.limit.name, demand.subject
