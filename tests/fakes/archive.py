"""The archive in memory: its catalogue, its files, and what they have yet to hear of."""

import builtins
import hashlib
from collections.abc import AsyncIterator, Collection
from datetime import date, datetime
from typing import Protocol

from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.archived import ArchivedDay, ArchiveFile, FoundFile, NotedRemoval, without_removed
from iotsphere.telemetry.errors import ArchiveDamagedError
from iotsphere.telemetry.model import Reading, Selection
from iotsphere.telemetry.retention import RetentionClass


class ArchiveData(Protocol):
    classes: dict[str, RetentionClass]
    archived: dict[tuple[date, int], ArchivedDay]
    archived_devices: dict[tuple[date, int], frozenset[DeviceId]]
    removals: dict[int, NotedRemoval]


class InMemoryArchiveCatalogue:
    def __init__(self, data: ArchiveData) -> None:
        self._data = data

    async def list(
        self, *, start: datetime, end: datetime, device_ids: Collection[DeviceId] | None = None
    ) -> builtins.list[ArchivedDay]:
        held = self._data.archived_devices
        keys = [key for key in self._data.archived if device_ids is None or not held[key].isdisjoint(device_ids)]
        days = (self._data.archived[key] for key in sorted(keys))
        return [archived for archived in days if archived.end > start and archived.start < end]

    async def find(self, day: date, number: int) -> ArchivedDay | None:
        return self._data.archived.get((day, number))

    async def add(self, archived: ArchivedDay, *, device_ids: Collection[DeviceId]) -> None:
        self._data.archived.setdefault((archived.day, archived.number), archived)
        self._data.archived_devices.setdefault((archived.day, archived.number), frozenset(device_ids))

    async def save(self, archived: ArchivedDay, *, device_ids: Collection[DeviceId] | None = None) -> None:
        key = archived.day, archived.number
        if key in self._data.archived:
            self._data.archived[key] = archived
            if device_ids is not None:
                self._data.archived_devices[key] &= frozenset(device_ids)

    async def remove(self, day: date, number: int) -> None:
        self._data.archived.pop((day, number), None)
        self._data.archived_devices.pop((day, number), None)


class InMemoryRemovalRepository:
    def __init__(self, data: ArchiveData) -> None:
        self._data = data

    async def add(self, selection: Selection, *, removed_at: datetime) -> None:
        metrics = None if selection.metrics is None else frozenset(selection.metrics)
        for kept in sorted(self._data.classes.values(), key=lambda each: each.number):
            if kept.dropped_before > selection.start:
                note = max(self._data.removals, default=0) + 1
                end = min(selection.end, kept.dropped_before)
                self._data.removals[note] = NotedRemoval(
                    note, selection.device_id, metrics, selection.start, end, removed_at, kept.number
                )

    async def list(self, *, after: int, limit: int) -> builtins.list[NotedRemoval]:
        return [self._data.removals[number] for number in sorted(self._data.removals) if number > after][:limit]

    async def list_concerning(
        self, device_ids: Collection[DeviceId], archived: ArchivedDay
    ) -> builtins.list[NotedRemoval]:
        every = await self.list(after=0, limit=len(self._data.removals))
        return [each for each in every if each.device_id in device_ids and each.concerns(archived)]

    async def remove(self, ids: Collection[int]) -> None:
        for number in ids:
            self._data.removals.pop(number, None)

    async def find_oldest(self) -> datetime | None:
        return min((each.removed_at for each in self._data.removals.values()), default=None)


class InMemoryArchiveFiles:
    """``is_full`` is a disk with no room left."""

    def __init__(self) -> None:
        self.files: dict[FoundFile, list[Reading]] = {}
        self.is_full = False

    @property
    def days(self) -> list[date]:
        return sorted(found.day for found in self.files)

    async def write(self, day: date, readings: AsyncIterator[builtins.list[Reading]]) -> ArchiveFile | None:
        if self.is_full:
            raise UnavailableError("archive", "The disk is full.")
        written = [reading async for part in readings for reading in part]
        return self._write(day, written) if written else None

    async def write_without(
        self, day: date, file: ArchiveFile, removals: Collection[NotedRemoval]
    ) -> ArchiveFile | None:
        if not await self.is_intact(day, file):
            raise ArchiveDamagedError(day)
        if self.is_full:
            raise UnavailableError("archive", "The disk is full.")
        written = self.files[FoundFile(day, file.name)]
        left = without_removed(written, removals)
        return None if left == written else self._write(day, left)

    def _write(self, day: date, readings: builtins.list[Reading]) -> ArchiveFile:
        file = _file_of(readings)
        self.files[FoundFile(day, file.name)] = readings
        return file

    async def read(self, day: date, file: ArchiveFile) -> AsyncIterator[builtins.list[Reading]]:
        for reading in self.files[FoundFile(day, file.name)]:
            yield [reading]

    async def find_devices(self, day: date, file: ArchiveFile) -> set[DeviceId]:
        return {reading.device_id for reading in self.files[FoundFile(day, file.name)]}

    async def is_intact(self, day: date, file: ArchiveFile) -> bool:
        found = FoundFile(day, file.name)
        return found in self.files and _file_of(self.files[found]) == file

    async def list(self) -> builtins.list[FoundFile]:
        return builtins.list(self.files)

    async def remove(self, found: FoundFile) -> None:
        self.files.pop(found, None)


def _file_of(readings: list[Reading]) -> ArchiveFile:
    content = repr(readings).encode()
    return ArchiveFile(len(readings), len(content), hashlib.sha256(content).hexdigest())
