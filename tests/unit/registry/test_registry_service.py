from functools import partial
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import pytest

from iotsphere.kernel.actor import ActorKind
from iotsphere.kernel.errors import PreconditionFailedError
from iotsphere.kernel.identifiers import DeviceId, OrganisationId
from iotsphere.registry.errors import (
    DeviceNotFoundError,
    SerialNumberTakenError,
    TooManyLabelsError,
)
from iotsphere.registry.model import Device, DeviceFilter, DeviceStatus, EventKind, OutboxEvent
from iotsphere.registry.service import CLAIM, DeviceRegistryService
from tests.factories.identity import build_attempt
from tests.factories.registry import build_device
from tests.fakes.identity import ManualClock
from tests.fakes.registry import InMemoryRegistryUnitOfWork, RegistryTables

OURS = OrganisationId(UUID(int=1))
THEIRS = OrganisationId(UUID(int=2))


class Bench:
    """The service on a store in memory, with a clock that is set by hand."""

    def __init__(self) -> None:
        self.tables = RegistryTables()
        self.clock = ManualClock()
        numbers = count(10)
        unit_of_work = partial(InMemoryRegistryUnitOfWork, self.tables)
        self.devices = DeviceRegistryService(
            unit_of_work=unit_of_work, clock=self.clock, new_id=lambda: UUID(int=next(numbers))
        )

    async def register(self, **given: Any) -> tuple[Device, OutboxEvent]:
        description: dict[str, Any] = {
            "attempt": build_attempt(organisation_id=OURS),
            "serial_number": "SN-1",
            "device_type": "pump",
            "name": None,
            "labels": {},
            "asset": {},
        }
        return await self.devices.register_device(**description | given)

    async def change(self, device: Device, **given: Any) -> Device:
        options: dict[str, Any] = {"attempt": build_attempt(organisation_id=OURS), "expected_version": None} | given
        return await self.devices.change_device(device_id=device.id, **options)

    async def contact(self, device: Device) -> None:
        attempt = build_attempt(kind=ActorKind.DEVICE, id=device.id, organisation_id=OURS)
        await self.devices.record_contact(attempt=attempt, device_id=device.id)

    def add(self, **given: Any) -> Device:
        device = build_device(organisation_id=OURS, **given)
        self.tables.devices[device.id] = device
        return device


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_registered_device_is_provisioned_and_was_never_seen(bench: Bench) -> None:
    device, _ = await bench.register(name="Boiler", labels={"site": "north"})

    assert device == Device(
        id=DeviceId(UUID(int=10)),
        organisation_id=OURS,
        serial_number="SN-1",
        device_type="pump",
        name="Boiler",
        labels={"site": "north"},
        status=DeviceStatus.PROVISIONED,
        last_seen_at=None,
        created_at=bench.clock.now,
        updated_at=bench.clock.now,
        version=1,
    )
    assert await bench.devices.get_device(organisation_id=OURS, device_id=device.id) == device


async def test_a_device_without_a_name_goes_by_its_serial_number(bench: Bench) -> None:
    device, _ = await bench.register(name=None)

    assert device.name == "SN-1"


async def test_the_event_is_kept_with_the_device_and_left_to_whoever_registers(bench: Bench) -> None:
    device, event = await bench.register(asset={"asset_type": "pump"})

    assert bench.tables.outbox == {event.id: event}
    assert (event.kind, event.organisation_id, event.device_id) == (EventKind.DEVICE_REGISTERED, OURS, device.id)
    assert (event.correlation_id, event.attempts, event.created_at) == ("request-1", 0, bench.clock.now)
    assert event.payload["asset_type"] == "pump"
    assert event.due_at == bench.clock.now + CLAIM


async def test_a_taken_serial_number_leaves_neither_device_nor_event(bench: Bench) -> None:
    await bench.register()
    before = bench.tables.copy()

    with pytest.raises(SerialNumberTakenError):
        await bench.register(name="Another")

    assert bench.tables == before


async def test_another_organisation_may_use_the_serial_number(bench: Bench) -> None:
    await bench.register()

    device, _ = await bench.register(attempt=build_attempt(organisation_id=THEIRS))

    assert device.organisation_id == THEIRS


async def test_a_changed_device_is_kept(bench: Bench) -> None:
    device = bench.add(labels={"a": "1"})
    bench.clock.advance(seconds=1)

    changed = await bench.change(
        device, name="New", labels={"a": None, "b": "2"}, status=DeviceStatus.SUSPENDED, expected_version=1
    )

    assert changed == bench.tables.devices[device.id]
    assert (changed.name, changed.labels, changed.status) == ("New", {"b": "2"}, DeviceStatus.SUSPENDED)
    assert (changed.version, changed.updated_at) == (2, bench.clock.now)


@pytest.mark.parametrize("expected_version", [-1, 0, 1, 3])
async def test_a_change_of_another_version_is_refused_and_not_kept(bench: Bench, expected_version: int) -> None:
    device = bench.add(version=2)

    with pytest.raises(PreconditionFailedError, match="version 2"):
        await bench.change(device, name="New", expected_version=expected_version)

    assert bench.tables.devices == {device.id: device}


async def test_a_change_that_breaks_a_rule_is_not_kept(bench: Bench) -> None:
    device = bench.add(labels={str(number): "" for number in range(64)})

    with pytest.raises(TooManyLabelsError):
        await bench.change(device, name="New", labels={"one more": ""})

    assert bench.tables.devices == {device.id: device}


async def test_nobody_else_sees_or_changes_a_device(bench: Bench) -> None:
    device = bench.add()

    for call in (
        bench.devices.get_device(organisation_id=THEIRS, device_id=device.id),
        bench.change(device, attempt=build_attempt(organisation_id=THEIRS), name="Stolen"),
        bench.devices.get_device(organisation_id=OURS, device_id=DeviceId(uuid4())),
    ):
        with pytest.raises(DeviceNotFoundError):
            await call

    page = await bench.devices.list_devices(organisation_id=THEIRS, narrowed_to=DeviceFilter(), limit=5, cursor=None)
    assert page.items == []
    assert bench.tables.devices == {device.id: device}


async def test_the_first_contact_makes_a_device_active(bench: Bench) -> None:
    device = bench.add(status=DeviceStatus.PROVISIONED)

    await bench.contact(device)

    active = bench.tables.devices[device.id]
    assert (active.status, active.last_seen_at) == (DeviceStatus.ACTIVE, bench.clock.now)
    [entry] = bench.tables.audit.values()
    assert (entry.actor, entry.target, entry.at) == (f"device:{device.id}", f"device:{device.id}", bench.clock.now)
    assert (entry.action, entry.details) == ("do_something", {"status": "active"})


@pytest.mark.parametrize("status", [DeviceStatus.ACTIVE, DeviceStatus.SUSPENDED, DeviceStatus.RETIRED])
async def test_a_contact_that_changes_nothing_is_no_matter_for_the_trail(bench: Bench, status: DeviceStatus) -> None:
    device = bench.add(status=status)

    await bench.contact(device)

    assert bench.tables.devices[device.id].status is status
    assert not bench.tables.audit
