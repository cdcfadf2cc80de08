"""Brings changes into the journal: all of them from the change stream, some at once besides."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import structlog
from prometheus_client import Counter

from iotsphere.kernel.errors import UnavailableError
from iotsphere.shadow.errors import ChangesRefusedError
from iotsphere.shadow.keeping import notes_of
from iotsphere.shadow.model import ShadowChange
from iotsphere.shadow.ports import ChangeStream, JournalUnitOfWorkFactory

log = structlog.get_logger()

TAKEN_AT_ONCE = 500
# One change may ask for thousands of values. Many such at once would be a transaction without an end.
NOTES_AT_ONCE = 5000
# Whoever waits for an answer has the change on the disk of the shadow store already, and in its stream.
APPEND_SECONDS = 0.5

JOURNALLED = Counter(
    "iotsphere_shadow_changes_journalled", "Changes of shadows that this process put into the journal"
)
REFUSED = Counter("iotsphere_shadow_changes_refused", "Changes that the journal refused, and that were put aside")


@dataclass(slots=True)
class _Batch:
    """Changes that go into the journal together."""

    changes: list[ShadowChange] = field(default_factory=list)
    is_appended: bool = False


class JournalService:
    def __init__(self, *, unit_of_work: JournalUnitOfWorkFactory, stream: ChangeStream) -> None:
        self._unit_of_work = unit_of_work
        self._stream = stream
        self._held: Sequence[ShadowChange] = ()
        self._turn = asyncio.Lock()
        self._next = _Batch()

    async def record_next(self, *, consumer: str, wait_seconds: float) -> int:
        """Bring the next changes from the stream into the journal, and give how many they were.

        With none there, wait for some. What was taken and could not be brought is held, and tried again first.

        :raises UnavailableError: the shadow store or the telemetry store does not answer.
        """
        if not self._held:
            self._held = await self._stream.read(consumer, limit=TAKEN_AT_ONCE, wait_seconds=wait_seconds)
        recorded = 0
        while self._held:
            batch = _first_batch(self._held)
            await self._append(batch)
            await self._stream.settle(batch)
            self._held = self._held[len(batch) :]
            JOURNALLED.inc(len(batch))
            recorded += len(batch)
        return recorded

    async def append_now(self, *, changes: Sequence[ShadowChange]) -> None:
        """Put changes into the journal besides the stream, which has them too; those of many callers go together.

        :raises UnavailableError: it was not done in time. The stream will bring them.
        """
        batch = self._next
        batch.changes += changes
        try:
            async with asyncio.timeout(APPEND_SECONDS), self._turn:
                # Whoever came while it was another's turn finds that the first of them has done it for all.
                if not batch.is_appended:
                    if batch is self._next:
                        self._next = _Batch()
                    await self.record(batch.changes)
                    batch.is_appended = True
        except TimeoutError as error:
            raise UnavailableError("telemetry", "The telemetry store was too slow for the journal.") from error

    async def record(self, changes: Sequence[ShadowChange]) -> None:
        """Append changes, and put aside those that can never be, so that they keep no others waiting.

        Where one fails for now, some before it may have been appended.

        :raises UnavailableError: the telemetry store does not answer.
        """
        while changes:
            batch = _first_batch(changes)
            await self._append(batch)
            changes = changes[len(batch) :]

    async def _append(self, changes: Sequence[ShadowChange]) -> None:
        try:
            async with self._unit_of_work() as uow:
                await uow.journal.append(changes)
                await uow.commit()
        except ChangesRefusedError as error:
            if len(changes) == 1:
                await self._put_aside(changes[0], str(error))
                return
            middle = len(changes) // 2
            await self._append(changes[:middle])
            await self._append(changes[middle:])

    async def _put_aside(self, change: ShadowChange, reason: str) -> None:
        log.error(
            "shadow.change.refused",
            device_id=str(change.key.device_id),
            name=change.key.name,
            version=change.version,
            reason=reason,
        )
        REFUSED.inc()
        async with self._unit_of_work() as uow:
            await uow.journal.put_aside(change, reason=reason)
            await uow.commit()


def _first_batch(changes: Sequence[ShadowChange]) -> Sequence[ShadowChange]:
    """Give as many as are good to be written at once, and one at the least."""
    weights = accumulate(sum(1 for _ in notes_of(change)) for change in changes)
    return changes[: next((count for count, weight in enumerate(weights, 1) if weight >= NOTES_AT_ONCE), None)]
