"""What keeps readings, on one store and one archive in memory."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.archive import ArchiveService, ArchivingService
from iotsphere.telemetry.archived import ArchivedStretch
from iotsphere.telemetry.examination import TelemetryExamination
from iotsphere.telemetry.keeping import REMEMBERED_SECONDS, KeepingService
from iotsphere.telemetry.model import Point
from iotsphere.telemetry.retention import DEFAULT_CLASS
from iotsphere.telemetry.retention_classes import RetentionService
from iotsphere.telemetry.rollups import RollupService
from iotsphere.telemetry.service import TelemetryService
from tests.fakes.archive import InMemoryArchiveFiles
from tests.fakes.identity import ManualClock
from tests.fakes.telemetry import (
    InMemoryKeepingUnitOfWork,
    InMemoryRollupUnitOfWork,
    InMemoryTelemetryUnitOfWork,
    TelemetryData,
)

DEVICE = DeviceId(UUID(int=1))
CHANGED = datetime(2026, 11, 20, 12, tzinfo=UTC)


def build_examination(house: "House") -> TelemetryExamination:
    rollups = RollupService(unit_of_work=partial(InMemoryRollupUnitOfWork, house.data), clock=house.clock)
    return TelemetryExamination(
        unit_of_work=house.unit_of_work, keeping=house.keeping_unit_of_work, rollups=rollups, clock=house.clock
    )


@dataclass
class House:
    """The services of keeping on one store in memory, on the 20th of November at first."""

    data: TelemetryData = field(default_factory=TelemetryData)
    clock: ManualClock = field(default_factory=lambda: ManualClock(CHANGED))

    def __post_init__(self) -> None:
        self.unit_of_work = opened = partial(InMemoryTelemetryUnitOfWork, self.data)
        self.retention = RetentionService(unit_of_work=opened, clock=self.clock)
        self.files = InMemoryArchiveFiles()
        self.keeping_unit_of_work = keeping = partial(InMemoryKeepingUnitOfWork, self.data)
        self.keeping = KeepingService(
            unit_of_work=opened,
            keeping=keeping,
            archiving=ArchivingService(files=self.files, clock=self.clock),
            clock=self.clock,
        )
        self.archive = ArchiveService(unit_of_work=opened, keeping=keeping, files=self.files, clock=self.clock)
        self.seconds = 0.0
        self.telemetry = TelemetryService(unit_of_work=opened, clock=self.clock, monotonic=lambda: self.seconds)

    def store(self, *months: int) -> None:
        for month in months:
            ts = datetime(2026, month, 15, tzinfo=UTC)
            self.data.points[DEVICE, "a", ts] = Point(DEVICE, "a", ts, 1.0)

    async def archived_only(self, start: datetime, end: datetime) -> list[ArchivedStretch]:
        """Ask as a process does that remembers nothing."""
        self.seconds += REMEMBERED_SECONDS
        return await self.telemetry.find_archived(device_ids=[DEVICE], start=start, end=end)

    async def remove(self, start: datetime, end: datetime, *metrics: str) -> int:
        """Tell how many points of the store that removed."""
        removal = self.telemetry.remove_points(device_id=DEVICE, metrics=metrics or None, start=start, end=end)
        return sum([points async for points in removal])

    @property
    def months(self) -> list[int]:
        return sorted(ts.month for _, _, ts in self.data.points)

    @property
    def dropped_before(self) -> datetime:
        return self.data.classes[DEFAULT_CLASS].dropped_before
