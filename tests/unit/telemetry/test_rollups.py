from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotsphere.kernel.times import EPOCH
from iotsphere.telemetry.errors import QueryTooCostlyError
from iotsphere.telemetry.intervals import Grid, Interval
from iotsphere.telemetry.model import StaleHour
from iotsphere.telemetry.rollups import Resolution, RollupService, Span, Stretch, coarsest_for, cut
from tests.fakes.telemetry import InMemoryRollupRepository, InMemoryRollupUnitOfWork, TelemetryData

MIDNIGHT = datetime(2026, 3, 28, tzinfo=UTC)
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)


def grid(interval: str, timezone: str = "UTC") -> Grid:
    return Grid(Interval.parse(interval), ZoneInfo(timezone))


@pytest.mark.parametrize(
    ("interval", "timezone", "coarsest"),
    [
        ("1d", "UTC", Resolution.DAY),
        ("30d", "UTC", Resolution.DAY),
        ("48h", "UTC", Resolution.DAY),
        ("1d", "Europe/Berlin", Resolution.HOUR),
        ("36h", "UTC", Resolution.HOUR),
        ("1d", "Asia/Kathmandu", Resolution.MINUTE),
        ("90m", "UTC", Resolution.MINUTE),
        ("3600s", "UTC", Resolution.HOUR),
        ("90s", "UTC", None),
        ("1s", "UTC", None),
    ],
)
def test_the_coarsest_that_no_interval_cuts_through(
    interval: str, timezone: str, coarsest: Resolution | None
) -> None:
    assert coarsest_for(grid(interval, timezone), MIDNIGHT, MIDNIGHT + 3 * DAY) is coarsest


def test_the_ends_of_a_range_are_answered_from_what_is_finer() -> None:
    second = timedelta(seconds=1)
    start, end = MIDNIGHT - HOUR - MINUTE - second, MIDNIGHT + 2 * DAY + HOUR + second

    assert cut(start, end, [], Resolution.DAY) == [
        Stretch(None, start, start + second),
        Stretch(Resolution.MINUTE, start + second, MIDNIGHT - HOUR),
        Stretch(Resolution.HOUR, MIDNIGHT - HOUR, MIDNIGHT),
        Stretch(Resolution.DAY, MIDNIGHT, MIDNIGHT + 2 * DAY),
        Stretch(Resolution.HOUR, MIDNIGHT + 2 * DAY, end - second),
        Stretch(None, end - second, end),
    ]


def test_of_a_day_with_a_stale_hour_the_other_hours_answer() -> None:
    stale = [Span(MIDNIGHT + 5 * HOUR, MIDNIGHT + 6 * HOUR)]

    assert cut(MIDNIGHT, MIDNIGHT + 2 * DAY, stale, Resolution.DAY) == [
        Stretch(Resolution.HOUR, MIDNIGHT, MIDNIGHT + 5 * HOUR),
        Stretch(None, MIDNIGHT + 5 * HOUR, MIDNIGHT + 6 * HOUR),
        Stretch(Resolution.HOUR, MIDNIGHT + 6 * HOUR, MIDNIGHT + DAY),
        Stretch(Resolution.DAY, MIDNIGHT + DAY, MIDNIGHT + 2 * DAY),
    ]


def test_an_empty_range_has_no_stretches() -> None:
    assert cut(MIDNIGHT, MIDNIGHT, [], Resolution.DAY) == []
    assert cut(MIDNIGHT, MIDNIGHT - DAY, [Span(MIDNIGHT - DAY, MIDNIGHT)], Resolution.DAY) == []


MOMENTS = st.integers(-3 * 86_400_000_000, 3 * 86_400_000_000).map(
    lambda offset: MIDNIGHT + timedelta(microseconds=offset)
)


@st.composite
def stale_spans(draw: st.DrawFn) -> list[Span]:
    """Hours apart from one another, as they come from the store: none before the first hour that is asked for."""
    bounds = sorted(draw(st.sets(st.integers(-90, 90), max_size=8)))
    return [
        Span(MIDNIGHT + first * HOUR, MIDNIGHT + last * HOUR)
        for first, last in zip(bounds[::2], bounds[1::2], strict=False)
    ]


@given(MOMENTS, MOMENTS, stale_spans(), st.sampled_from([None, *Resolution]))
def test_stretches_cover_the_range_once_and_are_whole_and_fresh(
    start: datetime, end: datetime, stale: list[Span], coarsest: Resolution | None
) -> None:
    stretches = cut(start, end, stale, coarsest)

    assert sum((stretch.end - stretch.start for stretch in stretches), timedelta()) == max(end - start, timedelta())
    bounds = [bound for stretch in stretches for bound in (stretch.start, stretch.end)]
    assert bounds == sorted(bounds)
    assert all(start <= bound <= end for bound in bounds)
    for stretch in stretches:
        if stretch.resolution is None:
            continue
        assert (stretch.start - EPOCH) % stretch.resolution.value == timedelta()
        assert (stretch.end - EPOCH) % stretch.resolution.value == timedelta()
        assert not any(span.start < stretch.end and stretch.start < span.end for span in stale)


class Costly(InMemoryRollupRepository):
    """Finds too many hours too much, and one of them by itself."""

    def __init__(self, data: TelemetryData, most: int, poison: StaleHour) -> None:
        super().__init__(data)
        self._most = most
        self._poison = poison
        self.sizes: list[int] = []

    async def save(self, hours: Sequence[StaleHour]) -> None:
        self.sizes.append(len(hours))
        if len(hours) > self._most or self._poison in hours:
            raise QueryTooCostlyError
        await super().save(hours)


class CostlyUnitOfWork(InMemoryRollupUnitOfWork):
    def __init__(self, rollups: Costly) -> None:
        self.rollups = rollups


async def test_fewer_hours_are_taken_when_they_are_too_much_and_one_that_is_too_much_is_put_off() -> None:
    hours = [StaleHour(1, MIDNIGHT - number * HOUR, number) for number in range(40)]
    data = TelemetryData(stale={(each.source, each.hour): each for each in hours})
    rollups = Costly(data, most=4, poison=hours[20])
    service = RollupService(unit_of_work=partial(CostlyUnitOfWork, rollups), clock=lambda: MIDNIGHT + DAY)

    while await service.roll_up_next():
        pass

    assert list(data.stale.values()) == [hours[20]]
    assert data.put_off == {hours[20]}
    assert max(rollups.sizes) == 8
    assert (await service.find_backlog()).put_off == 1


class Slow(InMemoryRollupRepository):
    """Takes a while for each hour."""

    def __init__(self, data: TelemetryData, now: datetime, an_hour: timedelta) -> None:
        super().__init__(data)
        self.now = now
        self._an_hour = an_hour
        self.sizes: list[int] = []

    async def save(self, hours: Sequence[StaleHour]) -> None:
        self.sizes.append(len(hours))
        self.now += len(hours) * self._an_hour
        await super().save(hours)


class SlowUnitOfWork(InMemoryRollupUnitOfWork):
    def __init__(self, rollups: Slow) -> None:
        self.rollups = rollups


@pytest.mark.parametrize(("milliseconds", "most"), [(1, 256), (100, 16), (3000, 1)])
async def test_no_more_hours_are_taken_than_are_soon_worked_out(milliseconds: int, most: int) -> None:
    hours = [StaleHour(1, MIDNIGHT - number * HOUR, number) for number in range(1000)]
    data = TelemetryData(stale={(each.source, each.hour): each for each in hours})
    rollups = Slow(data, MIDNIGHT + DAY, timedelta(milliseconds=milliseconds))
    service = RollupService(unit_of_work=partial(SlowUnitOfWork, rollups), clock=lambda: rollups.now)

    while await service.roll_up_next():
        pass

    assert not data.stale
    assert max(rollups.sizes) == most


async def test_the_latest_hours_come_first_and_those_that_are_not_over_wait() -> None:
    hours = [StaleHour(source, MIDNIGHT + number * HOUR, number) for source in (1, 2) for number in range(3)]
    data = TelemetryData(stale={(each.source, each.hour): each for each in hours})
    now = MIDNIGHT + 2 * HOUR + MINUTE
    service = RollupService(unit_of_work=partial(InMemoryRollupUnitOfWork, data), clock=lambda: now)

    await service.roll_up_next()

    assert hours[1] not in data.stale.values()
    assert len(data.stale) == 5
    while await service.roll_up_next():
        pass
    assert list(data.stale.values()) == [hours[2], hours[5]]
