"""Figures that are worked out ahead, of minutes, hours and days of UTC, and which of them answer for a range of time.

Figures are of an hour's readings until somebody writes one or removes one: from then on the hour is stale, and its
readings themselves are asked, until its figures were worked out anew (ADR 0027).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from iotsphere.kernel.clock import Clock
from iotsphere.kernel.times import EPOCH, MICROSECOND
from iotsphere.telemetry.errors import FigureOverflowError, QueryTooCostlyError
from iotsphere.telemetry.intervals import Grid
from iotsphere.telemetry.model import RollupBacklog, StaleHour
from iotsphere.telemetry.ports import NO_TIME, RollupUnitOfWorkFactory

# An hour is worked out when it is over, and those have arrived that were under way.
SETTLED_AFTER = timedelta(hours=1, minutes=1)
# Readings of an hour that is being caught up on come batch after batch: it is worked out once for many of them.
GATHERING = timedelta(seconds=30)
MOST_HOURS_AT_ONCE = 256
# Whoever removes points of a device waits until its hours are worked out that are in hand.
LONG = timedelta(seconds=1)


class Resolution(Enum):
    """The lengths of what figures are kept of, the longest first."""

    DAY = timedelta(days=1)
    HOUR = timedelta(hours=1)
    MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Span:
    """From ``start`` up to ``end``, which is not in it."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a range, and what answers for it: figures of a resolution, or the readings themselves (None)."""

    resolution: Resolution | None
    start: datetime
    end: datetime


def coarsest_for(grid: Grid, start: datetime, end: datetime) -> Resolution | None:
    """Give the longest lengths that no interval of the grid cuts through; None if even minutes are cut."""
    if grid.interval.is_calendar:
        bounds = [moment - EPOCH for moment in grid.starts(start, max(start, end - MICROSECOND))]
    else:
        bounds = [grid.interval.length]
    return next((each for each in Resolution if not any(bound % each.value for bound in bounds)), None)


def cut(start: datetime, end: datetime, stale: Sequence[Span], coarsest: Resolution | None) -> list[Stretch]:
    """Part a range into stretches, in the order of time, each answered from the coarsest that gives the exact answer.

    :param stale: whole hours whose readings have to be asked, in the order of time, none touching another.
    """
    found: list[Stretch] = []
    free = start
    for span in stale:
        found += _cut_fresh(free, min(span.start, end), coarsest)
        found += _stretch(None, max(span.start, start), min(span.end, end))
        free = max(free, span.end)
    found += _cut_fresh(free, end, coarsest)
    return list(_joined(found))


def _cut_fresh(start: datetime, end: datetime, coarsest: Resolution | None) -> list[Stretch]:
    if coarsest is None or start >= end:
        return _stretch(None, start, end)
    finer = FINER[coarsest]
    length = coarsest.value
    first = start + (EPOCH - start) % length
    last = end - (end - EPOCH) % length
    if first >= last:
        return _cut_fresh(start, end, finer)
    return [*_cut_fresh(start, first, finer), Stretch(coarsest, first, last), *_cut_fresh(last, end, finer)]


def _stretch(resolution: Resolution | None, start: datetime, end: datetime) -> list[Stretch]:
    return [Stretch(resolution, start, end)] if start < end else []


def _joined(stretches: Iterable[Stretch]) -> Iterator[Stretch]:
    """Make one of neighbours that are answered from the same."""
    open_one: Stretch | None = None
    for stretch in stretches:
        if open_one is not None and open_one.resolution is stretch.resolution:
            open_one = Stretch(stretch.resolution, open_one.start, stretch.end)
            continue
        if open_one is not None:
            yield open_one
        open_one = stretch
    if open_one is not None:
        yield open_one


FINER = {Resolution.DAY: Resolution.HOUR, Resolution.HOUR: Resolution.MINUTE, Resolution.MINUTE: None}


class RollupService:
    """Works stale hours out, some at a time; several processes may be at it at once.

    :param gathering: how long an hour is stale before it is worked out.
    """

    def __init__(
        self, *, unit_of_work: RollupUnitOfWorkFactory, clock: Clock, gathering: timedelta = NO_TIME
    ) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._gathering = gathering
        self._limit = 1

    async def roll_up_next(self) -> int:
        """Work out the figures of the latest hours that are stale and over, and tell how many hours were at hand.

        As long as that does not take long, more and more are taken at once. What is too much even by itself is put
        off until its readings change again: its readings will be asked as before.
        """
        hours: list[StaleHour] = []
        began = self._clock()
        try:
            async with self._unit_of_work() as uow:
                before = began - SETTLED_AFTER
                hours = await uow.rollups.list(before=before, stale_for=self._gathering, limit=self._limit)
                if hours:
                    await uow.rollups.save(hours)
                    await uow.commit()
        except (QueryTooCostlyError, FigureOverflowError):
            if len(hours) == 1:
                await self._put_off(hours)
            is_long = True
        else:
            is_long = self._clock() - began > LONG
        self._limit = max(1, len(hours) // 2) if is_long else min(2 * self._limit, MOST_HOURS_AT_ONCE)
        return len(hours)

    async def find_backlog(self) -> RollupBacklog:
        """Tell how much waits for being worked out."""
        async with self._unit_of_work() as uow:
            return await uow.rollups.find_backlog(before=self._clock() - SETTLED_AFTER)

    async def _put_off(self, hours: list[StaleHour]) -> None:
        async with self._unit_of_work() as uow:
            await uow.rollups.put_off(hours)
            await uow.commit()
