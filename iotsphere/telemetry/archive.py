"""Readings that are to be dropped are written to the archive first, and are brought back from there."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from iotsphere.kernel.clock import Clock
from iotsphere.kernel.findings import Finding
from iotsphere.telemetry.archived import ArchivedDay, days_between, start_of
from iotsphere.telemetry.errors import ArchiveBusyError, ArchiveDamagedError
from iotsphere.telemetry.model import EARLIEST
from iotsphere.telemetry.ports import (
    ArchiveFiles,
    ChunkRepository,
    KeepingUnitOfWorkFactory,
    TelemetryUnitOfWorkFactory,
)
from iotsphere.telemetry.retention import ReadingChunk

# Readings that were brought back are dropped again after so long.
RESTORED_FOR = timedelta(days=30)
ARCHIVE = "archive"


class ArchivingService:
    """What the worker does, having claimed the chunks."""

    def __init__(self, *, unit_of_work: TelemetryUnitOfWorkFactory, files: ArchiveFiles, clock: Clock) -> None:
        self._unit_of_work = unit_of_work
        self._files = files
        self._clock = clock

    async def is_restored(self, *, chunk: ReadingChunk) -> bool:
        """Tell whether somebody wants readings of the chunk back in the store."""
        now = self._clock()
        return any(archived.is_restored(now) for archived in await self._list(chunk.start, chunk.end))

    async def archive_chunk(self, *, chunks: ChunkRepository, chunk: ReadingChunk) -> None:
        """Write what is in the chunk, day by day. A day is in the catalogue when its file is whole and on the disk.

        :raises UnavailableError: the files cannot be written; the days before are archived.
        """
        known = {archived.day for archived in await self._list(chunk.start, chunk.end)}
        for day in days_between(chunk.start, chunk.end):
            if day in known:
                continue
            file = await self._files.write(day, chunks.read(start_of(day), start_of(day) + timedelta(days=1)))
            if file is not None:
                async with self._unit_of_work() as uow:
                    await uow.archive.add(ArchivedDay(day, file, archived_at=self._clock()))
                    await uow.commit()

    async def forget_days(self, *, before: datetime) -> None:
        """Remove the days that have ended by then: first the file, so that none is left that nobody knows of."""
        for archived in await self._list(EARLIEST, before):
            if archived.end <= before:
                await self._files.remove(archived.day)
                async with self._unit_of_work() as uow:
                    await uow.archive.remove(archived.day)
                    await uow.commit()

    async def _list(self, start: datetime, end: datetime) -> list[ArchivedDay]:
        async with self._unit_of_work() as uow:
            return await uow.archive.list(start=start, end=end)


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

    async def list_days(self, *, start: datetime, end: datetime) -> list[ArchivedDay]:
        """Give the archived days of which some part lies in the range, the oldest first."""
        async with self._unit_of_work() as uow:
            return await uow.archive.list(start=start, end=end)

    async def restore_days(
        self, *, start: datetime, end: datetime, tell: Callable[[ArchivedDay, int], None]
    ) -> list[ArchivedDay]:
        """Bring the days of the range back into the store, where they stay for RESTORED_FOR. What is there stays.

        :param tell: hears of each part that was stored, and how many readings are in it.
        :raises ArchiveBusyError: a worker drops or archives just now.
        :raises ArchiveDamagedError: a file is not there, or is not what was written; the days before it are restored.
        :raises UnavailableError: the store or the archive does not answer. To be asked again does no harm.
        """
        async with self._keeping() as keeping:
            if not await keeping.chunks.claim():
                raise ArchiveBusyError
            return [await self._restore(archived, tell) for archived in await self.list_days(start=start, end=end)]

    async def _restore(self, archived: ArchivedDay, tell: Callable[[ArchivedDay, int], None]) -> ArchivedDay:
        if not await self._files.is_intact(archived.day, archived.file):
            raise ArchiveDamagedError(archived.day)
        restored = replace(archived, restored_until=self._clock() + RESTORED_FOR)
        async with self._unit_of_work() as uow:
            # First of all: nobody drops again what is only half there.
            await uow.archive.save(restored)
            await uow.commit()
        async for readings in self._files.read(archived.day):
            async with self._unit_of_work() as uow:
                await uow.points.append(readings, replace=False)
                # Of a device that has been silent since, this may be the latest.
                await uow.epochs.add()
                await uow.commit()
            tell(archived, len(readings))
        return restored

    async def examine(self) -> list[Finding]:
        """Hold each file of the catalogue against what was written.

        :raises UnavailableError: the store or the archive does not answer.
        """
        days = await self.list_days(start=EARLIEST, end=self._clock())
        damaged = [archived.day for archived in days if not await self._files.is_intact(archived.day, archived.file)]
        if not damaged:
            return [Finding(ARCHIVE, "files", is_well=True, detail=f"{len(days):,} days, all as written")]
        named = ", ".join(day.isoformat() for day in damaged[:10])
        detail = f"{len(damaged):,} of {len(days):,} files are missing or altered: {named}. Bring them from a backup."
        return [Finding(ARCHIVE, "files", is_well=False, detail=detail)]
