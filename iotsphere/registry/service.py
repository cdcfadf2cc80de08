"""The device registry: which devices there are."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from iotsphere.kernel.audit import Attempt, AuditEntry
from iotsphere.kernel.clock import Clock
from iotsphere.kernel.errors import PreconditionFailedError
from iotsphere.kernel.identifiers import DeviceId, EventId, IdSource, OrganisationId, rising
from iotsphere.kernel.pagination import Page
from iotsphere.registry.errors import SerialNumberTakenError
from iotsphere.registry.model import (
    Device,
    DeviceDraft,
    DeviceFilter,
    DeviceStatus,
    EventKind,
    OutboxEvent,
)
from iotsphere.registry.ports import RegistryUnitOfWorkFactory

# How long whoever took an event has for carrying it out before the next may try.
CLAIM = timedelta(seconds=5)
LONGEST_DELAY = timedelta(seconds=1)
# So many of the serial numbers that were found taken are named in the trail.
TAKEN_SHOWN = 5


class DeviceRegistryService:
    """Registers devices and changes them."""

    def __init__(self, *, unit_of_work: RegistryUnitOfWorkFactory, clock: Clock, new_id: IdSource) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._new_id = new_id

    async def register_device(
        self,
        *,
        attempt: Attempt,
        serial_number: str,
        device_type: str,
        name: str | None,
        labels: dict[str, str],
        asset: dict[str, Any],
    ) -> tuple[Device, OutboxEvent]:
        """Register a device, together with the event that tells the other stores of it.

        ``asset`` describes the device to the asset database, and is carried there by the event.

        :raises SerialNumberTakenError: another device of the organisation has the serial number.
        """
        now = self._clock()
        device, event = make_device(
            attempt,
            DeviceDraft(serial_number, device_type, name, labels, asset),
            now=now,
            new_id=self._new_id,
        )
        async with self._unit_of_work() as uow:
            await uow.devices.add(device)
            await uow.outbox.add(event)
            await uow.audit.add(attempt.done(f"device:{device.id}", at=now, serial_number=serial_number))
            await uow.commit()
        return device, event

    async def register_devices(
        self, *, attempt: Attempt, drafts: Sequence[DeviceDraft]
    ) -> list[tuple[Device, OutboxEvent] | None]:
        """Register many devices in one transaction, each with its event.

        Give them in the order of the drafts, with None where a serial number is taken: by another device of the
        organisation, or by an earlier draft.
        """
        now = self._clock()
        # Two for each: the device's, and its event's.
        new_id = rising(self._new_id, 2 * len(drafts))
        made = [make_device(attempt, draft, now=now, new_id=new_id) for draft in drafts]
        first = {device.serial_number: (device, event) for device, event in reversed(made)}
        async with self._unit_of_work() as uow:
            added = await uow.devices.add_untaken([device for device, _ in first.values()])
            registered = [(device, event) if device.id in added else None for device, event in made]
            if added:
                await uow.outbox.add(*(event for _, event in filter(None, registered)))
            await uow.audit.add(*_entries(attempt, [device for device, _ in made], added, now=now))
            await uow.commit()
        return registered

    async def get_device(self, *, organisation_id: OrganisationId, device_id: DeviceId) -> Device:
        """:raises DeviceNotFoundError: there is none, or not in this organisation."""
        async with self._unit_of_work() as uow:
            return await uow.devices.get(organisation_id, device_id)

    async def find_device(self, *, device_id: DeviceId) -> Device | None:
        """Give a device of any organisation: for the platform itself, never to be shown to a caller."""
        async with self._unit_of_work() as uow:
            return await uow.devices.find(device_id)

    async def find_statuses(
        self, *, organisation_id: OrganisationId, device_ids: Collection[DeviceId]
    ) -> dict[DeviceId, DeviceStatus]:
        """Give the status of each of the devices that is there in the organisation."""
        async with self._unit_of_work() as uow:
            return await uow.devices.find_statuses(organisation_id, device_ids)

    async def find_types(
        self, *, organisation_id: OrganisationId, device_ids: Collection[DeviceId]
    ) -> dict[DeviceId, str]:
        """Give the device type of each of the devices that is there in the organisation."""
        async with self._unit_of_work() as uow:
            return await uow.devices.find_types(organisation_id, device_ids)

    async def find_serial_numbers(
        self, *, organisation_id: OrganisationId, device_ids: Collection[DeviceId]
    ) -> dict[DeviceId, str]:
        """Give the serial number of each of the devices that is there in the organisation."""
        async with self._unit_of_work() as uow:
            return await uow.devices.find_serial_numbers(organisation_id, device_ids)

    async def find_ids(
        self, *, organisation_id: OrganisationId, serial_numbers: Collection[str]
    ) -> dict[str, DeviceId]:
        """Give the id of each of the devices that is there in the organisation, by its serial number."""
        async with self._unit_of_work() as uow:
            return await uow.devices.find_ids(organisation_id, serial_numbers)

    async def list_devices(
        self, *, organisation_id: OrganisationId, narrowed_to: DeviceFilter, limit: int, cursor: str | None
    ) -> Page[Device]:
        async with self._unit_of_work() as uow:
            return await uow.devices.list(organisation_id, narrowed_to, limit=limit, cursor=cursor)

    async def change_device(
        self,
        *,
        attempt: Attempt,
        device_id: DeviceId,
        expected_version: int | None,
        name: str | None = None,
        labels: dict[str, str | None] | None = None,
        status: DeviceStatus | None = None,
    ) -> Device:
        """Change what is given and leave the rest.

        :raises DeviceNotFoundError: there is none, or not in this organisation.
        :raises PreconditionFailedError: it has another version than the expected one.
        :raises TooManyLabelsError: more than 64 labels result.
        """
        async with self._unit_of_work() as uow:
            device = await uow.devices.get(attempt.organisation_id, device_id, for_update=True)
            if expected_version not in {None, device.version}:
                raise PreconditionFailedError(f"The device is at version {device.version}.")
            changed = device.change(name=name, labels=labels, status=status, changed_at=self._clock())
            await uow.devices.save(changed)
            given = {"name": name, "labels": labels, "status": status and status.value}
            details: dict[str, Any] = {field: value for field, value in given.items() if value is not None}
            await uow.audit.add(attempt.done(f"device:{device_id}", at=changed.updated_at, **details))
            await uow.commit()
        return changed

    async def record_contact(self, *, attempt: Attempt, device_id: DeviceId) -> None:
        """Note that a device was heard of; its first authenticated contact makes it active, which the trail tells."""
        now = self._clock()
        async with self._unit_of_work() as uow:
            if await uow.devices.save_contact(device_id, seen_at=now):
                await uow.audit.add(attempt.done(f"device:{device_id}", at=now, status=DeviceStatus.ACTIVE.value))
            await uow.commit()


def make_device(
    attempt: Attempt, draft: DeviceDraft, *, now: datetime, new_id: IdSource
) -> tuple[Device, OutboxEvent]:
    """Make a device, and the event that tells the other stores of it; neither is kept yet."""
    device = Device(
        id=DeviceId(new_id()),
        organisation_id=attempt.organisation_id,
        serial_number=draft.serial_number,
        device_type=draft.device_type,
        name=draft.name or draft.serial_number,
        labels=draft.labels,
        status=draft.status,
        created_at=now,
        updated_at=now,
    )
    event = OutboxEvent(
        id=EventId(new_id()),
        kind=EventKind.DEVICE_REGISTERED,
        organisation_id=device.organisation_id,
        device_id=device.id,
        payload=draft.asset,
        actor=attempt.caller.name,
        correlation_id=attempt.correlation_id,
        created_at=now,
        due_at=now + CLAIM,
    )
    return device, event


def _entries(
    attempt: Attempt, devices: Sequence[Device], added: Collection[DeviceId], *, now: datetime
) -> Iterator[AuditEntry]:
    """Give an entry for each device that was added, and one for all that were not: those may be tried at no cost."""
    taken = [device.serial_number for device in devices if device.id not in added]
    for device in devices:
        if device.id in added:
            yield attempt.done(f"device:{device.id}", at=now, serial_number=device.serial_number)
    if taken:
        yield attempt.refused(
            SerialNumberTakenError.code, at=now, count=len(taken), serial_numbers=taken[:TAKEN_SHOWN]
        )


class OutboxService:
    """Hands out the events that other stores have yet to hear of, each until it is settled."""

    def __init__(self, *, unit_of_work: RegistryUnitOfWorkFactory, clock: Clock) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock

    async def claim_due_events(self, *, limit: int) -> list[OutboxEvent]:
        """Take what is due. Who does not settle an event within 5 s loses it to the next who asks."""
        now = self._clock()
        async with self._unit_of_work() as uow:
            events = await uow.outbox.claim_due(now=now, until=now + CLAIM, limit=limit)
            await uow.commit()
        return events

    async def settle_events(self, *, events: Sequence[OutboxEvent]) -> None:
        """Note that every store has heard of them."""
        async with self._unit_of_work() as uow:
            await uow.outbox.remove(*(event.id for event in events))
            await uow.commit()

    async def postpone_events(self, *, events: Sequence[OutboxEvent]) -> None:
        """Try again later: after a tenth of a second at first, never later than a second, however often it failed."""
        attempts = max(event.attempts for event in events)
        delay = min(timedelta(seconds=0.1) * 2 ** min(attempts, 10), LONGEST_DELAY)
        async with self._unit_of_work() as uow:
            await uow.outbox.postpone(*(event.id for event in events), due_at=self._clock() + delay)
            await uow.commit()
