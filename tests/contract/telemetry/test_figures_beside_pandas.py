"""Figures are those that pandas has of the same readings, whether asked of the readings or worked out ahead.

The plain model in ``tests/fakes`` is ours, and may err where we do; pandas knows intervals and calendars by itself.
"""

from collections.abc import AsyncIterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isclose
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
import pytest_asyncio

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.localstack.stack import LocalStack
from iotsphere.telemetry.intervals import Grid, Interval
from iotsphere.telemetry.model import Aggregate, Bucket, Fill, Reading, SeriesQuery, Summary
from iotsphere.telemetry.service import TelemetryService
from tests.contract.telemetry.test_rollups import Kept, in_memory, own_store

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
EVERYTHING = tuple(Aggregate)
# Taken as they are from one of the numbers; the others may differ in their last digits, by the order of additions.
EXACT = {Aggregate.COUNT, Aggregate.MIN, Aggregate.MAX, Aggregate.FIRST, Aggregate.LAST}
# These can be put together from what is worked out ahead.
MERGED = tuple(each for each in Aggregate if each not in {Aggregate.P50, Aggregate.P95, Aggregate.P99})
# What is filled stands for a number in the interval before, so that one alone, which has no deviation, leaves a gap.
FILLED = (Aggregate.AVG, Aggregate.MAX, Aggregate.LAST, Aggregate.COUNT)


@dataclass(frozen=True)
class Days:
    """Some days of a place, about a change of its clocks or calendar."""

    timezone: str
    first: str


PLACES = [
    Days("Europe/Berlin", "2026-03-27"),
    Days("Europe/Berlin", "2026-10-23"),
    Days("America/New_York", "2026-10-30"),
    # Half an hour forth and back.
    Days("Australia/Lord_Howe", "2026-04-03"),
    Days("Australia/Lord_Howe", "2026-10-02"),
    # No 30 December.
    Days("Pacific/Apia", "2011-12-28"),
    # Midnight comes twice, or not at all.
    Days("America/Havana", "2026-10-30"),
    Days("America/Sao_Paulo", "2018-11-02"),
    Days("Asia/Kathmandu", "2026-03-27"),
]
METRICS = ("a", "b")
INTERVALS = ["1d", "2d", "24h", "1h", "90m", "5m", "90s"]


@pytest_asyncio.fixture(scope="module")
async def timescaledb(stack: LocalStack) -> AsyncIterator[Kept]:
    async for kept in own_store(stack, "timescaledb", "beside_pandas"):
        yield kept


@pytest_asyncio.fixture(scope="module")
async def partitions(stack: LocalStack) -> AsyncIterator[Kept]:
    async for kept in own_store(stack, "partitions", "beside_pandas"):
        yield kept


@pytest.fixture(params=["memory", "timescaledb", "partitions"])
def kept(request: pytest.FixtureRequest) -> Kept:
    if request.param == "memory":
        return in_memory()
    stored: Kept = request.getfixturevalue(request.param)
    return stored


def frame_of(days: Days, *, seed: int) -> pd.DataFrame:
    """Make values of ``a``, all numbers, and of ``b``, some of which are none, with a long silence among them."""
    random = np.random.default_rng(seed)
    first = datetime.fromisoformat(days.first).replace(tzinfo=ZoneInfo(days.timezone)).astimezone(UTC)
    span = timedelta(days=6) // timedelta(microseconds=1)
    offsets = np.unique(random.integers(0, span, 400))
    offsets = offsets[(offsets < span * 0.55) | (offsets > span * 0.7)]
    times = pd.DatetimeIndex([first + timedelta(microseconds=int(offset)) for offset in offsets])
    numbers = random.normal(size=(len(times), 2)) * 10.0 ** random.integers(-3, 6, size=(len(times), 2))
    is_none = random.random(len(times)) < 0.2
    others = [bool(number % 2) if number % 3 else "x" for number in range(len(times))]
    b = [other if none else float(number) for number, other, none in zip(numbers[:, 1], others, is_none, strict=True)]
    return pd.DataFrame(
        {"a": numbers[:, 0].astype(object), "b": pd.Series(b, index=times, dtype=object)}, index=times
    )


UNITS = {"s": "s", "m": "min", "h": "h", "d": "D"}


def starts_of(times: pd.DatetimeIndex, interval: str, timezone: str) -> pd.DatetimeIndex:
    """Give the start of the interval that each of the times lies in."""
    length = interval[:-1] + UNITS[interval[-1]]
    if not interval.endswith("d"):
        return times.floor(length)
    days = times.tz_convert(timezone).tz_localize(None).floor(length)
    starts = pd.Series(pd.NaT, index=days, dtype="datetime64[us, UTC]")
    # A day begins with the first of two midnights, and where there is none with the first hour that there is.
    is_first = np.ones(len(days), dtype=bool)
    for hours in range(25):
        found = (days + pd.Timedelta(hours=hours)).tz_localize(timezone, ambiguous=is_first, nonexistent="NaT")
        starts = starts.fillna(pd.Series(found.tz_convert("UTC"), index=days))
    return pd.DatetimeIndex(starts)


def figures_of(values: pd.Series, starts: pd.DatetimeIndex) -> pd.DataFrame:
    """Give a row of figures for each interval that has a value."""
    is_number = values.map(lambda value: isinstance(value, float)).to_numpy(dtype=bool)
    counts = values.groupby(starts).size()
    grouped = values[is_number].astype(float).groupby(starts[is_number])
    figures = pd.DataFrame(
        {
            Aggregate.AVG: grouped.mean(),
            Aggregate.MIN: grouped.min(),
            Aggregate.MAX: grouped.max(),
            Aggregate.SUM: grouped.sum(),
            Aggregate.FIRST: grouped.first(),
            Aggregate.LAST: grouped.last(),
            Aggregate.STDDEV: grouped.std(ddof=1),
            Aggregate.P50: grouped.quantile(0.5),
            Aggregate.P95: grouped.quantile(0.95),
            Aggregate.P99: grouped.quantile(0.99),
        }
    ).reindex(counts.index)
    figures[Aggregate.COUNT] = counts
    return figures


def filled(figures: pd.DataFrame, every: pd.DatetimeIndex, fill: Fill) -> pd.DataFrame:
    whole = figures.reindex(every)
    if fill is Fill.PREVIOUS:
        whole = whole.ffill()
    if fill is Fill.LINEAR:
        whole = whole.interpolate(method="time", limit_area="inside")
    whole[Aggregate.COUNT] = figures[Aggregate.COUNT].reindex(every).fillna(0)
    return whole


def assert_same(
    buckets: list[Bucket],
    expected: pd.DataFrame,
    aggregates: tuple[Aggregate, ...],
    exact: AbstractSet[Aggregate] = EXACT,
) -> None:
    assert [bucket.ts for bucket in buckets] == list(expected.index.to_pydatetime())
    for bucket, row in zip(buckets, expected.to_dict("records"), strict=True):
        for aggregate in aggregates:
            figure, wanted = bucket.figures[aggregate], row[aggregate]
            if pd.isna(wanted):
                assert figure is None, (aggregate, bucket)
            elif aggregate in exact:
                assert figure == wanted, (aggregate, bucket)
            else:
                # Hundreds of thousands are compared; pytest's own way to do it would take most of the time.
                assert figure is not None, (aggregate, bucket)
                assert isclose(figure, wanted, rel_tol=1e-9, abs_tol=1e-9), (aggregate, wanted, bucket)


@dataclass(frozen=True)
class Asker:
    """Asks for the figures of one device in a time zone."""

    kept: Kept
    device_id: DeviceId
    timezone: str

    async def ask(
        self,
        interval: str,
        *,
        within: tuple[datetime | None, datetime | None] = (None, None),
        aggregates: tuple[Aggregate, ...] = EVERYTHING,
        fill: Fill = Fill.NONE,
    ) -> Mapping[str, list[Bucket]]:
        service = TelemetryService(unit_of_work=self.kept.unit_of_work, clock=lambda: NOW)
        query = SeriesQuery(self.device_id, 50_000, METRICS, *within)
        summary = Summary(Grid(Interval.parse(interval), ZoneInfo(self.timezone)), aggregates, fill)
        return (await service.read_buckets(query=query, summary=summary)).series


@pytest_asyncio.fixture
async def frame(days: Days) -> pd.DataFrame:
    return frame_of(days, seed=7)


@pytest_asyncio.fixture
async def asker(kept: Kept, device_id: DeviceId, days: Days, frame: pd.DataFrame) -> Asker:
    """The readings are stored, and not rolled up yet."""
    rows = zip(frame.index.to_pydatetime(), frame.to_dict("records"), strict=True)
    await kept.append(*(Reading(device_id, ts, values) for ts, values in rows))
    return Asker(kept, device_id, days.timezone)


@pytest.mark.parametrize("days", PLACES, ids=str)
async def test_figures_of_all_and_of_what_a_range_cuts_out(asker: Asker, frame: pd.DataFrame, days: Days) -> None:
    first, last = frame.index[0], frame.index[-1]
    expected = {}
    for within in ((None, None), (first + timedelta(hours=7.3), last - timedelta(hours=9, seconds=41.5))):
        chosen = frame[slice(*within)]
        for interval in INTERVALS:
            starts = starts_of(chosen.index, interval, days.timezone)
            expected[interval, within] = {metric: figures_of(chosen[metric], starts) for metric in METRICS}

    for aggregates in (EVERYTHING, MERGED):
        for (interval, within), figures in expected.items():
            found = await asker.ask(interval, within=within, aggregates=aggregates)
            for metric in METRICS:
                assert_same(found[metric], figures[metric], aggregates)
        await asker.kept.roll_up()


@pytest.mark.parametrize("kept", ["memory"], indirect=True)
@pytest.mark.parametrize("fill", [Fill.NULL, Fill.PREVIOUS, Fill.LINEAR])
@pytest.mark.parametrize("days", PLACES, ids=str)
async def test_gaps_are_filled(asker: Asker, frame: pd.DataFrame, days: Days, fill: Fill) -> None:
    for interval in ("1d", "2d", "1h", "90m"):
        figures = figures_of(frame["a"], starts_of(frame.index, interval, days.timezone))
        # Each interval holds one of these moments: none is shorter than an hour.
        moments = pd.date_range(frame.index[0].floor("30min"), frame.index[-1], freq="30min")
        every = starts_of(moments, interval, days.timezone).unique()

        found = await asker.ask(interval, aggregates=FILLED, fill=fill)

        assert len(every) > len(figures) or interval.endswith("d")
        exact = {Aggregate.COUNT} if fill is Fill.LINEAR else EXACT
        assert_same(found["a"], filled(figures, every, fill), FILLED, exact)
