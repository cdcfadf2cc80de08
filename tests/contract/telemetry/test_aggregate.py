import math
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.errors import FigureOverflowError
from iotsphere.telemetry.intervals import Grid, Interval
from iotsphere.telemetry.model import EARLIEST, Aggregate, Bucket, Point, Selection
from iotsphere.telemetry.ports import TelemetryUnitOfWorkFactory
from tests.factories.telemetry import FIRST_READING, as_readings, build_point
from tests.fakes.telemetry import InMemoryTelemetryUnitOfWork, TelemetryData

EVERYTHING = tuple(Aggregate)
MINUTE = timedelta(minutes=1)
TOMORROW = FIRST_READING + timedelta(days=1)


def grid(interval: str, timezone: str = "UTC") -> Grid:
    return Grid(Interval.parse(interval), ZoneInfo(timezone))


async def keep(unit_of_work: TelemetryUnitOfWorkFactory, points: list[Point]) -> None:
    async with unit_of_work() as uow:
        await uow.points.append(as_readings(points), replace=False)
        await uow.commit()


async def aggregate(
    unit_of_work: TelemetryUnitOfWorkFactory,
    selection: Selection,
    grid: Grid,
    aggregates: tuple[Aggregate, ...] = EVERYTHING,
    limit: int = 50_000,
) -> list[Bucket]:
    async with unit_of_work() as uow:
        return await uow.points.aggregate(selection, grid, aggregates, limit=limit)


async def test_computes_every_figure(unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId) -> None:
    values = [4, 1.0, 3, 2]
    points = [
        build_point(device_id=device_id, ts=FIRST_READING + number * MINUTE, value=value)
        for number, value in enumerate(values)
    ]
    await keep(unit_of_work, points[::-1])

    (bucket,) = await aggregate(unit_of_work, Selection(device_id, None, FIRST_READING, TOMORROW), grid("1h"))

    assert (bucket.metric, bucket.ts) == ("temperature", FIRST_READING)
    assert bucket.figures == pytest.approx(
        {
            Aggregate.AVG: 2.5,
            Aggregate.MIN: 1,
            Aggregate.MAX: 4,
            Aggregate.SUM: 10,
            Aggregate.COUNT: 4,
            Aggregate.FIRST: 4,
            Aggregate.LAST: 2,
            Aggregate.STDDEV: math.sqrt(5 / 3),
            Aggregate.P50: 2.5,
            Aggregate.P95: 3.85,
            Aggregate.P99: 3.97,
        },
        rel=1e-12,
    )


async def test_computes_what_was_asked_for(unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId) -> None:
    await keep(unit_of_work, [build_point(device_id=device_id, ts=FIRST_READING)])

    (bucket,) = await aggregate(
        unit_of_work,
        Selection(device_id, ("temperature", "unknown"), FIRST_READING, TOMORROW),
        grid("1d"),
        (Aggregate.LAST, Aggregate.COUNT),
    )

    assert list(bucket.figures.items()) == [(Aggregate.LAST, 21.5), (Aggregate.COUNT, 1)]


async def test_one_value_has_no_deviation(unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId) -> None:
    await keep(unit_of_work, [build_point(device_id=device_id, ts=FIRST_READING)])

    (bucket,) = await aggregate(unit_of_work, Selection(device_id, None, FIRST_READING, TOMORROW), grid("1h"))

    assert bucket.figures[Aggregate.STDDEV] is None
    assert bucket.figures[Aggregate.P95] == 21.5


async def test_what_is_no_number_is_counted_and_nothing_else(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId
) -> None:
    values: list[Any] = [True, "x", {"a": 1}, [2], 5, False]
    points = [
        build_point(device_id=device_id, ts=FIRST_READING + number * MINUTE, value=value)
        for number, value in enumerate(values)
    ]
    await keep(unit_of_work, points)

    first, second = await aggregate(unit_of_work, Selection(device_id, None, FIRST_READING, TOMORROW), grid("4m"))

    assert first.figures == dict.fromkeys(EVERYTHING) | {Aggregate.COUNT: 4}
    assert second.figures == dict.fromkeys(EVERYTHING, 5) | {Aggregate.COUNT: 2, Aggregate.STDDEV: None}


async def test_the_range_cuts_the_first_and_the_last_interval(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId
) -> None:
    await keep(
        unit_of_work, [build_point(device_id=device_id, ts=FIRST_READING + number * MINUTE) for number in range(60)]
    )
    selection = Selection(device_id, None, FIRST_READING + 7 * MINUTE, FIRST_READING + 31 * MINUTE)

    buckets = await aggregate(unit_of_work, selection, grid("10m"), (Aggregate.COUNT,))

    assert [(bucket.ts, bucket.figures[Aggregate.COUNT]) for bucket in buckets] == [
        (FIRST_READING, 3),
        (FIRST_READING + 10 * MINUTE, 10),
        (FIRST_READING + 20 * MINUTE, 10),
        (FIRST_READING + 30 * MINUTE, 1),
    ]


@pytest.mark.parametrize(
    ("timezone", "first_day", "hours"),
    [
        ("Europe/Berlin", "2026-03-28", [24, 23, 24]),
        ("Europe/Berlin", "2026-10-24", [24, 25, 24]),
        ("Australia/Lord_Howe", "2026-04-04", [24, 24.5, 24]),
        ("Australia/Lord_Howe", "2026-10-03", [24, 23.5, 24]),
        ("UTC", "2026-03-28", [24, 24, 24]),
    ],
)
async def test_days_are_those_of_the_time_zone(
    unit_of_work: TelemetryUnitOfWorkFactory,
    device_id: DeviceId,
    timezone: str,
    first_day: str,
    hours: list[float],
) -> None:
    start = datetime.fromisoformat(first_day).replace(tzinfo=ZoneInfo(timezone)).astimezone(UTC)
    end = start + timedelta(hours=sum(hours))
    points = [
        build_point(device_id=device_id, ts=start + number * timedelta(minutes=30))
        for number in range(int(sum(hours) * 2))
    ]
    await keep(unit_of_work, points)

    buckets = await aggregate(
        unit_of_work, Selection(device_id, None, start, end), grid("1d", timezone), (Aggregate.COUNT,)
    )

    assert [bucket.figures[Aggregate.COUNT] for bucket in buckets] == [length * 2 for length in hours]
    assert [bucket.ts.astimezone(ZoneInfo(timezone)).time().hour for bucket in buckets] == [0, 0, 0]


async def test_gives_no_more_buckets_than_asked_for(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId
) -> None:
    points = [
        build_point(device_id=device_id, metric=metric, ts=FIRST_READING + number * MINUTE)
        for number in range(5)
        for metric in ("b", "B")
    ]
    await keep(unit_of_work, points)

    buckets = await aggregate(
        unit_of_work, Selection(device_id, None, FIRST_READING, TOMORROW), grid("1m"), (Aggregate.COUNT,), limit=3
    )

    assert [(bucket.ts, bucket.metric) for bucket in buckets] == [
        (FIRST_READING, "B"),
        (FIRST_READING, "b"),
        (FIRST_READING + MINUTE, "B"),
    ]


async def test_an_empty_range_has_no_buckets(unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId) -> None:
    await keep(unit_of_work, [build_point(device_id=device_id, ts=FIRST_READING)])

    for interval in ("1d", "1s"):
        for start, end in ((FIRST_READING, FIRST_READING), (TOMORROW, EARLIEST)):
            selection = Selection(device_id, None, start, end)
            assert await aggregate(unit_of_work, selection, grid(interval)) == []


@pytest.mark.parametrize("figure", [Aggregate.SUM, Aggregate.P50])
async def test_refuses_a_figure_beyond_the_largest_number(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId, figure: Aggregate
) -> None:
    values = [1.7e308, 1.7e308] if figure is Aggregate.SUM else [-1.7e308, 1.7e308]
    points = [
        build_point(device_id=device_id, ts=FIRST_READING + number * MINUTE, value=value)
        for number, value in enumerate(values)
    ]
    await keep(unit_of_work, points)

    with pytest.raises(FigureOverflowError):
        await aggregate(unit_of_work, Selection(device_id, None, FIRST_READING, TOMORROW), grid("1h"), (figure,))


TIMEZONES = ["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns", "Asia/Kathmandu"]


def moments(first: str, last: str) -> st.SearchStrategy[datetime]:
    return st.datetimes(datetime.fromisoformat(first), datetime.fromisoformat(last), timezones=st.just(UTC))


# Around the changes of clocks of 2026, and wherever else.
MOMENTS = st.one_of(
    moments("2026-03-27", "2026-04-07"), moments("2026-10-02", "2026-11-03"), moments("2024-01-01", "2026-11-20")
)
VALUES = st.one_of(
    st.floats(-1e9, 1e9, allow_nan=False), st.integers(-1000, 1000), st.booleans(), st.just("x"), st.just({"a": 1})
)
INTERVALS = st.one_of(
    st.builds("{}d".format, st.integers(1, 30)),
    st.builds("{}h".format, st.integers(1, 720)),
    st.builds("{}m".format, st.integers(1, 43_200)),
    st.builds("{}s".format, st.integers(1, 2_592_000)),
)


def numbers(bucket: Bucket) -> dict[Aggregate, float]:
    return {aggregate: figure for aggregate, figure in bucket.figures.items() if figure is not None}


@pytest.mark.parametrize("unit_of_work", ["timescaledb", "partitions", "compressed"], indirect=True)
@given(
    readings=st.lists(st.tuples(st.sampled_from("ab"), MOMENTS, VALUES), max_size=40),
    interval=INTERVALS,
    timezone=st.sampled_from(TIMEZONES),
    bounds=st.tuples(MOMENTS, MOMENTS).map(sorted),
    metrics=st.sampled_from([None, ("a",), ("a", "b")]),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_agrees_with_the_plain_model(
    unit_of_work: TelemetryUnitOfWorkFactory,
    readings: list[tuple[str, datetime, Any]],
    interval: str,
    timezone: str,
    bounds: list[datetime],
    metrics: tuple[str, ...] | None,
) -> None:
    device_id = DeviceId(uuid4())
    data = TelemetryData()
    points = [Point(device_id, metric, ts, value) for metric, ts, value in readings]
    await keep(unit_of_work, points)
    await keep(lambda: InMemoryTelemetryUnitOfWork(data), points)
    selection = Selection(device_id, metrics, bounds[0], bounds[1])

    buckets = await aggregate(unit_of_work, selection, grid(interval, timezone))
    expected = await aggregate(lambda: InMemoryTelemetryUnitOfWork(data), selection, grid(interval, timezone))

    assert [(bucket.ts, bucket.metric) for bucket in buckets] == [(bucket.ts, bucket.metric) for bucket in expected]
    for bucket, model in zip(buckets, expected, strict=True):
        assert numbers(bucket) == pytest.approx(numbers(model), rel=1e-9, abs=1e-5)
