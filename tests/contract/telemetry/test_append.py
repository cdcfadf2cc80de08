from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.model import EARLIEST, Counts, Order, Point, Reading, Selection
from iotsphere.telemetry.ports import TelemetryUnitOfWorkFactory
from tests.factories.telemetry import FIRST_READING, as_readings, build_point

STORED, DUPLICATE, CONFLICT = Counts(stored=1), Counts(duplicates=1), Counts(conflicts=1)
FAR_AHEAD = datetime(2100, 1, 1, tzinfo=UTC)


async def append(unit_of_work: TelemetryUnitOfWorkFactory, *points: Point, replace: bool = False) -> list[Counts]:
    """Hand each point in as a reading of its own; give what became of each."""
    async with unit_of_work() as uow:
        unsettled = await uow.points.append(as_readings(points), replace=replace)
        await uow.commit()
    return [unsettled.get(place, STORED) for place in range(len(points))]


async def stored(unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId) -> list[Point]:
    selection = Selection(device_id, None, EARLIEST, FAR_AHEAD)
    async with unit_of_work() as uow:
        return await uow.points.range(selection, order=Order.ASCENDING, after=None, limit=50_000)


@pytest.mark.parametrize(
    "value",
    [
        21.5,
        0.1,
        -0.0,
        5e-324,
        1.7976931348623157e308,
        2.0**53,
        True,
        False,
        "",
        "Pümpe 😀",
        "\x01\x1f\x7f",
        "null",
        [],
        {},
        [1, 2.5, None, True, "x", {"a": []}],
        {"a": {"b": 0.1}, "ä": None, "": 1e300},
    ],
)
async def test_gives_back_what_was_stored(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId, value: Any
) -> None:
    point = build_point(device_id=device_id, value=value, ts=FIRST_READING + timedelta(microseconds=1))

    assert await append(unit_of_work, point) == [STORED]

    assert await stored(unit_of_work, device_id) == [point]


async def test_gives_an_integer_back_as_a_double(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId
) -> None:
    await append(unit_of_work, build_point(device_id=device_id, value=-(2**53)))

    found = await stored(unit_of_work, device_id)

    assert [(point.value, type(point.value)) for point in found] == [(-(2.0**53), float)]


async def test_nothing_is_appended(unit_of_work: TelemetryUnitOfWorkFactory) -> None:
    assert await append(unit_of_work) == []
    assert await append(unit_of_work, replace=True) == []


async def test_nothing_is_kept_without_commit(unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId) -> None:
    async with unit_of_work() as uow:
        await uow.points.append([Reading(device_id, FIRST_READING, {"a": 1})], replace=False)

    assert await stored(unit_of_work, device_id) == []


@pytest.mark.parametrize(
    ("before", "again", "outcome"),
    [
        (1, 1, DUPLICATE),
        (1, 1.0, DUPLICATE),
        (0.0, -0.0, DUPLICATE),
        (1, 2, CONFLICT),
        (1, True, CONFLICT),
        (0, False, CONFLICT),
        (1, "1", CONFLICT),
        (True, True, DUPLICATE),
        (True, False, CONFLICT),
        ("on", "on", DUPLICATE),
        ("on", "On", CONFLICT),
        ({"a": 1, "b": 2}, {"b": 2.0, "a": 1}, DUPLICATE),
        ({"a": 1}, {"a": True}, CONFLICT),
        ({"a": 1}, {"a": None}, CONFLICT),
        ({"a": None}, {}, CONFLICT),
        ([1, 2], [2, 1], CONFLICT),
        ([1, [2]], [1, [2]], DUPLICATE),
        ([], {}, CONFLICT),
    ],
)
@pytest.mark.parametrize("apart", [True, False], ids=["in two batches", "in one batch"])
async def test_tells_a_duplicate_from_a_conflict(
    unit_of_work: TelemetryUnitOfWorkFactory,
    device_id: DeviceId,
    before: Any,
    again: Any,
    outcome: Counts,
    *,
    apart: bool,
) -> None:
    first = build_point(device_id=device_id, value=before)
    second = build_point(device_id=device_id, value=again, ts=first.ts)

    if apart:
        outcomes = [*await append(unit_of_work, first), *await append(unit_of_work, second)]
    else:
        outcomes = await append(unit_of_work, first, second)

    assert outcomes == [STORED, outcome]
    assert (await stored(unit_of_work, device_id))[0].value == before


async def test_the_point_is_made_of_device_metric_and_time(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId
) -> None:
    point = build_point(device_id=device_id)
    others = [
        build_point(device_id=uuid4(), ts=point.ts),
        build_point(device_id=device_id, metric="Temperature", ts=point.ts),
        build_point(device_id=device_id, ts=point.ts + timedelta(microseconds=1)),
    ]

    assert await append(unit_of_work, point, *others) == [STORED] * 4


async def test_a_stored_value_stays_and_what_comes_is_compared_with_it(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId
) -> None:
    point = build_point(device_id=device_id, value=1)
    await append(unit_of_work, point)
    other = build_point(device_id=device_id, value=2, ts=point.ts)

    assert await append(unit_of_work, other, point, other) == [CONFLICT, DUPLICATE, CONFLICT]
    assert [found.value for found in await stored(unit_of_work, device_id)] == [1]


async def test_replaces_in_the_order_given(unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId) -> None:
    one = build_point(device_id=device_id, value=1)
    two = build_point(device_id=device_id, value="two", ts=one.ts)
    await append(unit_of_work, two)

    outcomes = await append(unit_of_work, one, one, two, two, one, replace=True)

    assert outcomes == [STORED, DUPLICATE, STORED, DUPLICATE, STORED]
    assert [found.value for found in await stored(unit_of_work, device_id)] == [1]
    assert await append(unit_of_work, one, replace=True) == [DUPLICATE]
    assert await append(unit_of_work, two, replace=True) == [STORED]
    assert [found.value for found in await stored(unit_of_work, device_id)] == ["two"]
