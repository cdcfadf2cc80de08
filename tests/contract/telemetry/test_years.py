"""Readings of all ages at once. They leave hundreds of chunks behind, with which later queries take several times as
long: so this comes after the others, which is what its name is for.
"""

from datetime import timedelta

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.model import EARLIEST, Counts, Order, Reading, Selection
from iotsphere.telemetry.ports import TelemetryUnitOfWorkFactory


async def test_a_full_batch_of_any_age_is_stored_and_recognised(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId
) -> None:
    """From 2000 to today: more than three hundred chunks or partitions in one transaction."""
    readings = [
        Reading(device_id, EARLIEST + number * timedelta(hours=23), {f"m{number % 10}": 1.0})
        for number in range(10_000)
    ]

    for unsettled in ({}, {place: Counts(duplicates=1) for place in range(10_000)}):
        async with unit_of_work() as uow:
            assert await uow.points.append(readings, replace=False) == unsettled
            await uow.commit()
    async with unit_of_work() as uow:
        selection = Selection(device_id, None, EARLIEST, readings[-1].ts + timedelta(hours=1))
        points = await uow.points.range(selection, order=Order.ASCENDING, after=None, limit=50_000)
    assert [point.ts for point in points] == [reading.ts for reading in readings]
