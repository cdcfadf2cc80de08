"""Figures over several devices are those of all their points together."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.errors import FigureOverflowError
from iotsphere.telemetry.intervals import Grid, Interval
from iotsphere.telemetry.model import Aggregate, Bucket, FleetSelection, Point
from iotsphere.telemetry.ports import TelemetryUnitOfWorkFactory
from tests.factories.telemetry import as_readings
from tests.fakes.telemetry import InMemoryTelemetryUnitOfWork, TelemetryData

NOON = datetime(2026, 3, 29, 0, tzinfo=UTC)
EVERYTHING = tuple(Aggregate)
HOURLY = Grid(Interval.parse("1h"), ZoneInfo("UTC"))
VALUES = st.one_of(
    st.floats(-1e6, 1e6, allow_nan=False).map(lambda number: round(number, 3)), st.booleans(), st.just("heat")
)
POINTS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from("abc"), st.integers(0, 300), VALUES), max_size=40)


async def keep(unit_of_work: TelemetryUnitOfWorkFactory, points: list[Point]) -> None:
    async with unit_of_work() as uow:
        await uow.points.append(as_readings(points), replace=False)
        await uow.commit()


async def aggregate(
    unit_of_work: TelemetryUnitOfWorkFactory, selection: FleetSelection, grid: Grid = HOURLY, *, limit: int = 1000
) -> list[tuple[str, Bucket]]:
    async with unit_of_work() as uow:
        return await uow.fleet.aggregate(selection, grid, EVERYTHING, limit=limit)


def select(groups: dict[DeviceId, str], *metrics: str) -> FleetSelection:
    return FleetSelection(groups, metrics, NOON, NOON + timedelta(days=1))


def make_points(device_id: DeviceId, values: list[Any], *, metric: str = "a") -> list[Point]:
    return [Point(device_id, metric, NOON + timedelta(minutes=number), value) for number, value in enumerate(values)]


async def test_a_group_is_figured_as_if_it_were_one_device(unit_of_work: TelemetryUnitOfWorkFactory) -> None:
    one, two, apart, foreign = sorted(DeviceId(uuid4()) for _ in range(4))
    # The same metric at another place in each of them.
    await keep(unit_of_work, make_points(two, [0], metric="z"))
    await keep(unit_of_work, [*make_points(two, [100, "x"]), *make_points(one, [1, 2, 3])])
    await keep(unit_of_work, [*make_points(apart, [7]), *make_points(foreign, [-99])])

    found = await aggregate(unit_of_work, select({one: "pump", two: "pump", apart: "boiler"}, "a", "unknown"))

    assert [(name, bucket.metric, bucket.ts) for name, bucket in found] == [
        ("boiler", "a", NOON),
        ("pump", "a", NOON),
    ]
    assert found[1][1].figures == pytest.approx(
        {
            Aggregate.AVG: 26.5,
            Aggregate.MIN: 1,
            Aggregate.MAX: 100,
            Aggregate.SUM: 106,
            Aggregate.COUNT: 5,
            Aggregate.FIRST: 1,
            Aggregate.LAST: 3,
            Aggregate.STDDEV: 49.00680224895,
            Aggregate.P50: 2.5,
            Aggregate.P95: 85.45,
            Aggregate.P99: 97.09,
        }
    )


async def test_the_limit_cuts_by_time_metric_and_group(unit_of_work: TelemetryUnitOfWorkFactory) -> None:
    groups = {DeviceId(uuid4()): name for name in ("b", "a")}
    for device_id in groups:
        await keep(unit_of_work, make_points(device_id, [1] * 70))

    found = await aggregate(unit_of_work, select(groups, "a"), limit=3)

    assert [(name, bucket.ts.hour) for name, bucket in found] == [("a", 0), ("b", 0), ("a", 1)]


async def test_nothing_is_found_of_nothing(unit_of_work: TelemetryUnitOfWorkFactory) -> None:
    assert await aggregate(unit_of_work, select({}, "a")) == []
    assert await aggregate(unit_of_work, select({DeviceId(uuid4()): "x"}, "a")) == []


async def test_a_figure_beyond_the_largest_double_is_refused(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId
) -> None:
    await keep(unit_of_work, make_points(device_id, [1.7e308, 1.7e308]))

    with pytest.raises(FigureOverflowError):
        await aggregate(unit_of_work, select({device_id: "x"}, "a"))


@pytest.mark.parametrize("unit_of_work", ["timescaledb", "partitions", "compressed"], indirect=True)
@given(
    given_points=POINTS,
    names=st.lists(st.sampled_from(["", "pump", "boiler"]), min_size=4, max_size=4),
    grid=st.sampled_from([("1h", "UTC"), ("7m", "UTC"), ("1d", "Europe/Berlin"), ("2d", "America/Sao_Paulo")]),
    bounds=st.tuples(st.integers(0, 300), st.integers(0, 300)).map(sorted),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_agrees_with_the_plain_model(
    unit_of_work: TelemetryUnitOfWorkFactory,
    given_points: list[tuple[int, str, int, Any]],
    names: list[str],
    grid: tuple[str, str],
    bounds: list[int],
) -> None:
    device_ids = [DeviceId(UUID(int=uuid4().int)) for _ in range(4)]
    data = TelemetryData()
    points = [
        Point(device_ids[place], metric, NOON + timedelta(minutes=minute), value)
        for place, metric, minute, value in given_points
    ]
    await keep(unit_of_work, points)
    await keep(lambda: InMemoryTelemetryUnitOfWork(data), points)
    start, end = (NOON + timedelta(minutes=minute) for minute in bounds)
    # The last device is not asked for.
    selection = FleetSelection(dict(zip(device_ids[:3], names[:3], strict=True)), ("a", "b"), start, end)
    wanted = Grid(Interval.parse(grid[0]), ZoneInfo(grid[1]))

    found = await aggregate(unit_of_work, selection, wanted)
    expected = await aggregate(lambda: InMemoryTelemetryUnitOfWork(data), selection, wanted)

    assert [(name, bucket.metric, bucket.ts) for name, bucket in found] == [
        (name, bucket.metric, bucket.ts) for name, bucket in expected
    ]
    for (_, bucket), (_, model) in zip(found, expected, strict=True):
        numbers = {name: figure for name, figure in bucket.figures.items() if figure is not None}
        models = {name: figure for name, figure in model.figures.items() if figure is not None}
        assert numbers == pytest.approx(models, rel=1e-9, abs=1e-5)
