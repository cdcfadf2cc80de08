"""What one process remembers of its own changes until they are in the journal.

The store can lose what it has acknowledged; as long as the process lives that heard the acknowledgement, nothing is
lost with it. A process that cannot be sure to remember everything says so, for then versions have to go on further.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from iotsphere.shadow.model import ShadowChange

# As JSON: some seconds of the highest rate. Behind a journal that takes nothing for so long, the oldest are let go.
# In memory a shadow of many small values takes some 16 times as much.
MOST_BYTES = 16 * 1024 * 1024
# How long a change of which no answer came can still be made: a request waits less, and a server that is frozen
# for longer acknowledges nothing meanwhile.
DOUBT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Mark:
    """What was remembered at a moment: all up to a position."""

    position: int
    at: float


class AcknowledgedChanges:
    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic, most_bytes: int = MOST_BYTES) -> None:
        self._monotonic = monotonic
        self._most_bytes = most_bytes
        self._bytes = 0
        self._changes: OrderedDict[tuple[int, int], ShadowChange] = OrderedDict()
        self._last: tuple[int, int] = (0, 0)
        self._let_go = (0, 0)
        self._doubted_at: float | None = None
        self._made_since: int | None = None
        self._under_way: set[int] = set()
        self.attempts = 0

    def __len__(self) -> int:
        return len(self._changes)

    @property
    def is_complete(self) -> bool:
        """Whether nothing that the journal may lack has been forgotten or never heard of."""
        return self._let_go == (0, 0) and self._doubted_at is None

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Count a change as under way for as long as its answer is waited for, and until it is remembered."""
        self.attempts += 1
        number = self.attempts
        self._under_way.add(number)
        try:
            yield
        finally:
            self._under_way.discard(number)

    def is_under_way(self, *, until: int) -> bool:
        """Tell whether one of the first so many attempts still is."""
        return any(number <= until for number in self._under_way)

    def remember(self, change: ShadowChange) -> None:
        place = (change.generation, change.position)
        self._changes[place] = change
        self._bytes += change.size_bytes
        self._last = max(self._last, place)
        while self._bytes > self._most_bytes:
            # As good as the oldest: answers come nearly in the order of the changes.
            first, let_go = self._changes.popitem(last=False)
            self._bytes -= let_go.size_bytes
            self._let_go = max(self._let_go, first)
        if self._is_doubt_old(self._monotonic()) and self._made_since is None:
            self._made_since = change.position

    def doubt(self) -> None:
        """Know that a change may have been made, or may yet be, of which nobody will be told."""
        self._doubted_at = self._monotonic()
        self._made_since = None

    def list_waiting(self) -> list[ShadowChange]:
        """Give what the journal may lack, in the order in which it was made."""
        return [self._changes[place] for place in sorted(self._changes)]

    def has_older_than(self, generation: int) -> bool:
        """Tell whether something was acknowledged in an earlier generation."""
        return any(number < generation for number, _ in self._changes)

    def last_position(self, generation: int) -> int:
        """Give the last position that was acknowledged in the generation, journalled or not; 0 for none."""
        return self._last[1] if self._last[0] == generation else 0

    def mark(self, generation: int) -> Mark:
        """Mark the moment before the store is asked what waits for the journal."""
        return Mark(self.last_position(generation), self._monotonic())

    def settle(self, mark: Mark, *, generation: int, oldest_waiting: int | None) -> None:
        """Forget what had reached the journal when, after the mark, this was the oldest change that had not."""
        until = (generation, mark.position if oldest_waiting is None else min(mark.position, oldest_waiting - 1))
        self._changes = OrderedDict(
            (place, change) for place, change in self._changes.items() if place > until or place[0] != generation
        )
        self._bytes = sum(change.size_bytes for change in self._changes.values())
        # What was let go in an earlier generation has been made up for: this one began with higher versions.
        if self._let_go <= until:
            self._let_go = (0, 0)
        if self._is_doubt_old(mark.at) and self._is_doubt_journalled(oldest_waiting):
            self._doubted_at = None

    def forget(self, changes: Iterable[ShadowChange]) -> None:
        """Forget changes that the journal was given directly."""
        for change in changes:
            known = self._changes.pop((change.generation, change.position), None)
            self._bytes -= known.size_bytes if known else 0

    def _is_doubt_old(self, now: float) -> bool:
        return self._doubted_at is not None and now - self._doubted_at >= DOUBT_SECONDS

    def _is_doubt_journalled(self, oldest_waiting: int | None) -> bool:
        if oldest_waiting is None:
            return True
        # The stream is in the order of time: behind a change that was made later there is no doubtful one.
        return self._made_since is not None and oldest_waiting > self._made_since
