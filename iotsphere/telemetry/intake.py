"""Group commit: whatever arrives while a transaction is under way goes into the next one together.

No request is answered before the transaction that holds its points has committed. Under load, a commit is shared by
all who wait for it, and so is the lock on a device's line in the ledger; a request that comes alone waits for nobody.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.model import Arrival, Counts, Outcome, Point
from iotsphere.telemetry.ports import TelemetryUnitOfWorkFactory

# More in one statement gains nothing, and takes longer than a statement may.
MOST_POINTS_AT_ONCE = 10_000
# About a tenth of a GiB: what is beyond it is told to come again.
MOST_POINTS_WAITING = 200_000
# A store that is slow, but answers, closes no gate: behind many slow transactions somebody would wait for minutes.
LONGEST_WAIT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Submission:
    """What one request hands in: its points, and how many of its values were no points."""

    device_id: DeviceId
    arrived_at: datetime
    points: Sequence[Point]
    rejected: int


@dataclass(eq=False, slots=True)
class Group:
    """Submissions that are committed together; ``outcomes`` are theirs, one after the other."""

    replaces: bool
    submissions: list[Submission] = field(default_factory=list)
    size: int = 0


class GroupCommit:
    """Writes the submissions of concurrent requests, one transaction after the other."""

    def __init__(self, *, unit_of_work: TelemetryUnitOfWorkFactory) -> None:
        self._unit_of_work = unit_of_work
        self._open: dict[bool, tuple[Group, asyncio.Task[list[list[Outcome]]]]] = {}
        self._latest: asyncio.Task[list[list[Outcome]]] | None = None
        self._waiting = 0

    async def write(self, submission: Submission, *, replaces: bool) -> list[Outcome]:
        """Store the points and count them in the ledger; give what became of each, after the commit.

        :raises UnavailableError: too much is waiting already, or the store failed; then nothing of it was stored. Or
            it took too long; then it may be stored yet.
        """
        size = len(submission.points)
        if self._waiting + size > MOST_POINTS_WAITING:
            raise UnavailableError("telemetry", "More readings wait than can be stored soon. Try again shortly.")
        group, committed = self._group_with_room(size, replaces=replaces)
        place = len(group.submissions)
        group.submissions.append(submission)
        group.size += size
        self._waiting += size
        try:
            async with asyncio.timeout(LONGEST_WAIT_SECONDS):
                # A client that goes away takes neither its own points along nor those of the others.
                return (await asyncio.shield(committed))[place]
        except TimeoutError as error:
            raise UnavailableError(
                "telemetry",
                "The readings could not be stored in time, and may be stored yet. Send them again: what is there by "
                "then counts as duplicates.",
            ) from error

    def _group_with_room(self, size: int, *, replaces: bool) -> tuple[Group, asyncio.Task[list[list[Outcome]]]]:
        found = self._open.get(replaces)
        if found is not None and found[0].size + size <= MOST_POINTS_AT_ONCE:
            return found
        group = Group(replaces)
        self._latest = asyncio.create_task(self._commit(group, after=self._latest))
        self._open[replaces] = group, self._latest
        return self._open[replaces]

    async def _commit(self, group: Group, *, after: asyncio.Task[list[list[Outcome]]] | None) -> list[list[Outcome]]:
        if after is not None:
            await asyncio.wait({after})
        if self._open.get(group.replaces, (None,))[0] is group:
            # From here on nobody joins.
            del self._open[group.replaces]
        try:
            return await self._store(group)
        finally:
            # Not when the client goes away: its points are held until now.
            self._waiting -= group.size

    async def _store(self, group: Group) -> list[list[Outcome]]:
        points = [point for submission in group.submissions for point in submission.points]
        async with self._unit_of_work() as uow:
            outcomes = iter(await uow.points.append(points, replace=group.replaces))
            parted = [[next(outcomes) for _ in submission.points] for submission in group.submissions]
            await uow.ledger.add(_arrivals(group.submissions, parted))
            await uow.commit()
        return parted


def _arrivals(submissions: Sequence[Submission], parted: Sequence[Sequence[Outcome]]) -> list[Arrival]:
    return [
        Arrival(each.device_id, each.arrived_at, Counts.of(outcomes, rejected=each.rejected))
        for each, outcomes in zip(submissions, parted, strict=True)
    ]
