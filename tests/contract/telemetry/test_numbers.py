from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.kernel.times import EPOCH, MICROSECOND
from iotsphere.telemetry.errors import QueryTooCostlyError
from iotsphere.telemetry.model import Numbers, Reading, Selection
from iotsphere.telemetry.ports import TelemetryUnitOfWorkFactory
from repositories.telemetry import numbers
from tests.factories.telemetry import FIRST_READING

SECOND = timedelta(seconds=1)
END = FIRST_READING + timedelta(days=1)


async def append(unit_of_work: TelemetryUnitOfWorkFactory, readings: list[Reading]) -> None:
    async with unit_of_work() as uow:
        await uow.points.append(readings, replace=False)
        await uow.commit()


async def read(
    unit_of_work: TelemetryUnitOfWorkFactory, selection: Selection, *, limit: int = 100_000
) -> dict[str, tuple[list[int], list[float]]]:
    async with unit_of_work() as uow:
        found: dict[str, Numbers] = await uow.points.numbers(selection, limit=limit)
    return {metric: (list(series.times), list(series.values)) for metric, series in found.items()}


def microseconds(ts: datetime) -> int:
    return (ts - EPOCH) // MICROSECOND


async def test_gives_numbers_alone_by_metric_and_time(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId
) -> None:
    times = [FIRST_READING + offset * MICROSECOND for offset in (0, 1, 2, 10_000_001)]
    values: list[dict[str, Any]] = [{"a": 1, "b": True}, {"b": 0.1}, {"a": "x", "c": [1]}, {"a": -2.5, "b": {"n": 1}}]
    await append(unit_of_work, [Reading(device_id, ts, each) for ts, each in zip(times, values, strict=True)][::-1])

    found = await read(unit_of_work, Selection(device_id, None, FIRST_READING, END))

    assert found == {
        "a": ([microseconds(times[0]), microseconds(times[3])], [1.0, -2.5]),
        "b": ([microseconds(times[1])], [0.1]),
    }
    assert await read(unit_of_work, Selection(device_id, ("b", "c", "x"), times[1], times[2])) == {"b": found["b"]}
    assert await read(unit_of_work, Selection(device_id, None, END, END)) == {}


@pytest.mark.parametrize(
    "ts",
    [
        datetime(2000, 1, 1, tzinfo=UTC),
        datetime(2026, 11, 20, 17, 23, 5, 123457, tzinfo=UTC),
        datetime(2038, 1, 19, 3, 14, 8, 999999, tzinfo=UTC),
        datetime(2105, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    ],
)
async def test_times_are_exact(unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId, ts: datetime) -> None:
    times = [ts + offset * MICROSECOND for offset in range(-20, 0)]
    await append(unit_of_work, [Reading(device_id, each, {"a": 1}) for each in times])

    found = await read(unit_of_work, Selection(device_id, None, times[0], ts))

    assert found["a"][0] == list(map(microseconds, times))


async def test_more_than_are_read_at_once_are_all_there(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId
) -> None:
    count = numbers.READ_AT_ONCE + 1
    readings = [Reading(device_id, FIRST_READING + second * SECOND, {"a": second}) for second in range(count)]
    for begin in range(0, count, 5000):
        await append(unit_of_work, readings[begin : begin + 5000])

    found = await read(unit_of_work, Selection(device_id, None, FIRST_READING, END))

    assert found["a"][1] == list(map(float, range(count)))


async def test_more_than_may_be_read_are_refused(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId
) -> None:
    readings = [Reading(device_id, FIRST_READING + second * SECOND, {"a": 1, "b": 2}) for second in range(5)]
    await append(unit_of_work, readings)
    everything = Selection(device_id, None, FIRST_READING, END)

    assert len(await read(unit_of_work, everything, limit=10)) == 2
    for limit in (9, 4):
        with pytest.raises(QueryTooCostlyError):
            await read(unit_of_work, everything, limit=limit)
