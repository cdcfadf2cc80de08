"""Figures are the same before hours are rolled up and afterwards, whatever is written or removed in between."""

import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.localstack.stack import LocalStack, create_database
from iotsphere.telemetry.errors import FigureOverflowError
from iotsphere.telemetry.intervals import Grid, Interval
from iotsphere.telemetry.model import Aggregate, Bucket, FleetSelection, Point, Reading, Selection
from iotsphere.telemetry.ports import RollupUnitOfWorkFactory, TelemetryUnitOfWorkFactory
from iotsphere.telemetry.rollups import RollupService
from repositories.availability import StoreGate
from repositories.migrations import upgrade
from repositories.telemetry import latest
from repositories.telemetry.reading import create_telemetry_engine
from repositories.telemetry.unit_of_work import SqlAlchemyRollupUnitOfWork, SqlAlchemyTelemetryUnitOfWork
from tests.contract.telemetry.compression import CompressingTelemetryUnitOfWork, columnar_engine
from tests.fakes.telemetry import InMemoryRollupUnitOfWork, InMemoryTelemetryUnitOfWork, TelemetryData

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
EXACT = (Aggregate.COUNT, Aggregate.MIN, Aggregate.MAX, Aggregate.FIRST, Aggregate.LAST)
ROUNDED = (Aggregate.SUM, Aggregate.AVG, Aggregate.STDDEV)
FIGURES = (*EXACT, *ROUNDED)


@dataclass(frozen=True)
class Kept:
    """Where readings and their rollups are kept."""

    unit_of_work: TelemetryUnitOfWorkFactory
    rollups: RollupUnitOfWorkFactory

    async def append(self, *readings: Reading, replace: bool = False) -> None:
        async with self.unit_of_work() as uow:
            await uow.points.append(readings, replace=replace)
            await uow.commit()

    async def remove(self, selection: Selection) -> None:
        async with self.unit_of_work() as uow:
            await uow.points.remove(selection, limit=1000)
            await uow.commit()

    async def roll_up(self) -> int:
        """Roll up all there is, and tell how many hours that were."""
        service = RollupService(unit_of_work=self.rollups, clock=lambda: NOW)
        rolled_up = 0
        while hours := await service.roll_up_next():
            rolled_up += hours
        return rolled_up

    async def aggregate(
        self, selection: Selection, interval: str, timezone: str = "UTC", aggregates: tuple[Aggregate, ...] = FIGURES
    ) -> list[Bucket]:
        grid = Grid(Interval.parse(interval), ZoneInfo(timezone))
        async with self.unit_of_work() as uow:
            return await uow.points.aggregate(selection, grid, aggregates, limit=50_000)

    async def latest(self, device_id: DeviceId, metrics: tuple[str, ...] | None) -> list[Point]:
        async with self.unit_of_work() as uow:
            return await uow.points.latest(device_id, metrics)

    async def aggregate_fleet(
        self, selection: FleetSelection, interval: str, timezone: str
    ) -> list[tuple[str, Bucket]]:
        grid = Grid(Interval.parse(interval), ZoneInfo(timezone))
        async with self.unit_of_work() as uow:
            return await uow.fleet.aggregate(selection, grid, FIGURES, limit=50_000)


def in_memory() -> Kept:
    data = TelemetryData()
    return Kept(partial(InMemoryTelemetryUnitOfWork, data), partial(InMemoryRollupUnitOfWork, data))


async def own_store(stack: LocalStack, engine_name: str, purpose: str = "rolled_up") -> AsyncIterator[Kept]:
    """Give a database of a module's own: what others have written need not be rolled up here."""
    has_timescaledb = engine_name == "timescaledb"
    dsn = await create_database(stack, f"{purpose}_{engine_name}", timescaledb=has_timescaledb)
    upgrade("telemetry", dsn)
    engine, gate = create_telemetry_engine(dsn), StoreGate("telemetry")
    yield Kept(
        partial(SqlAlchemyTelemetryUnitOfWork, engine, gate), partial(SqlAlchemyRollupUnitOfWork, engine, gate)
    )
    await engine.dispose()


@pytest_asyncio.fixture(scope="module")
async def timescaledb(stack: LocalStack) -> AsyncIterator[Kept]:
    async for kept in own_store(stack, "timescaledb"):
        yield kept


@pytest_asyncio.fixture(scope="module")
async def partitions(stack: LocalStack) -> AsyncIterator[Kept]:
    async for kept in own_store(stack, "partitions"):
        yield kept


@pytest_asyncio.fixture(scope="module")
async def compressed(stack: LocalStack) -> AsyncIterator[Kept]:
    gate = StoreGate("telemetry")
    async for engine in columnar_engine(stack, "rolled_up_compressed"):
        yield Kept(
            partial(CompressingTelemetryUnitOfWork, engine, gate), partial(SqlAlchemyRollupUnitOfWork, engine, gate)
        )


@pytest.fixture(params=["memory", "timescaledb", "partitions", "compressed"])
def kept(request: pytest.FixtureRequest) -> Kept:
    if request.param == "memory":
        return in_memory()
    stored: Kept = request.getfixturevalue(request.param)
    return stored


@pytest.fixture(autouse=True)
def _nothing_is_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let latest values be looked for as those that lie far back."""
    monkeypatch.setattr(latest, "MOST_READINGS", 0)


def whole_day(device_id: DeviceId) -> Selection:
    return Selection(device_id, None, MIDNIGHT, MIDNIGHT + 24 * HOUR)


async def test_what_is_written_is_rolled_up_once(kept: Kept, device_id: DeviceId) -> None:
    await kept.roll_up()
    await kept.append(*(Reading(device_id, MIDNIGHT + number * HOUR / 2, {"a": number}) for number in range(10)))

    assert await kept.roll_up() == 5
    assert await kept.roll_up() == 0


async def test_an_hour_is_rolled_up_when_it_is_over(kept: Kept, device_id: DeviceId) -> None:
    await kept.roll_up()
    over, running = NOW - HOUR - timedelta(minutes=1), NOW - HOUR + timedelta(microseconds=1)
    await kept.append(Reading(device_id, over, {"a": 1}), Reading(device_id, running, {"a": 1}))

    assert await kept.roll_up() == 1


async def test_late_replaced_and_removed_readings_count_at_once_and_after_rolling_up(
    kept: Kept, device_id: DeviceId
) -> None:
    sums = []

    async def look() -> None:
        for _ in range(2):
            buckets = await kept.aggregate(whole_day(device_id), "1d", aggregates=(Aggregate.SUM, Aggregate.COUNT))
            sums.append([tuple(bucket.figures.values()) for bucket in buckets])
            await kept.roll_up()

    await kept.append(*(Reading(device_id, MIDNIGHT + number * HOUR, {"a": 1}) for number in range(24)))
    await look()
    await kept.append(Reading(device_id, MIDNIGHT + HOUR / 2, {"a": 10}))
    await look()
    await kept.append(Reading(device_id, MIDNIGHT, {"a": 100}), replace=True)
    await look()
    await kept.remove(Selection(device_id, None, MIDNIGHT, MIDNIGHT + 12 * HOUR))
    await look()
    await kept.remove(whole_day(device_id))
    await look()

    assert sums == [[(24, 24)]] * 2 + [[(34, 25)]] * 2 + [[(133, 25)]] * 2 + [[(12, 12)]] * 2 + [[]] * 2


async def test_what_is_put_off_waits_until_its_readings_change(kept: Kept, device_id: DeviceId) -> None:
    await kept.roll_up()
    await kept.append(Reading(device_id, MIDNIGHT, {"a": 1}))
    async with kept.rollups() as uow:
        await uow.rollups.put_off(await uow.rollups.list(before=MIDNIGHT, limit=10))
        await uow.commit()
    async with kept.rollups() as uow:
        backlog = await uow.rollups.find_backlog(before=MIDNIGHT)
    assert (backlog.waiting, backlog.put_off, backlog.oldest_at) == (0, 1, None)
    assert await kept.roll_up() == 0

    await kept.append(Reading(device_id, MIDNIGHT, {"b": 1}))
    async with kept.rollups() as uow:
        backlog = await uow.rollups.find_backlog(before=MIDNIGHT)

    assert (backlog.waiting, backlog.put_off) == (1, 0)
    assert backlog.oldest_at is not None
    assert await kept.roll_up() == 1


@pytest.mark.parametrize("interval", ["1m", "1h", "1d"])
async def test_numbers_too_large_to_be_summed_ahead_are_summed_when_asked_for(
    kept: Kept, device_id: DeviceId, interval: str
) -> None:
    values = [1.5e200, 2e200, 1e308, 1e308]
    await kept.append(
        *(Reading(device_id, MIDNIGHT + number * 20 * HOUR / 10, {"a": value}) for number, value in enumerate(values))
    )
    await kept.roll_up()
    selection = Selection(device_id, None, MIDNIGHT, MIDNIGHT + 2 * HOUR + timedelta(seconds=1))

    buckets = await kept.aggregate(selection, "2d", aggregates=(Aggregate.SUM, Aggregate.MAX))
    assert [bucket.figures for bucket in buckets] == [{Aggregate.SUM: 3.5e200, Aggregate.MAX: 2e200}]
    with pytest.raises(FigureOverflowError):
        await kept.aggregate(whole_day(device_id), "1d", aggregates=(Aggregate.SUM,))
    (largest,) = await kept.aggregate(whole_day(device_id), "1d", aggregates=(Aggregate.MAX,))
    assert largest.figures == {Aggregate.MAX: 1e308}
    assert await kept.aggregate(whole_day(device_id), interval, aggregates=(Aggregate.LAST,))


async def test_the_latest_of_silent_metrics_are_found_behind_hours_without_them(
    kept: Kept, device_id: DeviceId
) -> None:
    values = {"a": 1.5, "b": "x", "c": {"n": None}}
    silent = [
        Reading(device_id, MIDNIGHT + number * 30 * HOUR, {metric: values[metric]})
        for number, metric in enumerate(values)
    ]
    busy = [Reading(device_id, MIDNIGHT + number * 6 * HOUR, {"d": number}) for number in range(40)]
    points = [
        Point(device_id, metric, reading.ts, value) for reading in silent for metric, value in reading.values.items()
    ]
    points += [Point(device_id, "d", busy[-1].ts, 39)]

    await kept.append(*silent, *busy[:20])
    await kept.roll_up()
    await kept.append(*busy[20:30])
    async with kept.rollups() as uow:
        await uow.rollups.put_off(await uow.rollups.list(before=busy[25].ts, limit=100))
        await uow.commit()
    assert await kept.latest(device_id, tuple(values)) == points[:3]
    await kept.append(*busy[30:])

    for _ in range(2):
        assert await kept.latest(device_id, None) == points
        await kept.roll_up()


TIMEZONES = ["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns", "Asia/Kathmandu"]
# The days around a change of clocks in two of the zones, closely enough that minutes, hours and days have several.
MOMENTS = st.builds(
    lambda day, hour, seconds, micros: (
        datetime(2026, 4, day, hour, tzinfo=UTC) + timedelta(seconds=seconds, microseconds=micros)
    ),
    st.integers(3, 6),
    st.sampled_from([0, 1, 12, 13, 14, 15, 23]),
    st.one_of(st.sampled_from([0, 59, 60, 1799, 1800, 3599]), st.integers(0, 3599)),
    st.sampled_from([0, 1, 999_999]),
)
VALUES = st.one_of(
    st.floats(-1e9, 1e9, allow_nan=False), st.integers(-1000, 1000), st.booleans(), st.just("x"), st.just({"a": 1})
)
READINGS = st.lists(
    st.tuples(MOMENTS, st.dictionaries(st.sampled_from(["a", "b", "c"]), VALUES, min_size=1)), min_size=1, max_size=30
)
SPANS = st.tuples(MOMENTS, MOMENTS).map(sorted)
WRITE = st.tuples(st.just("write"), READINGS, st.booleans())
REMOVE = st.tuples(st.just("remove"), SPANS, st.sampled_from([None, ("a",), ("b", "c")]))
ROLL_UP = st.tuples(st.just("roll_up"), st.none(), st.none())
STEPS = st.tuples(WRITE, st.lists(st.one_of(WRITE, REMOVE, ROLL_UP), max_size=5)).map(
    lambda steps: [steps[0], *steps[1]]
)
INTERVALS = st.one_of(
    st.sampled_from(["1d", "2d", "24h", "1h", "5m", "90m", "1m", "90s", "3h"]),
    st.builds("{}m".format, st.integers(1, 3000)),
)
QUESTIONS = st.tuples(INTERVALS, st.sampled_from(TIMEZONES), SPANS, st.sampled_from([None, ("a",), ("a", "b")]))


async def set_apart(kept: Kept, device_id: DeviceId) -> None:
    """Let the places of the metrics lie so far apart that rows hold them in another way."""
    between = [f"x{number}" for number in range(100)]
    metrics = ["a", *between[:50], "b", *between[50:], "c"]
    await kept.append(Reading(device_id, MIDNIGHT, dict.fromkeys(metrics, 0)))
    await kept.remove(whole_day(device_id))


async def take(kept: Kept, device_id: DeviceId, step: tuple[str, Any, Any]) -> None:
    kind, what, how = step
    if kind == "write":
        await kept.append(*(Reading(device_id, ts, values) for ts, values in what), replace=how)
    elif kind == "remove":
        await kept.remove(Selection(device_id, how, *what))
    else:
        await kept.roll_up()


def assert_same(buckets: list[Bucket], expected: list[Bucket]) -> None:
    assert [(bucket.ts, bucket.metric) for bucket in buckets] == [(bucket.ts, bucket.metric) for bucket in expected]
    for bucket, model in zip(buckets, expected, strict=True):
        assert [bucket.figures[each] for each in EXACT] == [model.figures[each] for each in EXACT]
        # The order of additions decides on the last digits: of numbers up to 1e9, what is above 1e-5 is sure.
        for each in ROUNDED:
            assert bucket.figures[each] == (
                None if model.figures[each] is None else pytest.approx(model.figures[each], rel=1e-12, abs=1e-5)
            )


@pytest.mark.parametrize("kept", ["timescaledb", "partitions", "compressed"], indirect=True)
@given(steps=STEPS, questions=st.lists(QUESTIONS, min_size=1, max_size=4), is_far_apart=st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_figures_are_those_of_the_plain_model_at_every_step(
    kept: Kept,
    steps: list[tuple[str, Any, Any]],
    questions: list[tuple[str, str, list[datetime], Any]],
    is_far_apart: bool,
) -> None:
    device_id, model = DeviceId(uuid4()), in_memory()
    if is_far_apart:
        await set_apart(kept, device_id)

    for step in [*steps, ("roll_up", None, None)]:
        await take(kept, device_id, step)
        await take(model, device_id, step)
        for interval, timezone, span, metrics in questions:
            selection = Selection(device_id, metrics, *span)
            assert_same(
                await kept.aggregate(selection, interval, timezone),
                await model.aggregate(selection, interval, timezone),
            )
            # Which are looked for by what was worked out ahead, too.
            assert await kept.latest(device_id, metrics) == await model.latest(device_id, metrics)


@pytest.mark.parametrize("kept", ["timescaledb", "partitions"], indirect=True)
@given(
    steps=st.lists(st.tuples(st.integers(0, 2), st.one_of(WRITE, WRITE, REMOVE, ROLL_UP)), min_size=1, max_size=6),
    names=st.lists(st.sampled_from(["", "pump"]), min_size=3, max_size=3),
    questions=st.lists(QUESTIONS, min_size=1, max_size=3),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_figures_of_a_fleet_are_those_of_the_plain_model_whichever_devices_have_stale_hours(
    kept: Kept,
    steps: list[tuple[int, tuple[str, Any, Any]]],
    names: list[str],
    questions: list[tuple[str, str, list[datetime], Any]],
) -> None:
    device_ids, model = [DeviceId(uuid4()) for _ in range(3)], in_memory()
    groups = dict(zip(device_ids, names, strict=True))
    last: tuple[str, Any, Any] = ("roll_up", None, None)

    for place, step in [*steps, (0, last)]:
        await take(kept, device_ids[place], step)
        await take(model, device_ids[place], step)
        for interval, timezone, span, metrics in questions:
            selection = FleetSelection(groups, metrics, *span)
            found = await kept.aggregate_fleet(selection, interval, timezone)
            expected = await model.aggregate_fleet(selection, interval, timezone)
            assert [name for name, _ in found] == [name for name, _ in expected]
            assert_same([bucket for _, bucket in found], [bucket for _, bucket in expected])


async def test_of_points_of_the_same_time_that_of_the_lowest_device_id_is_the_first(kept: Kept) -> None:
    one, two = sorted(DeviceId(uuid4()) for _ in range(2))
    await kept.append(Reading(two, MIDNIGHT, {"a": 2}), Reading(two, MIDNIGHT + HOUR, {"a": 20}))
    await kept.append(Reading(one, MIDNIGHT, {"a": 1}), Reading(one, MIDNIGHT + HOUR, {"a": 10}))
    selection = FleetSelection({two: "", one: ""}, ("a",), MIDNIGHT, MIDNIGHT + 24 * HOUR)

    for interval in ("1d", "1h", "1m", "1s"):
        for _ in range(2):
            buckets = [bucket for _, bucket in await kept.aggregate_fleet(selection, interval, "UTC")]
            assert (buckets[0].figures[Aggregate.FIRST], buckets[-1].figures[Aggregate.LAST]) == (1, 20)
            await kept.roll_up()


async def test_a_deviation_of_far_numbers_is_not_lost_in_them(kept: Kept, device_id: DeviceId) -> None:
    """The difference of the sums of squares would be nothing but rounding."""
    numbers = [1e9 + math.sin(number) for number in range(24 * 60)]
    readings = [
        Reading(device_id, MIDNIGHT + number * timedelta(minutes=1), {"a": value})
        for number, value in enumerate(numbers)
    ]
    await kept.append(*readings)
    await kept.roll_up()

    (bucket,) = await kept.aggregate(whole_day(device_id), "1d", aggregates=(Aggregate.STDDEV,))

    assert bucket.figures[Aggregate.STDDEV] == pytest.approx(0.7074, abs=1e-3)


async def test_an_hour_that_is_being_caught_up_on_waits_until_it_has_been_stale_for_a_while(
    kept: Kept, device_id: DeviceId
) -> None:
    await kept.append(Reading(device_id, MIDNIGHT, {"a": 1}))

    async with kept.rollups() as uow:
        assert not await uow.rollups.list(before=MIDNIGHT, limit=10, stale_for=timedelta(hours=1))
        assert len(await uow.rollups.list(before=MIDNIGHT, limit=10, stale_for=timedelta(0))) == 1
