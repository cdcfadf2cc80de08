from datetime import timedelta
from functools import partial
from uuid import uuid4

import pytest

from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.registry.contacts import REST, ContactService
from iotsphere.registry.model import Device, DeviceStatus
from tests.factories.registry import build_device
from tests.fakes.identity import ManualClock
from tests.fakes.registry import InMemoryRegistryUnitOfWork, RegistryTables, UnreachableUnitOfWork


class Bench:
    """Contacts on a registry that counts transactions and may be taken away."""

    def __init__(self) -> None:
        self.tables = RegistryTables()
        self.clock = ManualClock()
        self.is_up = True
        self.writes = 0
        self.contacts = self.service()

    def service(self, **given: int) -> ContactService:
        return ContactService(unit_of_work=self.unit_of_work, clock=self.clock, **given)

    def unit_of_work(self) -> InMemoryRegistryUnitOfWork:
        self.writes += 1
        return InMemoryRegistryUnitOfWork(self.tables) if self.is_up else UnreachableUnitOfWork(self.tables)

    def add_device(self) -> Device:
        device = build_device(status=DeviceStatus.ACTIVE)
        self.tables.devices[device.id] = device
        return device

    def seconds_unwritten(self, device: Device) -> float:
        seen_at = self.tables.devices[device.id].last_seen_at
        assert seen_at is not None
        return (self.clock.now - seen_at).total_seconds()


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_many_contacts_of_many_devices_are_one_write(bench: Bench) -> None:
    devices = [bench.add_device() for _ in range(50)]
    for device in devices * 20:
        bench.contacts.note_contact(device_id=device.id)

    await bench.contacts.write_contacts()

    assert bench.writes == 1
    assert {bench.seconds_unwritten(device) for device in devices} == {0}


async def test_nothing_noted_is_no_write(bench: Bench) -> None:
    await bench.contacts.write_contacts()

    assert bench.writes == 0


async def test_a_device_that_never_stops_talking_is_written_down_every_five_seconds(bench: Bench) -> None:
    device = bench.add_device()
    longest = 0.0
    for _ in range(21):
        bench.contacts.note_contact(device_id=device.id)
        await bench.contacts.write_contacts()
        longest = max(longest, bench.seconds_unwritten(device))
        bench.clock.advance(seconds=1)

    assert bench.writes == 5
    assert longest == REST.total_seconds() - 1


async def test_the_last_word_of_a_device_is_written_down_although_no_other_follows(bench: Bench) -> None:
    device = bench.add_device()
    bench.contacts.note_contact(device_id=device.id)
    await bench.contacts.write_contacts()
    bench.clock.advance(seconds=2)
    bench.contacts.note_contact(device_id=device.id)
    last_word = bench.clock.now
    await bench.contacts.write_contacts()
    assert bench.seconds_unwritten(device) == 2

    bench.clock.advance(seconds=3)
    await bench.contacts.write_contacts()

    assert bench.tables.devices[device.id].last_seen_at == last_word


async def test_whoever_ends_writes_down_everything(bench: Bench) -> None:
    device = bench.add_device()
    for _ in range(2):
        bench.clock.advance(seconds=1)
        bench.contacts.note_contact(device_id=device.id)
        await bench.contacts.write_contacts(also_resting=True)

    assert bench.seconds_unwritten(device) == 0


async def test_an_outage_makes_it_later_and_loses_nothing(bench: Bench) -> None:
    devices = [bench.add_device() for _ in range(1500)]
    for device in devices:
        bench.contacts.note_contact(device_id=device.id)
    bench.is_up = False
    with pytest.raises(UnavailableError):
        await bench.contacts.write_contacts()
    assert {bench.tables.devices[device.id].last_seen_at for device in devices} == {None}

    bench.is_up = True
    await bench.contacts.write_contacts()

    assert {bench.seconds_unwritten(device) for device in devices} == {0}


async def test_however_long_the_outage_there_is_an_end_to_what_is_noted(bench: Bench) -> None:
    contacts = bench.service(most_devices=2)
    first, second, third = bench.add_device(), bench.add_device(), bench.add_device()
    for device in (first, second, third):
        contacts.note_contact(device_id=device.id)
    bench.clock.advance(seconds=1)
    contacts.note_contact(device_id=first.id)

    await contacts.write_contacts()

    assert bench.seconds_unwritten(first) == 0
    assert bench.seconds_unwritten(second) == 1
    assert bench.tables.devices[third.id].last_seen_at is None


async def test_a_device_that_speaks_while_it_is_written_down_stays_noted(bench: Bench) -> None:
    device = bench.add_device()

    class Slow(InMemoryRegistryUnitOfWork):
        async def commit(self) -> None:
            await super().commit()
            bench.clock.advance(seconds=1)
            contacts.note_contact(device_id=device.id)

    contacts = ContactService(unit_of_work=partial(Slow, bench.tables), clock=bench.clock)
    contacts.note_contact(device_id=device.id)
    await contacts.write_contacts()
    assert bench.seconds_unwritten(device) == 1

    await contacts.write_contacts(also_resting=True)

    assert bench.seconds_unwritten(device) == 1  # a second after that, in turn


async def test_a_clock_that_was_set_back_keeps_nobody_from_being_written_down(bench: Bench) -> None:
    device = bench.add_device()
    bench.contacts.note_contact(device_id=device.id)
    await bench.contacts.write_contacts()
    bench.clock.advance(hours=-1)
    bench.contacts.note_contact(device_id=device.id)

    await bench.contacts.write_contacts()

    assert bench.writes == 2


async def test_of_several_moments_the_latest_counts_whichever_was_noted_last(bench: Bench) -> None:
    device = bench.add_device()
    for days_ago in (2, 1, 3):
        bench.contacts.note_contact(device_id=device.id, seen_at=bench.clock.now - timedelta(days=days_ago))
    await bench.contacts.write_contacts()
    assert bench.seconds_unwritten(device) == 86_400

    bench.contacts.note_contact(device_id=device.id, seen_at=bench.clock.now - timedelta(days=4))
    await bench.contacts.write_contacts(also_resting=True)

    assert bench.seconds_unwritten(device) == 86_400


async def test_a_device_that_nobody_knows_any_more_holds_nobody_up(bench: Bench) -> None:
    device = bench.add_device()
    for device_id in (DeviceId(uuid4()), device.id):
        bench.contacts.note_contact(device_id=device_id)

    await bench.contacts.write_contacts()

    assert bench.seconds_unwritten(device) == 0
