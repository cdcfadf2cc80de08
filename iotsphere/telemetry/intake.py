"""Group commit: whatever arrives while a transaction is under way goes into the next one together.

No request is answered before the transaction that holds its points has committed. Under load, a commit is shared by
all who wait for it, and so is the lock on a device's line in the ledger; a request that comes alone waits for nobody.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.model import Arrival, Counts, Reading
from iotsphere.telemetry.ports import TelemetryUnitOfWorkFactory

# More in one statement gains nothing, and takes longer than a statement may.
MOST_POINTS_AT_ONCE = 10_000
# About a tenth of a GiB: what is beyond it is told to come again.
MOST_POINTS_WAITING = 200_000
# A store that is slow, but answers, closes no gate: behind many slow transactions somebody would wait for minutes.
LONGEST_WAIT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Submission:
    """What one request hands in: its readings, and how many of its values could not be taken."""

    device_id: DeviceId
    arrived_at: datetime
    readings: Sequence[Reading]
    rejected: int

    @property
    def size(self) -> int:
        return sum(len(reading.values) for reading in self.readings)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a submission: ``unsettled`` tells of each reading that was not stored whole, by its place."""

    counts: Counts
    unsettled: Mapping[int, Counts]


@dataclass(eq=False, slots=True)
class Group:
    """Submissions that are committed together."""

    replaces: bool
    submissions: list[Submission] = field(default_factory=list)
    size: int = 0


class GroupCommit:
    """Writes the submissions of concurrent requests, one transaction after the other."""

    def __init__(self, *, unit_of_work: TelemetryUnitOfWorkFactory) -> None:
        self._unit_of_work = unit_of_work
        self._open: dict[bool, tuple[Group, asyncio.Task[list[Receipt]]]] = {}
        self._latest: asyncio.Task[list[Receipt]] | None = None
        self._waiting = 0

    async def write(self, submission: Submission, *, replaces: bool) -> Receipt:
        """Store the readings and count them in the ledger; tell what became of them, after the commit.

        :raises UnavailableError: too much is waiting already, or the store failed; then nothing of it was stored. Or
            it took too long; then it may be stored yet.
        """
        [receipt] = await self.write_together([submission], replaces=replaces)
        return receipt

    async def write_together(self, submissions: Sequence[Submission], *, replaces: bool) -> list[Receipt]:
        """Do the same for several, which are stored together or not at all."""
        size = sum(submission.size for submission in submissions)
        if self._waiting + size > MOST_POINTS_WAITING:
            raise UnavailableError("telemetry", "More readings wait than can be stored soon. Try again shortly.")
        group, committed = self._group_with_room(size, replaces=replaces)
        begin = len(group.submissions)
        group.submissions.extend(submissions)
        group.size += size
        self._waiting += size
        try:
            async with asyncio.timeout(LONGEST_WAIT_SECONDS):
                # A client that goes away takes neither its own points along nor those of the others.
                return (await asyncio.shield(committed))[begin : begin + len(submissions)]
        except TimeoutError as error:
            raise UnavailableError(
                "telemetry",
                "The readings could not be stored in time, and may be stored yet. Send them again: what is there by "
                "then counts as duplicates.",
            ) from error

    def _group_with_room(self, size: int, *, replaces: bool) -> tuple[Group, asyncio.Task[list[Receipt]]]:
        found = self._open.get(replaces)
        if found is not None and found[0].size + size <= MOST_POINTS_AT_ONCE:
            return found
        group = Group(replaces)
        self._latest = asyncio.create_task(self._commit(group, after=self._latest))
        self._open[replaces] = group, self._latest
        return self._open[replaces]

    async def _commit(self, group: Group, *, after: asyncio.Task[list[Receipt]] | None) -> list[Receipt]:
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

    async def _store(self, group: Group) -> list[Receipt]:
        readings = [reading for submission in group.submissions for reading in submission.readings]
        async with self._unit_of_work() as uow:
            unsettled = await uow.points.append(readings, replace=group.replaces)
            receipts = _part(group.submissions, unsettled)
            await uow.ledger.add(
                [
                    Arrival(each.device_id, each.arrived_at, receipt.counts)
                    for each, receipt in zip(group.submissions, receipts, strict=True)
                ]
            )
            await uow.commit()
        return receipts


def _part(submissions: Sequence[Submission], unsettled: Mapping[int, Counts]) -> list[Receipt]:
    """Give to each submission what is its own of what became of all."""
    receipts = []
    begin = 0
    for submission in submissions:
        own = range(begin, begin + len(submission.readings))
        begin = own.stop
        mine = {place - own.start: unsettled[place] for place in own if place in unsettled} if unsettled else {}
        whole = submission.size - sum(counts.received for counts in mine.values())
        receipts.append(Receipt(sum(mine.values(), Counts(stored=whole, rejected=submission.rejected)), mine))
    return receipts
