"""The maintenance log by the line, of devices that are named as people name them: by id or by serial number."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from iotsphere.assets.maintenance import MaintenanceService
from iotsphere.assets.maintenance_event import MaintenanceDraft, MaintenanceEvent
from iotsphere.kernel.audit import Attempt
from iotsphere.kernel.errors import DomainError, UnavailableError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.registry.errors import DeviceNotFoundError
from iotsphere.registry.service import DeviceRegistryService


@dataclass(frozen=True, slots=True)
class LogLine:
    """What has happened, and to which device: a text is a serial number."""

    device: DeviceId | str
    draft: MaintenanceDraft


class MaintenanceLogWorkflow:
    def __init__(self, *, devices: DeviceRegistryService, maintenance: MaintenanceService) -> None:
        self._devices = devices
        self._maintenance = maintenance

    async def record_lines(
        self, *, attempt: Attempt, lines: Sequence[LogLine]
    ) -> list[MaintenanceEvent | DomainError]:
        """Record what many lines say; give for each the event, or why there is none.

        All that are recorded are so in one transaction, and while a store does not answer none is.
        """
        try:
            device_ids = await self._find_devices(attempt, lines)
            drafts = [(device_ids[line.device], line.draft) for line in lines if line.device in device_ids]
            recorded = iter(
                await self._maintenance.record_events(
                    organisation_id=attempt.organisation_id, recorded_by=attempt.caller.name, drafts=drafts
                )
            )
        except UnavailableError as error:
            return [error for _ in lines]
        return [next(recorded) if line.device in device_ids else DeviceNotFoundError() for line in lines]

    async def _find_devices(self, attempt: Attempt, lines: Sequence[LogLine]) -> dict[DeviceId | str, DeviceId]:
        """Give the id of each device that is there in the organisation, by what the lines call it."""
        named = {line.device for line in lines}
        ids = {DeviceId(device) for device in named if isinstance(device, UUID)}
        serial_numbers = {device for device in named if isinstance(device, str)}
        organisation_id = attempt.organisation_id
        found: dict[DeviceId | str, DeviceId] = {}
        if ids:
            there = await self._devices.find_types(organisation_id=organisation_id, device_ids=ids)
            found.update((device_id, device_id) for device_id in there)
        if serial_numbers:
            by_serial_number = await self._devices.find_ids(
                organisation_id=organisation_id, serial_numbers=serial_numbers
            )
            found.update(by_serial_number.items())
        return found
