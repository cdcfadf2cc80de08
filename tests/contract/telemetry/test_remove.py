from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.model import Order, Point, Reading, Removal, Selection
from iotsphere.telemetry.ports import TelemetryUnitOfWorkFactory
from tests.factories.telemetry import FIRST_READING
from tests.fakes.telemetry import InMemoryTelemetryUnitOfWork, TelemetryData

MINUTE = timedelta(minutes=1)
END = FIRST_READING + timedelta(days=1)


def at(minute: int) -> Any:
    return FIRST_READING + minute * MINUTE


@pytest.fixture
async def readings(unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId) -> None:
    """Ten readings, each with a number, a text and, but for the first, an object."""
    await append(
        unit_of_work,
        [
            Reading(device_id, at(minute), {"b": minute, "mode": "heat"} | ({"a": {"n": minute}} if minute else {}))
            for minute in range(10)
        ],
    )


async def append(unit_of_work: TelemetryUnitOfWorkFactory, readings: list[Reading]) -> None:
    async with unit_of_work() as uow:
        await uow.points.append(readings, replace=False)
        await uow.commit()


async def remove(unit_of_work: TelemetryUnitOfWorkFactory, selection: Selection, *, limit: int = 100) -> Removal:
    async with unit_of_work() as uow:
        removal = await uow.points.remove(selection, limit=limit)
        await uow.commit()
    return removal


async def left(unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId) -> list[Point]:
    everything = Selection(device_id, None, FIRST_READING - timedelta(days=1), END)
    async with unit_of_work() as uow:
        return await uow.points.range(everything, order=Order.ASCENDING, after=None, limit=1000)


async def test_readings_of_a_stretch_of_time_go_whole(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId, readings: None
) -> None:
    assert await remove(unit_of_work, Selection(device_id, None, at(0), at(2))) == Removal(5, None)

    points = await left(unit_of_work, device_id)
    assert len(points) == 24
    assert points[0].ts == at(2)


async def test_of_readings_with_other_values_the_others_stay(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId, readings: None
) -> None:
    assert await remove(unit_of_work, Selection(device_id, ("b", "a", "unknown"), at(0), at(9))) == Removal(17, None)

    points = await left(unit_of_work, device_id)
    assert [point.value for point in points if point.metric == "mode"] == ["heat"] * 10
    assert [(point.metric, point.ts) for point in points if point.metric != "mode"] == [("a", at(9)), ("b", at(9))]


async def test_a_reading_without_a_value_left_is_no_more_and_may_come_again(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId, readings: None
) -> None:
    await remove(unit_of_work, Selection(device_id, ("b",), at(0), END))
    assert await remove(unit_of_work, Selection(device_id, ("mode", "a"), at(0), END)) == Removal(19, None)
    assert await left(unit_of_work, device_id) == []
    async with unit_of_work() as uow:
        assert await uow.points.latest(device_id, None) == []

    await append(unit_of_work, [Reading(device_id, at(3), {"b": "anew"})])

    assert await left(unit_of_work, device_id) == [Point(device_id, "b", at(3), "anew")]


async def test_no_more_than_the_limit_is_gone_through_at_once(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId, readings: None
) -> None:
    selection = Selection(device_id, ("a",), at(0), END)

    assert await remove(unit_of_work, selection, limit=4) == Removal(3, at(4))
    assert await remove(unit_of_work, Selection(device_id, ("a",), at(4), END), limit=6) == Removal(6, None)


async def test_nothing_else_is_touched(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId, readings: None
) -> None:
    other = DeviceId(uuid4())
    await append(unit_of_work, [Reading(other, at(0), {"b": 1})])

    assert await remove(unit_of_work, Selection(DeviceId(uuid4()), None, at(0), END)) == Removal(0, None)
    assert await remove(unit_of_work, Selection(device_id, ("unknown",), at(0), END)) == Removal(0, None)
    assert await remove(unit_of_work, Selection(device_id, None, at(5), at(5))) == Removal(0, None)
    assert await remove(unit_of_work, Selection(device_id, None, at(0), END)) == Removal(29, None)
    assert len(await left(unit_of_work, other)) == 1


VALUES = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.text("ab", max_size=2))


@pytest.mark.parametrize("unit_of_work", ["timescaledb", "partitions", "compressed"], indirect=True)
@given(
    stored=st.dictionaries(
        st.integers(0, 200), st.dictionaries(st.sampled_from("abcd"), VALUES, min_size=1), max_size=30
    ),
    bounds=st.tuples(st.integers(0, 201), st.integers(0, 201)),
    metrics=st.none() | st.sets(st.sampled_from("abcdx"), min_size=1).map(lambda names: tuple(sorted(names))),
    limit=st.integers(1, 12),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_agrees_with_the_plain_model(
    unit_of_work: TelemetryUnitOfWorkFactory,
    stored: dict[int, dict[str, Any]],
    bounds: tuple[int, int],
    metrics: tuple[str, ...] | None,
    limit: int,
) -> None:
    device_id = DeviceId(uuid4())
    model = partial(InMemoryTelemetryUnitOfWork, TelemetryData())
    # Hours apart, so that some lie in other chunks and partitions.
    readings = [Reading(device_id, FIRST_READING - timedelta(hours=5 * hour), stored[hour]) for hour in stored]
    start, end = sorted(FIRST_READING - timedelta(hours=5 * hour) for hour in bounds)
    for factory in (unit_of_work, model):
        await append(factory, readings)

    outcomes = []
    everything = Selection(device_id, None, FIRST_READING - timedelta(days=60), END)
    for factory in (unit_of_work, model):
        removal = await remove(factory, Selection(device_id, metrics, start, end), limit=limit)
        async with factory() as uow:
            points = await uow.points.range(everything, order=Order.ASCENDING, after=None, limit=1000)
        outcomes.append((removal, points))

    assert outcomes[0] == outcomes[1]
