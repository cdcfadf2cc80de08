"""How long readings are kept: what is said of it, and what that means at a given time."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from iotsphere.telemetry.blocks import earliest_of
from iotsphere.telemetry.decoding import Batch
from iotsphere.telemetry.model import EARLIEST, Rejection

DEFAULT_CLASS = "default"
CLASS_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
# What every process has heard of by then, and keeps to.
SETTLING = timedelta(minutes=10)
# Between what is taken and what is dropped: no transaction is under way for so long, no clock so far ahead.
GRACE = timedelta(days=1)

EXPIRED_CODE = "telemetry.point.expired"
EXPIRED_DETAIL = "Readings of that time are kept no longer, and are not taken."


@dataclass(frozen=True, slots=True)
class RetentionClass:
    """Readings that are kept for ``raw_days`` at the least, None for ever; they are dropped many days at once.

    Before that they are archived, where the archive is to be kept: for ``archive_days`` from the day they are of.
    ``dropped_before`` is how far they were dropped already: what is said later brings nothing of that back.
    """

    name: str
    changed_at: datetime
    raw_days: int | None = None
    archive_days: int | None = None
    dropped_before: datetime = EARLIEST
    version: int = 1

    def kept_since(self, now: datetime) -> datetime:
        """Give the time before which no reading is taken any more."""
        age = now - EARLIEST if self.raw_days is None else timedelta(days=self.raw_days)
        return max(self.dropped_before, now - age)

    def droppable_before(self, now: datetime) -> datetime:
        """Give the time before which readings may be dropped."""
        if self.raw_days is None or now < self.changed_at + SETTLING:
            return EARLIEST
        return now - timedelta(days=self.raw_days) - GRACE

    def archive_kept_since(self, now: datetime) -> datetime:
        """Give the time before which days are kept in the archive no longer."""
        if self.archive_days is None or now < self.changed_at + SETTLING:
            return EARLIEST
        return now - timedelta(days=self.archive_days)


class ReadingChunk(NamedTuple):
    """A stretch of time in which the readings lie together, and are dropped together."""

    start: datetime
    end: datetime


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
        rejections=[*batch.rejections, *(Rejection(index, EXPIRED_CODE, EXPIRED_DETAIL) for index, _ in expired)],
        rejected=batch.rejected + sum(len(reading.values) for _, reading in expired),
    )
