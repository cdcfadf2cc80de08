"""Readings that a gateway hands in for many devices: the registry knows whose they are, and telemetry keeps them."""

from collections.abc import Sequence

from iotsphere.kernel.clock import Clock
from iotsphere.kernel.errors import DomainError
from iotsphere.kernel.identifiers import OrganisationId
from iotsphere.registry.contacts import ContactService
from iotsphere.registry.errors import DeviceNotFoundError, DeviceSuspendedError
from iotsphere.registry.model import DeviceStatus
from iotsphere.registry.service import DeviceRegistryService
from iotsphere.telemetry.decoding import Refusal
from iotsphere.telemetry.gathered import GivenReading
from iotsphere.telemetry.model import Counts, IntakeReport, Rejection
from iotsphere.telemetry.service import TelemetryService


class TelemetryIntakeWorkflow:
    def __init__(
        self, *, devices: DeviceRegistryService, contacts: ContactService, telemetry: TelemetryService, clock: Clock
    ) -> None:
        self._devices = devices
        self._contacts = contacts
        self._telemetry = telemetry
        self._clock = clock

    async def record_gathered(
        self, *, organisation_id: OrganisationId, given: Sequence[GivenReading], replaces: bool
    ) -> IntakeReport:
        """Store readings of many devices of the organisation; the report tells of each by its place.

        Those of devices that are not there, or not in this organisation, are rejected and in nobody's ledger.
        A device was heard of when its latest reading was taken.

        :raises UnavailableError: nothing of it was stored, or it took too long: then it may be stored yet.
        """
        if not given:
            return IntakeReport(Counts())
        statuses = await self._devices.find_statuses(
            organisation_id=organisation_id, device_ids={reading.device_id for reading in given}
        )
        lost = [reading for reading in given if reading.device_id not in statuses]
        known = [reading for reading in given if reading.device_id in statuses] if lost else given
        suspended = [device_id for device_id, status in statuses.items() if status is DeviceStatus.SUSPENDED]
        refused = dict.fromkeys(suspended, _refusal(DeviceSuspendedError()))
        report = IntakeReport(Counts())
        if known:
            report = await self._telemetry.record_gathered(
                given=known, refused=refused, replaces=replaces, organisation_id=organisation_id
            )
            self._note_contacts(report)
        not_found = _refusal(DeviceNotFoundError())
        return IntakeReport(
            report.counts + Counts(rejected=sum(reading.size for reading in lost)),
            report.rejections + [Rejection(reading.place, *not_found) for reading in lost],
        )

    def _note_contacts(self, report: IntakeReport) -> None:
        # What was recorded long ago tells nothing of today, and a device's clock may be fast.
        now = self._clock()
        for device_id, taken_at in report.latest.items():
            self._contacts.note_contact(device_id=device_id, seen_at=min(taken_at, now))


def _refusal(error: DomainError) -> Refusal:
    return Refusal(error.code, error.detail)
