from datetime import timedelta
from uuid import uuid4

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.model import Arrival, Counts, LedgerEntry
from iotsphere.telemetry.ports import TelemetryUnitOfWorkFactory
from tests.factories.telemetry import FIRST_READING

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
END = FIRST_READING + DAY


async def add(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId, after: timedelta, counts: Counts
) -> None:
    async with unit_of_work() as uow:
        await uow.ledger.add([Arrival(device_id, FIRST_READING + after, counts)])
        await uow.commit()


async def read(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId, length: timedelta, *, limit: int = 100
) -> list[LedgerEntry]:
    async with unit_of_work() as uow:
        return await uow.ledger.list(device_id, FIRST_READING, END, length=length, limit=limit)


async def test_sums_what_arrived_in_each_interval(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId
) -> None:
    await add(unit_of_work, device_id, timedelta(seconds=1), Counts(1, 2, 3, 4))
    await add(unit_of_work, device_id, timedelta(seconds=59), Counts(10, 20, 30, 40))
    await add(unit_of_work, device_id, 59 * MINUTE, Counts(stored=5))
    await add(unit_of_work, device_id, 5 * HOUR, Counts(rejected=7))
    await add(unit_of_work, device_id, DAY, Counts(stored=9))
    await add(unit_of_work, device_id, -timedelta(seconds=1), Counts(stored=9))

    assert await read(unit_of_work, device_id, MINUTE, limit=2) == [
        LedgerEntry(FIRST_READING, Counts(11, 22, 33, 44)),
        LedgerEntry(FIRST_READING + 59 * MINUTE, Counts(stored=5)),
    ]
    assert await read(unit_of_work, device_id, HOUR) == [
        LedgerEntry(FIRST_READING, Counts(16, 22, 33, 44)),
        LedgerEntry(FIRST_READING + 5 * HOUR, Counts(rejected=7)),
    ]
    assert await read(unit_of_work, device_id, 7 * HOUR) == [
        # Seven hours do not divide a day: counted from 1970, an interval begins at four o'clock on this one.
        LedgerEntry(FIRST_READING - 3 * HOUR, Counts(16, 22, 33, 44)),
        LedgerEntry(FIRST_READING + 4 * HOUR, Counts(rejected=7)),
    ]


async def test_takes_arrivals_of_many_devices_and_minutes_at_once(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId
) -> None:
    other = DeviceId(uuid4())
    arrivals = [
        Arrival(device, FIRST_READING + after, Counts(stored=1, rejected=2))
        for after in (HOUR, timedelta(0), timedelta(seconds=1), HOUR)
        for device in (device_id, other)
    ]
    async with unit_of_work() as uow:
        await uow.ledger.add(arrivals)
        await uow.commit()

    for device in (device_id, other):
        assert await read(unit_of_work, device, HOUR) == [
            LedgerEntry(FIRST_READING, Counts(stored=2, rejected=4)),
            LedgerEntry(FIRST_READING + HOUR, Counts(stored=2, rejected=4)),
        ]


async def test_belongs_to_one_device(unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId) -> None:
    await add(unit_of_work, device_id, MINUTE, Counts(stored=1))

    assert await read(unit_of_work, DeviceId(uuid4()), HOUR) == []


async def test_counts_nothing_without_commit(unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId) -> None:
    async with unit_of_work() as uow:
        await uow.ledger.add([Arrival(device_id, FIRST_READING, Counts(stored=1))])

    assert await read(unit_of_work, device_id, HOUR) == []
