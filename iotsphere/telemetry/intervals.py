"""Intervals of time, as queries ask for them.

Seconds, minutes and hours are fixed lengths counted from 1970-01-01T00:00Z. Days are calendar days of a time zone,
n of them counted from 1970-01-01; one is 23 or 25 hours long when the zone's clocks change. The zone's rules come
from Python alone, so that the store and the service can never disagree about where a day begins.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from iotsphere.kernel.times import EPOCH

UNITS = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
LONGEST = timedelta(days=30)

_EPOCH_DAY = EPOCH.date().toordinal()
_TEXT = re.compile(r"([1-9][0-9]{0,6})([smhd])")


@dataclass(frozen=True, slots=True)
class Interval:
    """``length`` takes a day for 24 hours."""

    length: timedelta
    is_calendar: bool

    @classmethod
    def parse(cls, text: str) -> "Interval":
        """Read ``15m``.

        :raises ValueError: with a sentence that says what is expected.
        """
        found = _TEXT.fullmatch(text)
        if found is None:
            raise ValueError("Must be a number and one of s, m, h and d, such as 15m.")
        length = int(found[1]) * UNITS[found[2]]
        if length > LONGEST:
            raise ValueError("Must be 30d at the most.")
        return cls(length, is_calendar=found[2] == "d")


def parse_timezone(name: str) -> ZoneInfo:
    """Give the zone of an IANA name.

    :raises ValueError: there is none of that name.
    """
    # Names come from clients, and ZoneInfo would look for whatever it is given among the files of this machine.
    if name not in _timezone_names():
        raise ValueError("Not a time zone of the IANA database, such as Europe/Berlin.")
    return ZoneInfo(name)


@cache
def _timezone_names() -> frozenset[str]:
    return frozenset(available_timezones())


@dataclass(frozen=True, slots=True)
class Grid:
    """All intervals of one kind, side by side."""

    interval: Interval
    timezone: ZoneInfo

    def starts(self, first: datetime, last: datetime) -> list[datetime]:
        """Give the starts of the intervals from the one that holds ``first`` to the one that holds ``last``."""
        starts = self._days(first, last) if self.interval.is_calendar else self._lengths(first, last)
        return starts[bisect_right(starts, first) - 1 : bisect_right(starts, last)]

    def most_between(self, first: datetime, last: datetime) -> int:
        """Tell how many intervals ``starts`` would give at the most, without making them."""
        return (last - first) // self.interval.length + 2

    def _lengths(self, first: datetime, last: datetime) -> list[datetime]:
        length = self.interval.length
        low, high = (first - EPOCH) // length, (last - EPOCH) // length
        return [EPOCH + number * length for number in range(low, high + 1)]

    def _days(self, first: datetime, last: datetime) -> list[datetime]:
        # One interval more on either side: where clocks go back over midnight, a date does not tell the interval.
        count = self.interval.length.days
        low = (self._day(first) // count - 1) * count
        days = range(low, self._day(last) + count + 1, count)
        # A zone that leaves a day out, as islands at the date line did, has two midnights in the same moment.
        return sorted({self._midnight(day) for day in days})

    def _day(self, moment: datetime) -> int:
        return moment.astimezone(self.timezone).date().toordinal() - _EPOCH_DAY

    def _midnight(self, day: int) -> datetime:
        on = date.fromordinal(day + _EPOCH_DAY)
        return datetime(on.year, on.month, on.day, tzinfo=self.timezone).astimezone(UTC)
