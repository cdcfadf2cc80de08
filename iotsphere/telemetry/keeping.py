"""Readings come and go by stretches of time: room is made before they come, and what is too old is dropped."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from iotsphere.kernel.clock import Clock
from iotsphere.kernel.errors import UnavailableError
from iotsphere.telemetry.archive import ArchivingService
from iotsphere.telemetry.model import FUTURE_TOLERANCE
from iotsphere.telemetry.ports import KeepingUnitOfWork, KeepingUnitOfWorkFactory, TelemetryUnitOfWorkFactory
from iotsphere.telemetry.retention import Holding, ReadingChunk, RetentionClass

REMEMBERED_SECONDS = 30.0
# Room is made for so long ahead: a worker may be away for days before a writer has to make it.
ROOM_AHEAD = timedelta(days=31)


class RetentionMemory:
    """Remembers for a moment what is said, for whoever takes readings in asks every time."""

    def __init__(
        self, *, unit_of_work: TelemetryUnitOfWorkFactory, clock: Clock, monotonic: Callable[[], float]
    ) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._monotonic = monotonic
        self._known: Sequence[RetentionClass] = ()
        self._known_until = 0.0
        self._asking: asyncio.Task[None] | None = None

    async def kept_since(self) -> Mapping[int, datetime]:
        """Give the time before which no reading of a class, by its number, is taken.

        :raises UnavailableError: the store, which should then have taken the readings, does not answer.
        """
        now = self._clock()
        return {known.number: known.kept_since(now) for known in await self._recall()}

    async def dropped_before(self) -> datetime:
        """Give the time before which there are no readings but restored ones; a moment ago it was so.

        :raises UnavailableError: the store does not answer.
        """
        return max(known.dropped_before for known in await self._recall())

    async def goes_by_types(self) -> bool:
        """Tell whether a class is for devices of one type alone.

        :raises UnavailableError: the store does not answer.
        """
        return any(known.scope.device_type for known in await self._recall() if known.deleted_at is None)

    async def _recall(self) -> Sequence[RetentionClass]:
        if not self._known or self._monotonic() >= self._known_until:
            # All who come meanwhile wait for one answer, and leave the connections to those who write.
            self._asking = self._asking or asyncio.create_task(self._ask())
            # Who goes away takes it not along.
            await asyncio.shield(self._asking)
        return self._known

    async def _ask(self) -> None:
        began = self._monotonic()
        try:
            async with self._unit_of_work() as uow:
                self._known = await uow.retention.list()
            self._known_until = began + REMEMBERED_SECONDS
        finally:
            self._asking = None


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

        What cannot be done for one class keeps no other waiting.

        :raises UnavailableError: the store or the archive does not answer, or somebody still reads what is to be
            dropped; all else is done.
        """
        async with self._unit_of_work() as uow:
            every = await uow.retention.list()
        failures = await self._try(self._make_room)
        without_archive = await self._try(self._clear_archive)
        failures += without_archive
        for kept in every:
            # A file that is not written anew yet must not be forgotten of.
            if kept.archive_days is None or not without_archive:
                failures += await self._try(partial(self._keep, name=kept.name))
        if failures:
            raise failures[0]

    async def _try(self, work: Callable[[KeepingUnitOfWork], Awaitable[None]]) -> list[UnavailableError]:
        """Do something if nobody else is at it, on a connection of its own: others need theirs to be whole."""
        try:
            async with self._keeping() as keeping:
                if await keeping.chunks.claim():
                    await work(keeping)
        except UnavailableError as error:
            return [error]
        return []

    async def _make_room(self, _: KeepingUnitOfWork) -> None:
        now = self._clock()
        async with self._unit_of_work() as uow:
            used = [kept.number for kept in await uow.retention.list() if kept.deleted_at is None]
            await uow.points.prepare([now, now + FUTURE_TOLERANCE, now + ROOM_AHEAD], classes=used)
            await uow.commit()

    async def _clear_archive(self, keeping: KeepingUnitOfWork) -> None:
        await self._archiving.apply_removals(keeping=keeping)

    async def _keep(self, keeping: KeepingUnitOfWork, *, name: str) -> None:
        """Ask again and again what is said of the class: to archive takes hours, in which it may be changed."""
        for holds in Holding:
            present = await self._recall(name)
            before = present.droppable_before(self._clock(), holds)
            for chunk in await keeping.chunks.list(before=before, number=present.number, holds=holds):
                if holds is Holding.READINGS:
                    await self._drop_readings(keeping, chunk, name)
                else:
                    await self._drop_figures(keeping, chunk, name)
        present = await self._recall(name)
        before = present.archive_kept_since(self._clock())
        await self._archiving.forget_days(keeping=keeping, before=before, number=present.number)

    async def _recall(self, name: str) -> RetentionClass:
        async with self._unit_of_work() as uow:
            return await uow.retention.get(name)

    async def _drop_figures(self, keeping: KeepingUnitOfWork, chunk: ReadingChunk, name: str) -> None:
        if await _has_readings(keeping, chunk):
            return
        if (await self._recall(name)).droppable_before(self._clock(), chunk.holds) >= chunk.end:
            await keeping.chunks.remove(chunk)

    async def _drop_readings(self, keeping: KeepingUnitOfWork, chunk: ReadingChunk, name: str) -> None:
        # Figures outlive the readings that they are worked out from.
        if not await keeping.chunks.is_settled(chunk):
            return
        if await self._archiving.is_restored(keeping=keeping, chunk=chunk):
            return
        kept = await self._note_dropping(name, chunk)
        if kept is None:
            return
        if kept.archive_days is not None:
            await self._archiving.archive_chunk(keeping=keeping, chunk=chunk)
        # All that took its time, in which points may have been removed.
        if not await keeping.chunks.is_settled(chunk):
            return
        await keeping.chunks.remove(chunk)
        async with self._unit_of_work() as uow:
            # What is kept elsewhere of latest values may be of readings that are no more.
            await uow.epochs.add()
            await uow.commit()

    async def _note_dropping(self, name: str, chunk: ReadingChunk) -> RetentionClass | None:
        """Say first what is dropped: from then on nothing of it is taken, whatever is said of its age later.

        So what is read for the archive from then on is all that there will be, and what is removed from then on is
        noted for the archive. None where it is to be kept for longer since.
        """
        async with self._unit_of_work() as uow:
            present = await uow.retention.get(name, for_update=True)
            if present.droppable_before(self._clock()) < chunk.end:
                return None
            if present.dropped_before < chunk.end:
                present = replace(present, dropped_before=chunk.end)
                await uow.retention.save(present)
                await uow.commit()
        return present


async def _has_readings(keeping: KeepingUnitOfWork, figures: ReadingChunk) -> bool:
    """Tell whether readings of that time are there still, or again: their figures answer for them."""
    before = await keeping.chunks.list(before=figures.end, number=figures.number)
    return any(chunk.end > figures.start for chunk in before)
