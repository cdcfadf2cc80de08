"""What a process remembers of the registry, and for how long it may.

What is remembered spares a look-up. What must not happen is that something which was ended goes on being accepted. So
a cache answers only while it is certain to have heard of every change but those of the last moment: whoever listens
to the registry proves again and again up to when it has heard of everything. Without that proof the cache is silent,
and everything is looked up.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar
from uuid import UUID

# What was ended longer ago than this is not accepted, whatever has become of the registry.
LEASE_SECONDS = 0.8
MOST_REMEMBERED = 50_000

Monotonic = Callable[[], float]
V = TypeVar("V")


class LeasedCache(Generic[V]):
    """What was looked up, by its id; what was not asked for the longest gives way to what is new."""

    def __init__(self, *, monotonic: Monotonic = time.monotonic, most: int = MOST_REMEMBERED) -> None:
        self._monotonic = monotonic
        self._most = most
        self._values: OrderedDict[UUID, V] = OrderedDict()
        self._proven_at = -math.inf
        self.generation = 0
        """Changes with every word of a change. A look-up notes it before it begins."""

    def recall(self, id_: UUID) -> V | None:
        """Give what is remembered, if anything is and no change of it can have been missed."""
        if self._monotonic() - self._proven_at >= LEASE_SECONDS:
            return None
        value = self._values.get(id_)
        if value is not None:
            self._values.move_to_end(id_)
        return value

    def remember(self, id_: UUID, value: V, *, generation: int) -> None:
        """Remember what was looked up, unless there was word of a change since the look-up began.

        It may have read what the change replaced, and the word would not come again.
        """
        if generation != self.generation:
            return
        self._values[id_] = value
        if len(self._values) > self._most:
            self._values.popitem(last=False)

    def forget(self, id_: UUID) -> None:
        """Take in that something was changed, or what it depends on."""
        self.generation += 1
        self._values.pop(id_, None)

    def forget_all(self) -> None:
        """Begin anew: what is remembered or being looked up may have changed while nobody listened."""
        self.generation += 1
        self._values.clear()
        self._proven_at = -math.inf

    def prove(self, moment: float) -> None:
        """Take in that there was word of every change before a moment of the monotonic clock."""
        self._proven_at = moment
