"""Readings that are to be dropped are written to the archive first, and are brought back from there.

What was removed from the store is taken out of the archive, too, and never brought back meanwhile (ADR 0032).
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from iotsphere.kernel.clock import Clock
from iotsphere.kernel.findings import Finding
from iotsphere.telemetry.archived import (
    ArchivedDay,
    FoundFile,
    NotedRemoval,
    days_between,
    start_of,
    without_removed,
)
from iotsphere.telemetry.errors import ArchiveBusyError, ArchiveDamagedError
from iotsphere.telemetry.model import EARLIEST, Reading
from iotsphere.telemetry.ports import (
    ArchiveFiles,
    KeepingUnitOfWork,
    KeepingUnitOfWorkFactory,
    TelemetryUnitOfWorkFactory,
)
from iotsphere.telemetry.retention import ReadingChunk

# Readings that were brought back are dropped again after so long.
RESTORED_FOR = timedelta(days=30)
# Removals that are taken out of the files in one go: each file is written once for all of them.
REMOVALS_AT_ONCE = 1_000
# A worker looks every ten minutes; a large archive takes it some hours.
LONGEST_WAIT = timedelta(days=1)
# Of somebody who goes on removing points of the very readings that are being restored.
ATTEMPTS = 10
ARCHIVE = "archive"


class ArchivingService:
    """What the worker does, having claimed the chunks. Whatever it is killed in, the next one brings to its end.

    The catalogue is changed on the connection of the claim, so that nobody changes it whose claim is lost.
    """

    def __init__(self, *, files: ArchiveFiles, clock: Clock) -> None:
        self._files = files
        self._clock = clock

    async def is_restored(self, *, keeping: KeepingUnitOfWork, chunk: ReadingChunk) -> bool:
        """Tell whether somebody wants readings of the chunk back in the store."""
        return await is_restored(keeping, chunk, self._clock())

    async def archive_chunk(self, *, keeping: KeepingUnitOfWork, chunk: ReadingChunk) -> None:
        """Write what is in the chunk, day by day. A day is in the catalogue when its file is whole and on the disk.

        :raises UnavailableError: the files cannot be written; the days before are archived.
        """
        known = {archived.day for archived in await _list_archived(keeping, chunk)}
        for day in days_between(chunk.start, chunk.end):
            if day in known:
                continue
            begin = start_of(day)
            readings = keeping.chunks.read(begin, begin + timedelta(days=1), number=chunk.number)
            file = await self._files.write(day, readings)
            if file is not None:
                archived = ArchivedDay(day, file, archived_at=self._clock(), number=chunk.number)
                await keeping.archive.add(archived, device_ids=await self._files.find_devices(day, file))

    async def forget_days(self, *, keeping: KeepingUnitOfWork, before: datetime, number: int) -> None:
        """Remove the days of a class that have ended by then."""
        for archived in await keeping.archive.list(start=EARLIEST, end=before):
            if archived.number == number and archived.end <= before:
                await self._forget(keeping, archived)

    async def _forget(self, keeping: KeepingUnitOfWork, archived: ArchivedDay) -> None:
        # First the file, so that none is left that nobody knows of.
        await self._files.remove(archived.found)
        await keeping.archive.remove(archived.day, archived.number)

    async def apply_removals(self, *, keeping: KeepingUnitOfWork) -> None:
        """Take out of the files what was removed, and forget that it was.

        What lies in a damaged file is remembered: a copy may be brought back from a backup.

        :raises UnavailableError: the files cannot be read or written; to be asked again brings the rest.
        """
        await self._remove_superseded(keeping)
        last = 0
        while removals := await keeping.removals.list(after=last, limit=REMOVALS_AT_ONCE):
            last = removals[-1].id
            start, end = min(each.start for each in removals), max(each.end for each in removals)
            waiting: set[int] = set()
            for archived in await keeping.archive.list(start=start, end=end):
                concerned = [each for each in removals if each.concerns(archived)]
                if concerned and not await self._clear(keeping, archived, concerned):
                    waiting |= {each.id for each in concerned}
            await self._remove_superseded(keeping)
            await keeping.removals.remove([each.id for each in removals if each.id not in waiting])

    async def _clear(
        self, keeping: KeepingUnitOfWork, archived: ArchivedDay, removals: Collection[NotedRemoval]
    ) -> bool:
        """Put a file without what was removed in the place of a day's; tell whether it could be read."""
        try:
            file = await self._files.write_without(archived.day, archived.file, removals)
        except ArchiveDamagedError:
            return False
        if file is not None:
            left = await self._files.find_devices(archived.day, file)
            await keeping.archive.save(replace(archived, file=file), device_ids=left)
        return True

    async def _remove_superseded(self, keeping: KeepingUnitOfWork) -> None:
        """Remove, of each day in the catalogue, all files but those which the catalogue names.

        The catalogue is asked afterwards, under the claim: whoever had it before made what was found, and whoever has
        it next makes what was not.
        """
        there = await self._files.list()
        if not there:
            return
        named: dict[date, set[FoundFile]] = defaultdict(set)
        for archived in await keeping.archive.list(start=EARLIEST, end=self._clock()):
            named[archived.day].add(archived.found)
        for found in there:
            if found.day in named and found not in named[found.day]:
                await self._files.remove(found)


async def is_restored(keeping: KeepingUnitOfWork, chunk: ReadingChunk, now: datetime) -> bool:
    """Tell whether somebody wants readings of the chunk back in the store at that time."""
    return any(archived.is_restored(now) for archived in await _list_archived(keeping, chunk))


async def _list_archived(keeping: KeepingUnitOfWork, chunk: ReadingChunk) -> list[ArchivedDay]:
    days = await keeping.archive.list(start=chunk.start, end=chunk.end)
    return [archived for archived in days if archived.number == chunk.number]


class ArchiveService:
    """What people ask of the archive."""

    def __init__(
        self,
        *,
        unit_of_work: TelemetryUnitOfWorkFactory,
        keeping: KeepingUnitOfWorkFactory,
        files: ArchiveFiles,
        clock: Clock,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._keeping = keeping
        self._files = files
        self._clock = clock

    async def name_classes(self) -> dict[int, str]:
        """Give the names of the classes by their numbers."""
        async with self._unit_of_work() as uow:
            return {kept.number: kept.name for kept in await uow.retention.list()}

    async def list_days(self, *, start: datetime, end: datetime) -> list[ArchivedDay]:
        """Give the archived days of which some part lies in the range, the oldest first."""
        async with self._unit_of_work() as uow:
            return await uow.archive.list(start=start, end=end)

    async def restore_days(
        self, *, start: datetime, end: datetime, tell: Callable[[ArchivedDay, int], None]
    ) -> list[ArchivedDay]:
        """Bring the days of the range back into the store, where they stay for RESTORED_FOR. What is there stays.

        What was removed stays removed, also what is removed meanwhile.

        :param tell: hears of each part that was stored, and how many readings are in it.
        :raises ArchiveBusyError: a worker drops or archives just now.
        :raises ArchiveDamagedError: a file is not there, or is not what was written; the days before it are restored.
        :raises UnavailableError: the store or the archive does not answer. To be asked again does no harm.
        """
        async with self._keeping() as keeping:
            if not await keeping.chunks.claim():
                raise ArchiveBusyError
            days = await self.list_days(start=start, end=end)
            return [await self._restore(keeping, archived, tell) for archived in days]

    async def _restore(
        self, keeping: KeepingUnitOfWork, archived: ArchivedDay, tell: Callable[[ArchivedDay, int], None]
    ) -> ArchivedDay:
        if not await self._files.is_intact(archived.day, archived.file):
            raise ArchiveDamagedError(archived.day)
        restored = replace(archived, restored_until=self._clock() + RESTORED_FOR)
        # First of all: nobody drops again what is only half there.
        await keeping.archive.save(restored)
        async for readings in self._files.read(archived.day, archived.file):
            await self._store(restored, readings)
            tell(archived, len(readings))
        return restored

    async def _store(self, archived: ArchivedDay, readings: Sequence[Reading]) -> None:
        for _ in range(ATTEMPTS):
            if await self._has_stored(archived, readings):
                return
        raise ArchiveBusyError

    async def _has_stored(self, archived: ArchivedDay, readings: Sequence[Reading]) -> bool:
        """Store what was not removed; or nothing, where some of it was removed meanwhile."""
        device_ids = {reading.device_id for reading in readings}
        async with self._unit_of_work() as uow:
            removals = await uow.removals.list_concerning(device_ids, archived)
            await uow.points.append(without_removed(readings, removals), replace=False)
            # From here on nobody removes anything of these devices before the commit.
            if await uow.removals.list_concerning(device_ids, archived) != removals:
                return False
            # In this order: removals are forgotten when the file is another.
            if await uow.archive.find(archived.day, archived.number) != archived:
                raise ArchiveBusyError
            # Of a device that has been silent since, this may be the latest.
            await uow.epochs.add()
            await uow.commit()
        return True

    async def examine(self) -> list[Finding]:
        """Hold each file of the catalogue against what was written, and see whether removals reach the archive.

        :raises UnavailableError: the store or the archive does not answer.
        """
        days = await self.list_days(start=EARLIEST, end=self._clock())
        damaged = [archived.day for archived in days if not await self._files.is_intact(archived.day, archived.file)]
        return [_files_finding(len(days), damaged), await self._removals_finding()]

    async def _removals_finding(self) -> Finding:
        async with self._unit_of_work() as uow:
            oldest_at = await uow.removals.find_oldest()
        if oldest_at is None or self._clock() - oldest_at < LONGEST_WAIT:
            return Finding(ARCHIVE, "removals", is_well=True, detail="what was removed is taken out of the files")
        detail = (
            f"What was removed at {oldest_at:%Y-%m-%d %H:%M} UTC, or later, may still be in the files. "
            "Is a worker running, and are the files whole?"
        )
        return Finding(ARCHIVE, "removals", is_well=False, detail=detail)


def _files_finding(count: int, damaged: Sequence[date]) -> Finding:
    if not damaged:
        return Finding(ARCHIVE, "files", is_well=True, detail=f"{count:,} files, all as written")
    named = ", ".join(day.isoformat() for day in damaged[:10])
    detail = f"{len(damaged):,} of {count:,} files are missing or altered: {named}. Bring them from a backup."
    return Finding(ARCHIVE, "files", is_well=False, detail=detail)
