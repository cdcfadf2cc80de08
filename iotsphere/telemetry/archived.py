"""What the archive holds: a file for each day (UTC) of readings that were dropped."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

DAY = timedelta(days=1)


class ArchiveFile(NamedTuple):
    """``readings`` is how many are in it, ``size`` its bytes, ``sha256`` their digest in hexadecimal digits."""

    readings: int
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ArchivedDay:
    """A day in the catalogue. Until ``restored_until`` its readings are in the store as well."""

    day: date
    file: ArchiveFile
    archived_at: datetime
    restored_until: datetime | None = None

    @property
    def start(self) -> datetime:
        return start_of(self.day)

    @property
    def end(self) -> datetime:
        return self.start + DAY

    def is_restored(self, now: datetime) -> bool:
        return self.restored_until is not None and now < self.restored_until


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
    """Put days that follow one another together; they come in the order of time."""
    stretches: list[ArchivedStretch] = []
    for day in days:
        if stretches and stretches[-1].end == day.start:
            stretches[-1] = ArchivedStretch(stretches[-1].start, day.end)
        else:
            stretches.append(ArchivedStretch(day.start, day.end))
    return stretches
