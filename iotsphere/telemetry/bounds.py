"""How far queries reach, whatever they ask for: in time, and in what they are answered with."""

from datetime import UTC, datetime

from iotsphere.telemetry.model import EARLIEST, FUTURE_TOLERANCE

MAX_BUCKETS = 50_000
# No point lies later than this after now, even where another process's clock is ahead of ours.
HORIZON = 2 * FUTURE_TOLERANCE
# Far enough for every query, and not so far that a time zone's offset leaves the calendar.
LATEST_END = datetime(9000, 1, 1, tzinfo=UTC)


def within(moment: datetime, earliest: datetime, latest: datetime) -> datetime:
    return min(max(moment, earliest), latest)


def close_range(start: datetime | None, end: datetime | None, *, now: datetime) -> tuple[datetime, datetime]:
    """Close an open range at the times before and after which there can be nothing."""
    latest = now + HORIZON
    return within(start or EARLIEST, EARLIEST, latest), within(end or latest, EARLIEST, latest)
