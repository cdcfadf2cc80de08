"""Group commit: whatever arrives while transactions are under way goes into the next one together.

No request is answered before the transaction that holds its points has committed. Under load, a commit is shared by
all who wait for it, and so is the lock on a device's line in the ledger; a request that comes alone waits for nobody,
and those who wait take turns.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import DeviceId, OrganisationId
from iotsphere.telemetry.blocks import Joined, count_values, weigh
from iotsphere.telemetry.model import Arrival, Counts, Reading
from iotsphere.telemetry.ports import TelemetryUnitOfWorkFactory
from iotsphere.telemetry.retention_rules import IntakeTerms
from iotsphere.telemetry.turns import FairQueue, Sender, WaitingRoom

# More in one statement gains nothing, and takes longer than a statement may. All of these count numbers, and what is
# no number by its bytes.
MOST_POINTS_AT_ONCE = 10_000
# While the store is busy with one transaction, the next is made ready, where as many wait: fewer share one commit.
TRANSACTIONS = 2
POINTS_FOR_ANOTHER = 1000
# About a tenth of a GiB: what is beyond it is told to come again.
MOST_POINTS_WAITING = 200_000
# A store that is slow, but answers, closes no gate: behind many slow transactions somebody would wait for minutes.
LONGEST_WAIT_SECONDS = 10.0

NO_ROOM = "More readings wait than can be stored soon. Try again shortly."
ENDING = "The process ends, and takes no more readings. Send them again."
UNSURE = (
    "The readings could not be stored in time, and may be stored yet. Send them again: what is there by then counts "
    "as duplicates."
)


@dataclass(frozen=True, slots=True)
class Submission:
    """What one request hands in: its readings, and how many of its values could not be taken.

    ``device_type`` is the device's where that is known, and ``kept_since`` tells of each class since when it is kept.
    """

    device_id: DeviceId
    arrived_at: datetime
    readings: Sequence[Reading]
    rejected: int
    device_type: str | None = None
    kept_since: Mapping[int, datetime] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return count_values(self.readings)

    @property
    def weight(self) -> int:
        return weigh(self.readings)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a submission: ``unsettled`` tells of each reading that was not stored whole, by its place."""

    counts: Counts
    unsettled: Mapping[int, Counts]


@dataclass(eq=False, slots=True)
class PendingSubmissions:
    """What is stored together, and whoever waits for its receipts, as long as they do."""

    submissions: Sequence[Submission]
    sender: Sender
    weight: int
    receipts: asyncio.Future[list[Receipt]]

    def settle(self, receipts: list[Receipt]) -> None:
        if not self.receipts.done():
            self.receipts.set_result(receipts)

    def fail(self, error: BaseException) -> None:
        if not self.receipts.done():
            self.receipts.set_exception(error)


class GroupCommit:
    """Writes the submissions of concurrent requests, a few transactions at a time."""

    def __init__(self, *, unit_of_work: TelemetryUnitOfWorkFactory, most_waiting: int = MOST_POINTS_WAITING) -> None:
        self._unit_of_work = unit_of_work
        # What keeps the stored values and what replaces them does not share a transaction.
        self._queues: dict[bool, FairQueue[PendingSubmissions]] = {False: FairQueue(), True: FairQueue()}
        self._room = WaitingRoom(most_waiting)
        self._waiting: set[PendingSubmissions] = set()
        self._writing: set[asyncio.Task[None]] = set()
        self._replaced_last = True
        self._points_waiting = 0
        self._is_closed = False

    async def write(
        self, submission: Submission, *, replaces: bool, organisation_id: OrganisationId | None = None
    ) -> Receipt:
        """Store the readings and count them in the ledger; tell what became of them, after the commit.

        ``organisation_id`` is whose device it is: organisations take turns, and the devices of each.

        :raises UnavailableError: too much is waiting already, or the store failed; then nothing of it was stored. Or
            it took too long; then it may be stored yet.
        """
        sender = Sender(organisation_id, submission.device_id)
        [receipt] = await self.write_together([submission], replaces=replaces, sender=sender)
        return receipt

    async def write_together(
        self, submissions: Sequence[Submission], *, replaces: bool, sender: Sender
    ) -> list[Receipt]:
        """Do the same for several, which are stored together or not at all, and take turns as one sender."""
        if self._is_closed:
            raise UnavailableError("telemetry", ENDING)
        weight = sum(submission.weight for submission in submissions)
        if not self._room.enter(sender, weight):
            raise UnavailableError("telemetry", NO_ROOM)
        waiting = PendingSubmissions(submissions, sender, weight, asyncio.get_running_loop().create_future())
        self._waiting.add(waiting)
        self._queues[replaces].put(sender, weight, waiting)
        self._points_waiting += weight
        if not self._writing or self._is_another_worth_it():
            self._writing.add(asyncio.create_task(self._write_all()))
        try:
            async with asyncio.timeout(LONGEST_WAIT_SECONDS):
                # A client that goes away takes neither its own points along nor those of the others.
                return await waiting.receipts
        except TimeoutError as error:
            raise UnavailableError("telemetry", UNSURE) from error

    def take_no_more(self) -> None:
        """Refuse whatever comes from now on, and tell all who wait to send again; what was taken is still written."""
        self._is_closed = True
        for waiting in self._waiting:
            waiting.fail(UnavailableError("telemetry", UNSURE))

    async def close(self, *, within: float) -> None:
        """Write what was taken, for so long at the most, and take no more."""
        if self._writing:
            await asyncio.wait(self._writing, timeout=within)
        self.take_no_more()
        for writing in (left := [*self._writing]):
            writing.cancel()
        if left:
            await asyncio.wait(left)

    def _is_another_worth_it(self) -> bool:
        return len(self._writing) < TRANSACTIONS and self._points_waiting >= POINTS_FOR_ANOTHER

    async def _write_all(self) -> None:
        try:
            while any(self._queues.values()):
                # The two take turns.
                replaces = not self._replaced_last if self._queues[not self._replaced_last] else self._replaced_last
                self._replaced_last = replaces
                await self._commit(self._next_group(self._queues[replaces]), replaces=replaces)
        finally:
            # At once: whoever comes next must not take it for one that still writes.
            self._writing -= {asyncio.current_task()}

    def _next_group(self, queue: FairQueue[PendingSubmissions]) -> list[PendingSubmissions]:
        group: list[PendingSubmissions] = []
        room = MOST_POINTS_AT_ONCE
        # The first goes in whatever its weight.
        while (found := queue.pop(room if group else None)) is not None:
            weight, waiting = found
            group.append(waiting)
            room -= weight
            self._points_waiting -= weight
        return group

    async def _commit(self, group: Sequence[PendingSubmissions], *, replaces: bool) -> None:
        submissions = [submission for waiting in group for submission in waiting.submissions]
        storing = asyncio.create_task(self._store(submissions, replaces=replaces))
        try:
            await asyncio.wait({storing})
        finally:
            storing.cancel()
            # Whoever has cancelled this finds the store let go of when it is over.
            await asyncio.wait({storing})
            for waiting in group:
                # Not when the client goes away: its points are held until now.
                self._room.leave(waiting.sender, waiting.weight)
                self._waiting.discard(waiting)
        error = storing.exception()
        receipts = iter(() if error else storing.result())
        for waiting in group:
            if error is None:
                waiting.settle(list(islice(receipts, len(waiting.submissions))))
            else:
                waiting.fail(error)

    async def _store(self, submissions: Sequence[Submission], *, replaces: bool) -> list[Receipt]:
        readings = Joined([submission.readings for submission in submissions])
        async with self._unit_of_work() as uow:
            unsettled = await uow.points.append(readings, replace=replaces, terms=_terms_of(submissions))
            receipts = _part(submissions, unsettled)
            await uow.ledger.add(
                [
                    Arrival(each.device_id, each.arrived_at, receipt.counts)
                    for each, receipt in zip(submissions, receipts, strict=True)
                ]
            )
            await uow.commit()
        return receipts


def _terms_of(submissions: Sequence[Submission]) -> IntakeTerms:
    latest = max(submissions, key=_arrival)
    types = {each.device_id: each.device_type for each in submissions if each.device_type is not None}
    return IntakeTerms(latest.arrived_at, latest.kept_since, types)


def _arrival(submission: Submission) -> datetime:
    return submission.arrived_at


def _part(submissions: Sequence[Submission], unsettled: Mapping[int, Counts]) -> list[Receipt]:
    """Give to each submission what is its own of what became of all."""
    if not unsettled:
        return [Receipt(Counts(each.size, rejected=each.rejected), {}) for each in submissions]
    receipts = []
    begin = 0
    for submission in submissions:
        own = range(begin, begin + len(submission.readings))
        begin = own.stop
        mine = {place - own.start: unsettled[place] for place in own if place in unsettled}
        whole = submission.size - sum(counts.received for counts in mine.values())
        receipts.append(Receipt(sum(mine.values(), Counts(stored=whole, rejected=submission.rejected)), mine))
    return receipts
