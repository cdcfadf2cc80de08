"""Who is next of those who wait, and how much each may have waiting: who hands in without end delays no other.

Turns are start-time fair queueing (Goyal, Vin, Cheng 1996), of organisations, and within each of its devices: on a
clock that counts what was given out, the next turn comes the later, the more was given before. Whoever comes new is
next, also behind one who was given much.
"""

import heapq
from collections import Counter, deque
from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Sender(NamedTuple):
    """For whom something waits: a device, and whose it is; without a device, whoever brings what is of several."""

    organisation: Hashable
    device: Hashable


class Lane(Generic[T]):
    """What waits of one sender, in the order in which it came, with the size of each."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, T]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, _: tuple[Hashable, ...], size: int, item: T) -> None:
        self._waiting.append((size, item))

    def pop(self, room: int | None) -> tuple[int, T] | None:
        if room is not None and self._waiting[0][0] > room:
            return None
        return self._waiting.popleft()


class FairQueue(Generic[T]):
    """Gives out in turns what was put in, by the first of the names of those who wait, then by the next."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._lanes: dict[Hashable, Lane[T] | FairQueue[T]] = {}
        # When it is whose turn. Those with nothing left stay until then, for they are not new before.
        self._turns: list[tuple[float, bool, int, Hashable]] = []
        self._now = 0.0
        self._count = self._busy = self._number = 0

    def __len__(self) -> int:
        return self._count

    def put(self, names: tuple[Hashable, ...], size: int, item: T) -> None:
        name, *rest = names
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = FairQueue() if rest else Lane()
            self._take_turn(self._now, name, is_new=True)
        self._busy += not lane
        lane.put(tuple(rest), size, item)
        self._count += 1

    def pop(self, room: int | None = None) -> tuple[int, T] | None:
        """Give what is next, with its size; None if there is nothing, or if it is larger than the room."""
        while self._count:
            at, _, _, name = self._turns[0]
            lane = self._lanes[name]
            if not lane:
                heapq.heappop(self._turns)
                del self._lanes[name]
                continue
            found = lane.pop(room)
            if found is not None:
                heapq.heappop(self._turns)
                self._count -= 1
                self._pass_time(at, name, size=max(1, found[0]))
            return found
        self._clear()
        return None

    def _pass_time(self, at: float, name: Hashable, *, size: int) -> None:
        # As much as each of those who wait would have been given meanwhile, so that who waits is overtaken by no end
        # of others who come new.
        self._now = max(at, self._now + size / self._busy)
        self._busy -= not self._lanes[name]
        self._take_turn(at + size, name, is_new=False)

    def _take_turn(self, at: float, name: Hashable, *, is_new: bool) -> None:
        self._number += 1
        heapq.heappush(self._turns, (at, not is_new, self._number, name))


class WaitingRoom:
    """A place for so many points, which nobody can fill alone.

    A device may have as many as its organisation has left, and an organisation twice as many as are free: so one
    device ends at a half of the room, one organisation at two thirds, and whoever comes new finds some.
    """

    def __init__(self, capacity: int) -> None:
        self._free = capacity
        # By sender, and by organisation.
        self._held: Counter[Hashable] = Counter()

    def enter(self, sender: Sender, size: int) -> bool:
        """Take room for so many, or tell that there is none."""
        share = 2 * self._free - self._held[sender.organisation]
        if size > self._free or self._held[sender] + size > share:
            return False
        self._change(sender, size)
        return True

    def leave(self, sender: Sender, size: int) -> None:
        self._change(sender, -size)

    def _change(self, sender: Sender, size: int) -> None:
        self._free -= size
        for holder in (sender, sender.organisation):
            self._held[holder] += size
            if not self._held[holder]:
                del self._held[holder]
