"""What the archive holds: a file for each day (UTC) and class of readings that were dropped."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.model import Reading
from iotsphere.telemetry.retention_rules import DEFAULT_NUMBER

DAY = timedelta(days=1)


class ArchiveFile(NamedTuple):
    """``readings`` is how many are in it, ``size`` its bytes, ``sha256`` their digest in hexadecimal digits."""

    readings: int
    size: int
    sha256: str

    @property
    def name(self) -> str:
        """The name says what is in it: another content never takes the place of this one."""
        return f"readings-{self.sha256[:16]}.parquet"


class FoundFile(NamedTuple):
    """A file that is there, whether or not the catalogue knows of it."""

    day: date
    name: str


@dataclass(frozen=True, slots=True)
class ArchivedDay:
    """A day of a class, by its number. Until ``restored_until`` its readings are in the store as well."""

    day: date
    file: ArchiveFile
    archived_at: datetime
    restored_until: datetime | None = None
    number: int = DEFAULT_NUMBER

    @property
    def start(self) -> datetime:
        return start_of(self.day)

    @property
    def end(self) -> datetime:
        return self.start + DAY

    @property
    def found(self) -> FoundFile:
        return FoundFile(self.day, self.file.name)

    def is_restored(self, now: datetime) -> bool:
        return self.restored_until is not None and now < self.restored_until


@dataclass(frozen=True, slots=True)
class NotedRemoval:
    """Points that were removed, of a time of which a class takes nothing any more, and may yet be in its archive.

    ``metrics`` is None where all of the device were.
    """

    id: int
    device_id: DeviceId
    metrics: frozenset[str] | None
    start: datetime
    end: datetime
    removed_at: datetime
    number: int = DEFAULT_NUMBER

    def concerns(self, archived: ArchivedDay) -> bool:
        return self.number == archived.number and self.start < archived.end and self.end > archived.start

    def left_of(self, reading: Reading) -> Reading:
        """Give what is left of a reading, which may be no value at all."""
        if reading.device_id != self.device_id or not self.start <= reading.ts < self.end:
            return reading
        removed = reading.values if self.metrics is None else self.metrics
        left = {metric: value for metric, value in reading.values.items() if metric not in removed}
        return replace(reading, values=left)


def without_removed(readings: Sequence[Reading], removals: Collection[NotedRemoval]) -> list[Reading]:
    """Leave out the values that were removed, and readings of which none is left."""
    left = list(readings)
    for removal in removals:
        left = [removal.left_of(reading) for reading in left]
    return [reading for reading in left if reading.values]


class ArchivedStretch(NamedTuple):
    start: datetime
    end: datetime


def start_of(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def days_between(start: datetime, end: datetime) -> Iterator[date]:
    """Give the days of which some part lies in the range."""
    day = start.date()
    while start_of(day) < end:
        yield day
        day += DAY


def stretches_of(days: Iterable[ArchivedDay]) -> list[ArchivedStretch]:
    """Put days that follow one another together, of whatever class; they come in the order of time."""
    stretches: list[ArchivedStretch] = []
    for day in days:
        if stretches and stretches[-1].end >= day.start:
            stretches[-1] = ArchivedStretch(stretches[-1].start, day.end)
        else:
            stretches.append(ArchivedStretch(day.start, day.end))
    return stretches
