"""What the journal keeps of a change, but for the change itself: whole shadows now and then, and requests.

A change tells of the requests that it makes and of those that it settles, and the telling of several changes can be
put together in any order.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from iotsphere.shadow.convergence import leaves, value_at
from iotsphere.shadow.model import ChangeKind, DesiredRefusal, RequestState, ShadowChange

KEPT_EVERY = 32
"""Of so many versions in a row one is kept whole, so that each is made again of no more patches than that."""


def is_kept_whole(change: ShadowChange) -> bool:
    """Tell whether the shadow is kept: a deleted one takes no room, a restored one follows from no patch."""
    return change.kind is not ChangeKind.UPDATED or change.version % KEPT_EVERY == 1


@dataclass(frozen=True, slots=True)
class RequestNote:
    """What is known of a request; what made it is None as long as nothing but its settlement is known."""

    path: str
    requested_version: int
    value: Any = None
    requested_by: str | None = None
    requested_at: datetime | None = None
    state: RequestState = RequestState.PENDING
    settled_version: int | None = None
    settled_at: datetime | None = None
    refusal: DesiredRefusal | None = None

    def join(self, other: "RequestNote") -> "RequestNote":
        """Put two notes of one request together; of two settlements the earlier one holds."""
        made = self if self.requested_by is not None else other
        ended = min(self, other, key=lambda note: (note.settled_version is None, note.settled_version or 0))
        return replace(
            made,
            state=ended.state,
            settled_version=ended.settled_version,
            settled_at=ended.settled_at,
            refusal=ended.refusal,
        )


def notes_of(change: ShadowChange) -> Iterator[RequestNote]:
    """Tell of the requests that a change makes, or settles, or both."""
    for path, asked in leaves(change.shadow.pending):
        if asked == change.version:
            yield _request(change, path)
    for settlement in change.settlements:
        is_new = settlement.requested_version == change.version
        made = (
            _request(change, settlement.path)
            if is_new
            else RequestNote(settlement.path, settlement.requested_version)
        )
        yield replace(
            made,
            state=settlement.state,
            settled_version=change.version,
            settled_at=change.at,
            refusal=settlement.refusal,
        )


def _request(change: ShadowChange, path: str) -> RequestNote:
    value = value_at(change.shadow.desired.state, path)
    return RequestNote(path, change.version, value, change.actor, change.at)
