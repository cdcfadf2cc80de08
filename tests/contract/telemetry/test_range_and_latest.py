from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.model import Order, Point, Position, Selection
from iotsphere.telemetry.ports import TelemetryUnitOfWorkFactory
from tests.factories.telemetry import FIRST_READING, as_readings, build_point
from tests.fakes.telemetry import InMemoryTelemetryUnitOfWork, TelemetryData

MINUTE = timedelta(minutes=1)
END = FIRST_READING + timedelta(days=1)


@pytest.fixture
async def points(unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId) -> list[Point]:
    """Three metrics at ten moments, whose names sort differently in most languages; and another device's points."""
    points = [
        build_point(device_id=device_id, metric=metric, ts=FIRST_READING + timedelta(minutes=minute), value=minute)
        for minute in range(10)
        for metric in ("B", "_c", "a:1")
    ]
    async with unit_of_work() as uow:
        await uow.points.append(as_readings([*reversed(points), *(build_point() for _ in range(5))]), replace=False)
        await uow.commit()
    return points


async def read(
    unit_of_work: TelemetryUnitOfWorkFactory,
    selection: Selection,
    *,
    order: Order = Order.ASCENDING,
    after: Position | None = None,
    limit: int = 100,
) -> list[Point]:
    async with unit_of_work() as uow:
        return await uow.points.range(selection, order=order, after=after, limit=limit)


async def test_gives_points_by_time_and_metric(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId, points: list[Point]
) -> None:
    everything = Selection(device_id, None, FIRST_READING, END)

    assert await read(unit_of_work, everything) == points
    assert await read(unit_of_work, everything, order=Order.DESCENDING) == points[::-1]


async def test_the_start_is_in_and_the_end_is_out(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId, points: list[Point]
) -> None:
    start, end = FIRST_READING + timedelta(minutes=2), FIRST_READING + timedelta(minutes=4)

    assert await read(unit_of_work, Selection(device_id, None, start, end)) == points[6:12]
    assert await read(unit_of_work, Selection(device_id, None, start, start)) == []
    assert await read(unit_of_work, Selection(device_id, None, end, start)) == []


async def test_gives_the_metrics_asked_for(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId, points: list[Point]
) -> None:
    selection = Selection(device_id, ("a:1", "B", "unknown"), FIRST_READING, END)

    found = await read(unit_of_work, selection)

    assert found == [point for point in points if point.metric != "_c"]


@pytest.mark.parametrize("order", Order)
@pytest.mark.parametrize("metrics", [None, ("a:1", "B")])
@pytest.mark.parametrize("limit", [1, 4, 29])
async def test_pages_hold_every_point_once(
    unit_of_work: TelemetryUnitOfWorkFactory,
    device_id: DeviceId,
    points: list[Point],
    order: Order,
    metrics: tuple[str, ...] | None,
    limit: int,
) -> None:
    selection = Selection(device_id, metrics, FIRST_READING, END)
    whole = await read(unit_of_work, selection, order=order)
    assert len(whole) == len(points) * (3 if metrics is None else 2) // 3

    pages: list[Point] = []
    after = None
    while page := await read(unit_of_work, selection, order=order, after=after, limit=limit):
        assert len(page) <= limit
        pages += page
        after = Position(page[-1].ts, page[-1].metric)

    assert pages == whole


READINGS = st.lists(
    # Crowded series beside sparse ones, and many points of one time.
    st.tuples(st.sampled_from("aaaaaabbcD"), st.integers(0, 60)),
    max_size=120,
    unique=True,
)


@pytest.mark.parametrize("unit_of_work", ["timescaledb", "partitions", "compressed"], indirect=True)
@given(
    readings=READINGS,
    bounds=st.tuples(st.integers(0, 61), st.integers(0, 61)),
    after=st.none() | st.tuples(st.integers(0, 61), st.sampled_from("abcDe")),
    limit=st.integers(1, 130),
    order=st.sampled_from(Order),
    metrics=st.sampled_from([None, ("a",), ("c", "a", "x")]),
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_agrees_with_the_plain_model(
    unit_of_work: TelemetryUnitOfWorkFactory,
    readings: list[tuple[str, int]],
    bounds: tuple[int, int],
    after: tuple[int, str] | None,
    limit: int,
    order: Order,
    metrics: tuple[str, ...] | None,
) -> None:
    device_id = DeviceId(uuid4())
    points = [Point(device_id, metric, FIRST_READING + minute * MINUTE, float(minute)) for metric, minute in readings]
    model = partial(InMemoryTelemetryUnitOfWork, TelemetryData())
    for factory in (unit_of_work, model):
        async with factory() as uow:
            await uow.points.append(as_readings(points), replace=False)
            await uow.commit()
    start, end = (FIRST_READING + minute * MINUTE for minute in bounds)
    selection = Selection(device_id, metrics, start, end)
    position = None if after is None else Position(FIRST_READING + after[0] * MINUTE, after[1])

    found = await read(unit_of_work, selection, order=order, after=position, limit=limit)

    assert found == await read(model, selection, order=order, after=position, limit=limit)


async def test_the_latest_is_by_its_own_time(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId, points: list[Point]
) -> None:
    late_arrival = build_point(device_id=device_id, metric="B", ts=datetime(2001, 1, 1, tzinfo=UTC), value="old")
    async with unit_of_work() as uow:
        await uow.points.append(as_readings([late_arrival]), replace=False)
        await uow.commit()

    async with unit_of_work() as uow:
        assert await uow.points.latest(device_id, None) == points[-3:]
        assert await uow.points.latest(device_id, ["a:1", "unknown"]) == points[-1:]
        assert await uow.points.latest(device_id, []) == []


async def test_a_device_without_points_has_none(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId
) -> None:
    async with unit_of_work() as uow:
        assert await uow.points.latest(device_id, None) == []
    assert await read(unit_of_work, Selection(device_id, None, FIRST_READING, END)) == []
