"""How many refusals are kept: enough to see what is going on, too few to fill the disk with them."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

MINUTE_SECONDS = 60.0
MOST_NAMES = 10_000


@dataclass(slots=True)
class _Count:
    minute: int
    kept: int = 0
    left_out: int = 0


class RefusalAllowance:
    """Counts, for each who tries and each minute, what was kept and what was left out since.

    Of the names, those heard of longest ago are forgotten first, so that no crowd of strangers can fill the memory.
    """

    def __init__(self, *, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._counts: OrderedDict[str, _Count] = OrderedDict()

    def take(self, name: str, *, limit: int) -> int | None:
        """Give how many were left out since the last that was kept, or None where this one is to be left out too."""
        minute = int(self._monotonic() // MINUTE_SECONDS)
        count = self._counts.setdefault(name, _Count(minute))
        self._counts.move_to_end(name)
        if len(self._counts) > MOST_NAMES:
            self._counts.popitem(last=False)
        if count.minute != minute:
            count.minute, count.kept = minute, 0
        if count.kept >= limit:
            count.left_out += 1
            return None
        left_out, count.left_out = count.left_out, 0
        count.kept += 1
        return left_out
