"""A store of which some days are archived, and whoever does it."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.archive import ArchiveService, ArchivingService
from iotsphere.telemetry.archived import ArchivedDay
from iotsphere.telemetry.keeping import KeepingService
from iotsphere.telemetry.model import EARLIEST, Order, Point, Selection
from iotsphere.telemetry.ports import ArchiveFiles, TelemetryUnitOfWorkFactory
from iotsphere.telemetry.service import TelemetryService
from repositories.telemetry.archive_files import ParquetArchiveFiles
from repositories.telemetry.unit_of_work import SqlAlchemyKeepingUnitOfWork

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
OLD = datetime(2026, 3, 15, 23, 59, 59, 999999, tzinfo=UTC)
DAYS = [date(2026, 3, 15), date(2026, 3, 16)]
VALUES: dict[str, Any] = {"a": 1.5, "flag": False, "text": "heat", "list": [1, {"b": None}]}


def ignore(*_: object) -> None:
    """Show nobody what is done."""


@dataclass
class Archive:
    """A store of which all readings of March shall be archived and dropped: two devices', around a midnight."""

    unit_of_work: TelemetryUnitOfWorkFactory
    keeping: partial[SqlAlchemyKeepingUnitOfWork]
    engine: AsyncEngine
    folder: Path
    devices: list[DeviceId]

    @property
    def files(self) -> ParquetArchiveFiles:
        return ParquetArchiveFiles(self.folder)

    @property
    def worker(self) -> KeepingService:
        return self.worker_with(self.files)

    def worker_with(self, files: ArchiveFiles) -> KeepingService:
        archiving = ArchivingService(files=files, clock=lambda: NOW)
        return KeepingService(
            unit_of_work=self.unit_of_work, keeping=self.keeping, archiving=archiving, clock=lambda: NOW
        )

    @property
    def service(self) -> ArchiveService:
        return ArchiveService(
            unit_of_work=self.unit_of_work, keeping=self.keeping, files=self.files, clock=lambda: NOW
        )

    async def points(self) -> list[Point]:
        found: list[Point] = []
        for device_id in self.devices:
            selection = Selection(device_id, None, EARLIEST, NOW)
            async with self.unit_of_work() as uow:
                found += await uow.points.range(selection, order=Order.ASCENDING, after=None, limit=1000)
        return found

    async def remove(self, device_id: DeviceId, *metrics: str) -> int:
        telemetry = TelemetryService(unit_of_work=self.unit_of_work, clock=lambda: NOW)
        return sum([each async for each in telemetry.remove_points(device_id=device_id, metrics=metrics or None)])

    async def restore(self) -> list[ArchivedDay]:
        return await self.service.restore_days(start=EARLIEST, end=NOW, tell=ignore)

    async def forget(self) -> None:
        async with self.engine.begin() as connection:
            await connection.execute(sa.text("DELETE FROM archived_days"))

    async def settle(self) -> None:
        async with self.engine.begin() as connection:
            # As if the figures had been worked out.
            await connection.execute(sa.text("DELETE FROM stale_hours"))

    def path(self, day: date) -> Path:
        """The one file of the day."""
        [path] = (self.folder / f"day={day}").iterdir()
        return path
