"""How many long requests go on at once in this process, of one organisation and of all."""

import weakref
from collections import Counter
from functools import partial

from iotsphere.kernel.identifiers import OrganisationId
from iotsphere.telemetry.errors import StreamBusyError

RETRY_AFTER_SECONDS = 5


class LongPlace:
    """One of few, until it is left; or until nobody has it any more, as where an answer is never sent."""

    def __init__(self, leave: partial[None]) -> None:
        self.leave = weakref.finalize(self, leave)


class LongPlaces:
    def __init__(self, kind: str, *, most: int, most_of_one: int) -> None:
        self._kind = kind
        self._most = most
        self._most_of_one = most_of_one
        self.taken: Counter[OrganisationId] = Counter()

    def take(self, organisation_id: OrganisationId) -> LongPlace:
        """:raises StreamBusyError: there are as many as there may be at once."""
        if self.taken.total() >= self._most or self.taken[organisation_id] >= self._most_of_one:
            raise StreamBusyError(
                f"Too many {self._kind} are under way. Try again shortly.", retry_after_seconds=RETRY_AFTER_SECONDS
            )
        self.taken[organisation_id] += 1
        return LongPlace(partial(self._leave, organisation_id))

    def _leave(self, organisation_id: OrganisationId) -> None:
        self.taken[organisation_id] -= 1
        if not self.taken[organisation_id]:
            del self.taken[organisation_id]
