"""How long readings are kept: what is said of it, and what that means at a given time."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import NamedTuple

from iotsphere.telemetry.blocks import earliest_of
from iotsphere.telemetry.decoding import TOO_MANY_METRICS, Batch, Refusal
from iotsphere.telemetry.model import EARLIEST, Counts, Rejection
from iotsphere.telemetry.retention_rules import DEFAULT_NUMBER

DEFAULT_CLASS = "default"
CLASS_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
# What every process has heard of by then, and keeps to.
SETTLING = timedelta(minutes=10)
# Between what is taken and what is dropped: no transaction is under way for so long, no clock so far ahead.
GRACE = timedelta(days=1)

EXPIRED = Refusal("telemetry.point.expired", "Readings of that time are kept no longer, and are not taken.")


class Holding(Enum):
    """What is kept, each for a time of its own: readings, and figures of minutes, hours and days."""

    READINGS = "readings"
    MINUTES = "minutes"
    HOURS = "hours"
    DAYS = "days"


class RollupDays(NamedTuple):
    """For how many days figures of minutes, hours and days are kept at the least; None for ever."""

    minute: int | None = None
    hour: int | None = None
    day: int | None = None


class Scope(NamedTuple):
    """What a class is for: metrics like ``metrics`` of devices of ``device_type``, where None stands for any.

    Of several classes for a metric that of the highest priority has it, and of these the first by name.
    """

    device_type: str | None = None
    metrics: str | None = None
    priority: int = 0


EVERYTHING = Scope()
FOR_EVER = RollupDays()


@dataclass(frozen=True, slots=True)
class RetentionClass:
    """Readings that are kept for ``raw_days`` at the least, None for ever; they are dropped many days at once.

    Before that they are archived, where the archive is to be kept: for ``archive_days`` from the day they are of.
    ``dropped_before`` is how far they were dropped already: what is said later brings nothing of that back.
    ``rules`` is the revision of all scopes that last changed the scope of this one. A deleted class has none, but
    what is of it already stays, and goes by its ages.
    """

    name: str
    changed_at: datetime
    raw_days: int | None = None
    archive_days: int | None = None
    dropped_before: datetime = EARLIEST
    version: int = 1
    number: int = DEFAULT_NUMBER
    rollup_days: RollupDays = FOR_EVER
    scope: Scope = EVERYTHING
    rules: int = 0
    deleted_at: datetime | None = None

    @property
    def is_default(self) -> bool:
        return self.number == DEFAULT_NUMBER

    def days_of(self, holds: Holding) -> int | None:
        """Give for how many days that is kept."""
        minute, hour, day = self.rollup_days
        return {
            Holding.READINGS: self.raw_days,
            Holding.MINUTES: minute,
            Holding.HOURS: hour,
            Holding.DAYS: day,
        }[holds]

    def kept_since(self, now: datetime) -> datetime:
        """Give the time before which no reading is taken any more."""
        age = now - EARLIEST if self.raw_days is None else timedelta(days=self.raw_days)
        return max(self.dropped_before, now - age)

    def droppable_before(self, now: datetime, holds: Holding = Holding.READINGS) -> datetime:
        """Give the time before which readings, or figures of them, may be dropped."""
        days = self.days_of(holds)
        if days is None or now < self.changed_at + SETTLING:
            return EARLIEST
        return now - timedelta(days=days) - GRACE

    def archive_kept_since(self, now: datetime) -> datetime:
        """Give the time before which days are kept in the archive no longer."""
        if self.archive_days is None or now < self.changed_at + SETTLING:
            return EARLIEST
        return now - timedelta(days=self.archive_days)


class ReadingChunk(NamedTuple):
    """A stretch of time in which what is held of a class, by its number, lies together, and is dropped together."""

    start: datetime
    end: datetime
    number: int = DEFAULT_NUMBER
    holds: Holding = Holding.READINGS


def without_expired(batch: Batch, kept_since: datetime) -> Batch:
    """Reject the readings that are older than what is kept."""
    if earliest_of(batch.readings, kept_since) >= kept_since:
        return batch
    taken = [
        (index, reading)
        for index, reading in zip(batch.indexes, batch.readings, strict=True)
        if reading.ts >= kept_since
    ]
    expired = [
        (index, reading)
        for index, reading in zip(batch.indexes, batch.readings, strict=True)
        if reading.ts < kept_since
    ]
    return Batch(
        readings=[reading for _, reading in taken],
        indexes=[index for index, _ in taken],
        rejections=[*batch.rejections, *(Rejection(index, *EXPIRED) for index, _ in expired)],
        rejected=batch.rejected + sum(len(reading.values) for _, reading in expired),
    )


def refusals_of(unsettled: Counts) -> list[Refusal]:
    """Give the reasons for which the store took not all values of a reading."""
    too_many = unsettled.rejected - unsettled.expired
    return [*([EXPIRED] if unsettled.expired else []), *([TOO_MANY_METRICS] if too_many else [])]
