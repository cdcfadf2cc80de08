"""When devices were last heard of: noted in memory, and written down now and then, for many of them at once."""

from datetime import datetime, timedelta

from iotsphere.kernel.clock import Clock
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.registry.ports import RegistryUnitOfWorkFactory

# A device that is heard of all the time is written down this often, by each process.
REST = timedelta(seconds=5)
# While the registry is away, contacts of so many devices are kept; further devices are noted when there is room.
MOST_DEVICES = 100_000
AT_ONCE = 1000


class ContactService:
    """Keeps the moment at which each device was last heard of, without a write per message."""

    def __init__(
        self, *, unit_of_work: RegistryUnitOfWorkFactory, clock: Clock, most_devices: int = MOST_DEVICES
    ) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._most_devices = most_devices
        self._noted: dict[DeviceId, datetime] = {}
        self._resting: dict[DeviceId, datetime] = {}

    def note_contact(self, *, device_id: DeviceId, seen_at: datetime | None = None) -> None:
        """Note that a device was heard of now, or at another moment; the latest counts."""
        moment = self._clock() if seen_at is None else seen_at
        noted = self._noted.get(device_id)
        if noted is None and len(self._noted) >= self._most_devices:
            return
        if noted is None or noted < moment:
            self._noted[device_id] = moment

    async def write_contacts(self, *, also_resting: bool = False) -> None:
        """Write down what was noted of devices that were not written down a moment ago, or of ``also_resting`` ones.

        What cannot be written stays noted.
        """
        now = self._clock()
        # A clock that was set back must not make anybody rest for long.
        self._resting = {
            device_id: written_at
            for device_id, written_at in self._resting.items()
            if timedelta(0) <= now - written_at < REST
        }
        due = [device_id for device_id in self._noted if also_resting or device_id not in self._resting]
        for start in range(0, len(due), AT_ONCE):
            await self._write({device_id: self._noted[device_id] for device_id in due[start : start + AT_ONCE]}, now)

    async def _write(self, contacts: dict[DeviceId, datetime], now: datetime) -> None:
        async with self._unit_of_work() as uow:
            await uow.devices.save_contacts(contacts)
            await uow.commit()
        self._resting |= dict.fromkeys(contacts, now)
        for device_id, seen_at in contacts.items():
            # Who was heard of again meanwhile stays noted.
            if self._noted[device_id] == seen_at:
                del self._noted[device_id]
