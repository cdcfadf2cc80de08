"""What tells whether the latest values that are kept elsewhere may be believed."""

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.ports import TelemetryUnitOfWorkFactory
from tests.factories.telemetry import as_readings, build_point


async def test_an_epoch_begins_with_the_commit(unit_of_work: TelemetryUnitOfWorkFactory) -> None:
    async with unit_of_work() as uow:
        before = await uow.epochs.get()
        await uow.epochs.add()
    async with unit_of_work() as uow:
        assert await uow.epochs.get() == before
        await uow.epochs.add()
        await uow.commit()
    async with unit_of_work() as uow:
        assert await uow.epochs.get() == before + 1


async def test_a_device_is_at_rest_once_it_has_readings(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId
) -> None:
    async with unit_of_work() as uow:
        assert not await uow.epochs.is_at_rest(device_id)
        await uow.points.append(as_readings([build_point(device_id=device_id)]), replace=False)
        await uow.commit()

    async with unit_of_work() as uow:
        assert await uow.epochs.is_at_rest(device_id)
