"""Whether a device's metrics lie side by side in its rows or far apart changes no answer."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.intervals import Grid, Interval
from iotsphere.telemetry.model import Aggregate, Counts, FleetSelection, Order, Reading, Selection
from iotsphere.telemetry.ports import TelemetryUnitOfWorkFactory

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
END = NOON + timedelta(hours=1)
METRICS = ("a", "b", "c")
SIDE_BY_SIDE = METRICS
APART = ("a", *(f"x{number}" for number in range(100)), "b", *(f"y{number}" for number in range(100)), "c")
GRID = Grid(Interval.parse("10m"), ZoneInfo("UTC"))
# Among them numbers that JSON has no word for, and such as are places of the metrics.
VALUES = st.one_of(
    st.sampled_from([-0.0, 0.1, 5e-324, 1e300, -1e140, 1, 3, 102, 203]),
    st.floats(-1e6, 1e6, allow_nan=False),
    st.booleans(),
    st.just("x"),
)
READINGS = st.lists(
    st.tuples(st.integers(0, 59), st.dictionaries(st.sampled_from(METRICS), VALUES, min_size=1)),
    min_size=1,
    max_size=30,
)


async def give_places(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId, metrics: tuple[str, ...]
) -> None:
    """Let the device have the metrics in this order, and no points."""
    async with unit_of_work() as uow:
        await uow.points.append([Reading(device_id, NOON, dict.fromkeys(metrics, 0))], replace=False)
        await uow.points.remove(Selection(device_id, None, NOON, END), limit=10)
        await uow.commit()


async def append(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId, readings: list[tuple[int, dict[str, Any]]]
) -> dict[int, Counts]:
    async with unit_of_work() as uow:
        unsettled = await uow.points.append(
            [Reading(device_id, NOON + timedelta(minutes=minute), values) for minute, values in readings],
            replace=False,
        )
        await uow.commit()
    return unsettled


async def answers(unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId) -> list[str]:
    """Everything that can be asked, written out, so that no bit of a number is lost; without the device."""
    figures = [each for each in Aggregate if each not in (Aggregate.SUM, Aggregate.AVG, Aggregate.STDDEV)]
    found: list[str] = []
    async with unit_of_work() as uow:
        for metrics in (None, ("b",), ("c", "a")):
            selection = Selection(device_id, metrics, NOON, END)
            for order in Order:
                points = await uow.points.range(selection, order=order, after=None, limit=1000)
                found.append(repr([(point.metric, point.ts, point.value) for point in points]))
            latest = await uow.points.latest(device_id, metrics)
            found.append(repr([(point.metric, point.ts, point.value) for point in latest]))
            found.append(repr(await uow.points.numbers(selection, limit=1000)))
            found.append(repr(await uow.points.aggregate(selection, GRID, figures, limit=1000)))
        fleet = FleetSelection({device_id: "all"}, METRICS, NOON, END)
        found.append(repr(await uow.fleet.aggregate(fleet, GRID, figures, limit=1000)))
    return found


async def remove(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId, metrics: tuple[str, ...] | None
) -> int:
    async with unit_of_work() as uow:
        removal = await uow.points.remove(Selection(device_id, metrics, NOON, END), limit=1000)
        await uow.commit()
    return removal.points


@given(readings=READINGS, removed=st.sampled_from(METRICS))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_answers_are_the_same_wherever_values_lie(
    unit_of_work: TelemetryUnitOfWorkFactory, readings: list[tuple[int, dict[str, Any]]], removed: str
) -> None:
    near, far = DeviceId(uuid4()), DeviceId(uuid4())
    await give_places(unit_of_work, near, SIDE_BY_SIDE)
    await give_places(unit_of_work, far, APART)

    assert await append(unit_of_work, near, readings) == await append(unit_of_work, far, readings)
    assert await answers(unit_of_work, near) == await answers(unit_of_work, far)
    for metrics in ((removed,), None):
        assert await remove(unit_of_work, near, metrics) == await remove(unit_of_work, far, metrics)
        assert await answers(unit_of_work, near) == await answers(unit_of_work, far)


@pytest.mark.parametrize("value", [-0.0, 0.1, 5e-324, 1e300, 1.7976931348623157e308, 2.0**53, -1.0])
async def test_a_number_far_from_the_others_comes_back_bit_by_bit(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId, value: float
) -> None:
    await give_places(unit_of_work, device_id, APART)
    await append(unit_of_work, device_id, [(0, {"a": 1.5, "c": value}), (1, {"a": value})])

    async with unit_of_work() as uow:
        points = await uow.points.range(
            Selection(device_id, None, NOON, END), order=Order.ASCENDING, after=None, limit=10
        )

    assert [repr(point.value) for point in points] == ["1.5", repr(value), repr(value)]


async def test_a_reading_is_completed_and_replaced_wherever_its_values_lie(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId
) -> None:
    await give_places(unit_of_work, device_id, APART)
    await append(unit_of_work, device_id, [(0, {"a": 1})])

    assert await append(unit_of_work, device_id, [(0, {"a": 1, "c": 3})]) == {0: Counts(stored=1, duplicates=1)}
    assert await append(unit_of_work, device_id, [(0, {"b": "x", "c": 4})]) == {0: Counts(stored=1, conflicts=1)}
    async with unit_of_work() as uow:
        latest = await uow.points.latest(device_id, None)
    assert [(point.metric, point.value) for point in latest] == [("a", 1.0), ("b", "x"), ("c", 3.0)]
