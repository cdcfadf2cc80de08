from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest

from iotsphere.kernel.errors import RuleViolationError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.kernel.pagination import CursorMalformedError, encode_cursor
from iotsphere.telemetry.errors import BatchRejectedError, TooManyIntervalsError, TooManyValuesError
from iotsphere.telemetry.intervals import Grid, Interval
from iotsphere.telemetry.model import (
    Aggregate,
    Counts,
    Fill,
    LedgerEntry,
    Order,
    SeriesPage,
    SeriesQuery,
    Summary,
)
from iotsphere.telemetry.service import TelemetryService
from tests.fakes.telemetry import InMemoryTelemetryUnitOfWork, TelemetryData

DEVICE = DeviceId(UUID(int=1))
NOW = datetime(2026, 11, 20, 12, 30, 15, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
COUNT, AVG = Aggregate.COUNT, Aggregate.AVG


@pytest.fixture
def data() -> TelemetryData:
    return TelemetryData()


@pytest.fixture
def service(data: TelemetryData) -> TelemetryService:
    return TelemetryService(unit_of_work=partial(InMemoryTelemetryUnitOfWork, data), clock=lambda: NOW)


def reading(ts: datetime, **values: Any) -> dict[str, Any]:
    return {"ts": ts.isoformat(), "values": values}


def hourly(fill: Fill = Fill.NONE, *aggregates: Aggregate) -> Summary:
    return summary("1h", fill, *aggregates)


def summary(interval: str, fill: Fill, *aggregates: Aggregate) -> Summary:
    return Summary(Grid(Interval.parse(interval), ZoneInfo("UTC")), aggregates or (COUNT,), fill)


async def test_tells_what_became_of_every_value(service: TelemetryService) -> None:
    await service.record_readings(device_id=DEVICE, document=reading(NOW, a=1, b=1))

    report = await service.record_readings(device_id=DEVICE, document=reading(NOW, a=1, b=2, c=3, d=None))

    assert report.counts == Counts(stored=1, duplicates=1, conflicts=1, rejected=1)
    assert [rejection.metric for rejection in report.rejections] == ["d"]


async def test_nothing_of_too_many_values_is_stored(service: TelemetryService, data: TelemetryData) -> None:
    with pytest.raises(TooManyValuesError):
        await service.record_readings(device_id=DEVICE, document=[{"values": {"a": 1}}] * 10_001)

    assert data == TelemetryData()


async def test_what_is_rejected_as_a_whole_is_in_the_ledger_all_the_same(
    service: TelemetryService, data: TelemetryData
) -> None:
    with pytest.raises(BatchRejectedError) as refused:
        await service.record_readings(device_id=DEVICE, document=[reading(NOW, a=None), 1])

    assert refused.value.report.counts == Counts(rejected=2)
    assert [rejection.index for rejection in refused.value.report.rejections] == [0, 1]
    assert data.minutes == {(DEVICE, NOW.replace(second=0)): Counts(rejected=2)}


async def test_conflicts_alone_are_no_refusal(service: TelemetryService) -> None:
    await service.record_readings(device_id=DEVICE, document=reading(NOW, a=1))

    report = await service.record_readings(device_id=DEVICE, document=reading(NOW, a=2))

    assert report.counts == Counts(conflicts=1)


async def test_pages_of_points_hold_each_once(service: TelemetryService) -> None:
    document = [reading(NOW - number * MINUTE, a=number, b=-number) for number in range(10)]
    await service.record_readings(device_id=DEVICE, document=document)

    for order in Order:
        seen = []
        cursor = None
        for expected in (7, 7, 6):
            page = await service.read_points(query=SeriesQuery(DEVICE, 7, order=order, cursor=cursor))
            points = [point for series in page.series.values() for point in series]
            assert len(points) == expected
            seen += points
            cursor = page.next_cursor
        assert cursor is None
        assert len({(point.metric, point.ts) for point in seen}) == 20


async def test_a_metric_that_was_asked_for_is_answered_even_without_points(service: TelemetryService) -> None:
    await service.record_readings(device_id=DEVICE, document=reading(NOW, b=1, a=1))

    asked = await service.read_points(query=SeriesQuery(DEVICE, 10, metrics=("c", "b")))
    unasked = await service.read_points(query=SeriesQuery(DEVICE, 10))

    assert {metric: len(points) for metric, points in asked.series.items()} == {"c": 0, "b": 1}
    assert list(unasked.series) == ["a", "b"]


@pytest.mark.parametrize("cursor", ["", "x", "🙂", encode_cursor(1), encode_cursor(1, "a")])
async def test_a_made_up_cursor_is_refused(service: TelemetryService, cursor: str) -> None:
    query = SeriesQuery(DEVICE, 10, cursor=cursor)

    with pytest.raises(CursorMalformedError):
        await service.read_points(query=query)
    with pytest.raises(CursorMalformedError):
        await service.read_buckets(query=query, summary=hourly())
    with pytest.raises(CursorMalformedError):
        await service.read_ledger(device_id=DEVICE, interval=Interval.parse("1h"), limit=1, cursor=cursor)


@pytest.mark.parametrize(
    "sort_key",
    [
        (1,),
        ("2026-11-20T00:00:00Z", "a"),
        (-1, "a"),
        (2**62, "a"),
        (1.5, "a"),
        (1, "a\0"),
        (1, "a\n"),
        (1, ""),
        (1, "a", 1),
        (True, "a"),
    ],
)
async def test_a_cursor_forged_for_the_query_is_refused(service: TelemetryService, sort_key: tuple[Any, ...]) -> None:
    summed_up = hourly()
    for made_into, read in (
        (None, service.read_points),
        (summed_up, partial(service.read_buckets, summary=summed_up)),
    ):
        forge = partial(encode_cursor, asked=(SeriesQuery(DEVICE, 0), made_into))

        # One that could have been given out, so that it is the key that is refused.
        await read(query=SeriesQuery(DEVICE, 10, cursor=forge(1, "a")))
        with pytest.raises(CursorMalformedError):
            await read(query=SeriesQuery(DEVICE, 10, cursor=forge(*sort_key)))


@pytest.mark.parametrize("sort_key", [(), (-1,), (2**62,), (1.5,), ("1",), (1, "a"), (True,)])
async def test_a_cursor_forged_for_the_ledger_is_refused(
    service: TelemetryService, sort_key: tuple[Any, ...]
) -> None:
    interval = Interval.parse("1h")
    forge = partial(encode_cursor, asked=(DEVICE, interval, None, None))
    read = partial(service.read_ledger, device_id=DEVICE, interval=interval, limit=1)

    await read(cursor=forge(1))
    with pytest.raises(CursorMalformedError):
        await read(cursor=forge(*sort_key))


@pytest.mark.parametrize(
    "other",
    [
        {"device_id": DeviceId(UUID(int=2))},
        {"metrics": ("a",)},
        {"start": NOW - 9 * HOUR},
        {"end": NOW},
        {"order": Order.DESCENDING},
    ],
)
async def test_a_cursor_of_another_query_is_refused(service: TelemetryService, other: dict[str, Any]) -> None:
    document = [reading(NOW - number * HOUR, a=number, b=-number) for number in range(5)]
    await service.record_readings(device_id=DEVICE, document=document)
    query = SeriesQuery(DEVICE, 3)
    read_buckets, read_samples = (
        partial(service.read_buckets, summary=hourly()),
        partial(service.read_samples, most=4),
    )

    for read in (service.read_points, read_buckets, read_samples):
        cursor = (await read(query=query)).next_cursor

        assert len((await read(query=replace(query, cursor=cursor, limit=2))).items) == 2
        with pytest.raises(CursorMalformedError):
            await read(query=replace(query, cursor=cursor, **other))


async def test_a_cursor_of_points_is_none_of_their_figures(service: TelemetryService) -> None:
    await service.record_readings(
        device_id=DEVICE, document=[reading(NOW - number * MINUTE, a=number) for number in range(200)]
    )
    ways: list[Callable[..., Awaitable[SeriesPage[Any]]]] = [
        service.read_points,
        *(partial(service.read_samples, most=most) for most in (50, 60)),
        *(
            partial(service.read_buckets, summary=summary(interval, fill, aggregate))
            for interval, fill, aggregate in (
                ("5m", Fill.NONE, COUNT),
                ("5m", Fill.NULL, COUNT),
                ("5m", Fill.NONE, AVG),
                ("1m", Fill.NONE, COUNT),
            )
        ),
    ]
    query = SeriesQuery(DEVICE, 10)

    for read in ways:
        cursor = (await read(query=query)).next_cursor
        assert cursor is not None
        for other in ways:
            if other is not read:
                with pytest.raises(CursorMalformedError):
                    await other(query=replace(query, cursor=cursor))


async def test_a_cursor_of_another_ledger_is_refused(service: TelemetryService, data: TelemetryData) -> None:
    for number in range(3):
        data.minutes[DEVICE, NOW.replace(second=0) - number * HOUR] = Counts(stored=1)
    asked: dict[str, Any] = {"device_id": DEVICE, "interval": Interval.parse("1h"), "limit": 1}
    cursor = (await service.read_ledger(**asked)).next_cursor

    assert len((await service.read_ledger(**{**asked, "limit": 2}, cursor=cursor)).items) == 2
    for other in (
        {"device_id": DeviceId(UUID(int=2))},
        {"interval": Interval.parse("1m")},
        {"start": NOW - 9 * HOUR},
        {"end": NOW},
    ):
        with pytest.raises(CursorMalformedError):
            await service.read_ledger(**{**asked, **other}, cursor=cursor)


async def test_pages_of_buckets_hold_each_once(service: TelemetryService) -> None:
    document = [reading(NOW - number * HOUR, a=number, b=-number) for number in range(5)]
    await service.record_readings(device_id=DEVICE, document=document)

    for order in Order:
        seen = []
        cursor = None
        for expected in (4, 4, 2):
            page = await service.read_buckets(
                query=SeriesQuery(DEVICE, 4, order=order, cursor=cursor), summary=hourly(Fill.NULL)
            )
            buckets = [bucket for series in page.series.values() for bucket in series]
            assert len(buckets) == expected
            seen += buckets
            cursor = page.next_cursor
        assert cursor is None
        assert len({(bucket.metric, bucket.ts) for bucket in seen}) == 10
        assert [bucket.ts for bucket in seen if bucket.metric == "a"] == sorted(
            {bucket.ts for bucket in seen}, reverse=order is Order.DESCENDING
        )


async def test_fills_the_range_that_was_asked_for(service: TelemetryService) -> None:
    await service.record_readings(device_id=DEVICE, document=reading(NOW, a=1))
    query = SeriesQuery(DEVICE, 100, metrics=("a", "c"), start=NOW - 2 * HOUR, end=NOW + 2 * HOUR)

    page = await service.read_buckets(query=query, summary=hourly(Fill.PREVIOUS, COUNT, AVG))

    first = NOW.replace(hour=10, minute=0, second=0)
    assert [(bucket.ts, *bucket.figures.values()) for bucket in page.series["a"]] == [
        (first, 0, None),
        (first + HOUR, 0, None),
        (first + 2 * HOUR, 1, 1),
        (first + 3 * HOUR, 0, 1),
        (first + 4 * HOUR, 0, 1),
    ]
    assert [bucket.figures[AVG] for bucket in page.series["c"]] == [None] * 5


async def test_an_open_range_is_filled_from_the_first_to_the_last_point(service: TelemetryService) -> None:
    document = [reading(NOW - 3 * HOUR, a=1), reading(NOW, b=1)]
    await service.record_readings(device_id=DEVICE, document=document)

    page = await service.read_buckets(query=SeriesQuery(DEVICE, 100), summary=hourly(Fill.NULL))
    nothing = await service.read_buckets(query=SeriesQuery(DeviceId(uuid4()), 100), summary=hourly(Fill.NULL))

    assert {metric: [bucket.figures[COUNT] for bucket in buckets] for metric, buckets in page.series.items()} == {
        "a": [1, 0, 0, 0],
        "b": [0, 0, 0, 1],
    }
    assert nothing.series == {}


@pytest.mark.parametrize("fill", [Fill.NONE, Fill.NULL])
async def test_the_end_of_a_range_is_not_in_it(service: TelemetryService, fill: Fill) -> None:
    hour = NOW.replace(minute=0, second=0)
    await service.record_readings(device_id=DEVICE, document=[reading(hour - HOUR, a=1), reading(hour, a=1)])

    page = await service.read_buckets(query=SeriesQuery(DEVICE, 9, end=hour), summary=hourly(fill))

    assert [bucket.ts for bucket in page.series["a"]] == [hour - HOUR]


@pytest.mark.parametrize("fill", [Fill.NULL, Fill.PREVIOUS, Fill.LINEAR])
@pytest.mark.parametrize("interval", ["1s", "1d"])
async def test_an_empty_range_stays_empty(service: TelemetryService, fill: Fill, interval: str) -> None:
    await service.record_readings(device_id=DEVICE, document=reading(NOW, a=1))
    for start, end in ((NOW, NOW), (NOW, datetime(1, 1, 1, tzinfo=UTC)), (datetime(9999, 12, 31, tzinfo=UTC), NOW)):
        query = SeriesQuery(DEVICE, 100, metrics=("a",), start=start, end=end)

        page = await service.read_buckets(query=query, summary=summary(interval, fill))

        assert page.series == {"a": []}


async def test_of_a_device_without_points_no_interval_is_made(service: TelemetryService) -> None:
    query = SeriesQuery(DEVICE, 100, start=datetime(2000, 1, 1, tzinfo=UTC), end=NOW)

    page = await service.read_buckets(query=query, summary=summary("1s", Fill.NULL))

    assert page.series == {}


async def test_too_many_intervals_are_refused(service: TelemetryService) -> None:
    document = [reading(NOW, a=1, b=1), reading(NOW - timedelta(seconds=49_000), a=1)]
    await service.record_readings(device_id=DEVICE, document=document)
    ages = SeriesQuery(DEVICE, 100, start=datetime(1, 1, 1, tzinfo=UTC), end=datetime(9999, 12, 31, tzinfo=UTC))
    few = SeriesQuery(DEVICE, 100, metrics=("a",))
    by_second, by_day = summary("1s", Fill.NULL), summary("30d", Fill.NULL)

    assert len((await service.read_buckets(query=few, summary=by_second)).series["a"]) == 100
    for query, asked in ((SeriesQuery(DEVICE, 100), by_second), (ages, by_day), (ages, by_second)):
        with pytest.raises(TooManyIntervalsError):
            await service.read_buckets(query=query, summary=asked)


async def test_more_intervals_with_points_than_are_shown_are_refused(service: TelemetryService) -> None:
    for part in range(6):
        first = NOW - timedelta(seconds=part * 10_000)
        document = [reading(first - timedelta(seconds=number), a=1) for number in range(10_000)]
        await service.record_readings(device_id=DEVICE, document=document)

    with pytest.raises(TooManyIntervalsError):
        await service.read_buckets(query=SeriesQuery(DEVICE, 100), summary=summary("1s", Fill.NONE))


async def test_the_ledger_shows_what_arrived_when(service: TelemetryService, data: TelemetryData) -> None:
    await service.record_readings(device_id=DEVICE, document=reading(NOW - 5 * HOUR, a=1, b=2))
    minute = NOW.replace(second=0)
    data.minutes[DEVICE, minute - HOUR] = Counts(stored=4)

    async def read(**given: Any) -> list[LedgerEntry]:
        interval = Interval.parse(given.pop("interval", "1m"))
        return (await service.read_ledger(device_id=DEVICE, interval=interval, limit=10, **given)).items

    earlier, recent = LedgerEntry(minute - HOUR, Counts(stored=4)), LedgerEntry(minute, Counts(stored=2))
    assert await read() == [earlier, recent]
    # Arrivals are counted by the minute: the minute that holds the start is in it.
    assert await read(start=NOW) == [recent]
    assert await read(end=NOW - MINUTE) == [earlier]
    assert await read(interval="1d") == [LedgerEntry(minute.replace(hour=0, minute=0), Counts(stored=6))]


async def test_pages_of_the_ledger_hold_each_interval_once(service: TelemetryService, data: TelemetryData) -> None:
    for number in range(7):
        data.minutes[DEVICE, NOW.replace(second=0) - number * 20 * MINUTE] = Counts(stored=1)
    whole = await service.read_ledger(device_id=DEVICE, interval=Interval.parse("1h"), limit=10)

    seen: list[LedgerEntry] = []
    cursor = None
    while len(seen) < len(whole.items):
        page = await service.read_ledger(device_id=DEVICE, interval=Interval.parse("1h"), limit=1, cursor=cursor)
        seen += page.items
        cursor = page.next_cursor

    assert seen == whole.items
    assert sum(entry.counts.stored for entry in seen) == 7
    assert cursor is None


@pytest.mark.parametrize("interval", ["1s", "90s"])
async def test_the_ledger_knows_whole_minutes_alone(service: TelemetryService, interval: str) -> None:
    with pytest.raises(RuleViolationError) as refused:
        await service.read_ledger(device_id=DEVICE, interval=Interval.parse(interval), limit=1)

    assert list(refused.value.errors) == ["interval"]
