"""Readings come and go by stretches of time: room is made before they come, and what is too old is dropped."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from iotsphere.kernel.clock import Clock
from iotsphere.kernel.errors import PreconditionFailedError, RuleViolationError
from iotsphere.telemetry.archive import ArchivingService
from iotsphere.telemetry.errors import RetentionClassNotFoundError
from iotsphere.telemetry.model import FUTURE_TOLERANCE
from iotsphere.telemetry.ports import KeepingUnitOfWork, KeepingUnitOfWorkFactory, TelemetryUnitOfWorkFactory
from iotsphere.telemetry.retention import CLASS_NAME, DEFAULT_CLASS, ReadingChunk, RetentionClass

REMEMBERED_SECONDS = 30.0
# Room is made for so long ahead: a worker may be away for days before a writer has to make it.
ROOM_AHEAD = timedelta(days=31)


class RetentionService:
    def __init__(self, *, unit_of_work: TelemetryUnitOfWorkFactory, clock: Clock) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock

    async def get_class(self, *, name: str) -> RetentionClass:
        """:raises RetentionClassNotFoundError: there is none of that name."""
        _check_name(name)
        async with self._unit_of_work() as uow:
            return await uow.retention.get(name)

    async def redefine_class(
        self,
        *,
        name: str,
        raw_days: int | None,
        archive_days: int | None = None,
        expected_version: int | None = None,
    ) -> RetentionClass:
        """Say for how long the class is kept from now on. Nothing is dropped before all processes know.

        :raises RuleViolationError: the archive would be kept no longer than the readings themselves.
        :raises RetentionClassNotFoundError: there is none of that name.
        :raises PreconditionFailedError: it has another version than the expected one.
        """
        _check_name(name)
        if archive_days is not None and (raw_days is None or archive_days <= raw_days):
            message = "Must be more than raw_days: that is when readings go to the archive."
            raise RuleViolationError(message, {"archive_days": [message]})
        async with self._unit_of_work() as uow:
            present = await uow.retention.get(name, for_update=True)
            if expected_version not in {None, present.version}:
                raise PreconditionFailedError(f"The retention class is at version {present.version}.")
            redefined = replace(
                present,
                raw_days=raw_days,
                archive_days=archive_days,
                changed_at=self._clock(),
                version=present.version + 1,
            )
            await uow.retention.save(redefined)
            await uow.commit()
        return redefined


def _check_name(name: str) -> None:
    """Look at it before a store does, which may not be able to."""
    if CLASS_NAME.fullmatch(name) is None:
        raise RetentionClassNotFoundError


class RetentionMemory:
    """Remembers for a moment what is said, for whoever takes readings in asks every time."""

    def __init__(
        self, *, unit_of_work: TelemetryUnitOfWorkFactory, clock: Clock, monotonic: Callable[[], float]
    ) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._monotonic = monotonic
        self._known: RetentionClass | None = None
        self._known_until = 0.0

    async def kept_since(self) -> datetime:
        """Give the time before which no reading is taken.

        :raises UnavailableError: the store, which should then have taken the readings, does not answer.
        """
        return (await self._recall()).kept_since(self._clock())

    async def dropped_before(self) -> datetime:
        """Give the time before which there are no readings but restored ones; a moment ago it was so.

        :raises UnavailableError: the store does not answer.
        """
        return (await self._recall()).dropped_before

    async def _recall(self) -> RetentionClass:
        if self._known is None or self._monotonic() >= self._known_until:
            began = self._monotonic()
            async with self._unit_of_work() as uow:
                self._known = await uow.retention.get(DEFAULT_CLASS)
            self._known_until = began + REMEMBERED_SECONDS
        return self._known


class KeepingService:
    """What a worker does about the readings' room, now and then; of several workers one at a time."""

    def __init__(
        self,
        *,
        unit_of_work: TelemetryUnitOfWorkFactory,
        keeping: KeepingUnitOfWorkFactory,
        archiving: ArchivingService,
        clock: Clock,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._keeping = keeping
        self._archiving = archiving
        self._clock = clock

    async def keep_readings(self) -> None:
        """Make room ahead, and archive and drop what is old. What was begun and broken off is brought to its end.

        :raises UnavailableError: the store or the archive does not answer, or somebody still reads what is to be
            dropped.
        """
        now = self._clock()
        async with self._keeping() as keeping:
            if not await keeping.chunks.claim():
                return
            async with self._unit_of_work() as uow:
                await uow.points.prepare([now, now + FUTURE_TOLERANCE, now + ROOM_AHEAD])
                kept = await uow.retention.get(DEFAULT_CLASS)
                await uow.commit()
            await self._archiving.apply_removals(keeping=keeping)
            for chunk in await keeping.chunks.list(before=kept.droppable_before(now)):
                await self._drop(keeping, chunk)
            await self._archiving.forget_days(keeping=keeping, before=kept.archive_kept_since(now))

    async def _drop(self, keeping: KeepingUnitOfWork, chunk: ReadingChunk) -> None:
        # Figures outlive the readings that they are worked out from.
        if not await keeping.chunks.is_settled(chunk):
            return
        if await self._archiving.is_restored(keeping=keeping, chunk=chunk):
            return
        kept = await self._note_dropping(chunk)
        if kept is None:
            return
        if kept.archive_days is not None:
            await self._archiving.archive_chunk(keeping=keeping, chunk=chunk)
            # That took its time, in which points may have been removed.
            if not await keeping.chunks.is_settled(chunk):
                return
        await keeping.chunks.remove(chunk)
        async with self._unit_of_work() as uow:
            # What is kept elsewhere of latest values may be of readings that are no more.
            await uow.epochs.add()
            await uow.commit()

    async def _note_dropping(self, chunk: ReadingChunk) -> RetentionClass | None:
        """Say first what is dropped: from then on nothing of it is taken, whatever is said of its age later.

        So what is read for the archive from then on is all that there will be, and what is removed from then on is
        noted for the archive. None where it is to be kept for longer since.
        """
        async with self._unit_of_work() as uow:
            present = await uow.retention.get(DEFAULT_CLASS, for_update=True)
            if present.droppable_before(self._clock()) < chunk.end:
                return None
            if present.dropped_before < chunk.end:
                present = replace(present, dropped_before=chunk.end)
                await uow.retention.save(present)
                await uow.commit()
        return present
