"""What was archived and dropped can be brought back whole, whoever broke off in the middle of it."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow.parquet as pq
import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.archive import ArchiveService, ArchivingService
from iotsphere.telemetry.archived import ArchivedDay
from iotsphere.telemetry.errors import ArchiveBusyError
from iotsphere.telemetry.keeping import KeepingService
from iotsphere.telemetry.model import EARLIEST, Order, Point, Reading, Selection
from iotsphere.telemetry.ports import TelemetryUnitOfWorkFactory
from repositories.availability import StoreGate
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
        archiving = ArchivingService(unit_of_work=self.unit_of_work, files=self.files, clock=lambda: NOW)
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
        return self.folder / f"day={day}" / "readings.parquet"


@pytest_asyncio.fixture
async def archive(
    engine: AsyncEngine, unit_of_work: TelemetryUnitOfWorkFactory, gate: StoreGate, tmp_path: Path
) -> AsyncIterator[Archive]:
    keeping = partial(SqlAlchemyKeepingUnitOfWork, engine, gate)
    archive = Archive(unit_of_work, keeping, engine, tmp_path / "archive", [DeviceId(uuid4()) for _ in range(2)])
    async with unit_of_work() as uow:
        present = await uow.retention.get("default")
        await uow.retention.save(replace(present, raw_days=30, archive_days=4000, changed_at=EARLIEST))
        readings = [
            Reading(device_id, OLD + timedelta(microseconds=number), VALUES)
            for device_id in archive.devices
            for number in range(3)
        ]
        await uow.points.append(readings, replace=False)
        await uow.commit()
    await archive.settle()
    yield archive
    await archive.forget()
    await archive.settle()
    await archive.worker.keep_readings()
    await archive.forget()


async def test_what_was_archived_and_dropped_comes_back_as_it_was(archive: Archive) -> None:
    before = await archive.points()
    await archive.worker.keep_readings()
    assert await archive.points() == []

    restored = await archive.restore()

    assert [day.day for day in restored] == DAYS
    assert [day.file.readings for day in restored] == [2, 4]
    assert await archive.points() == before
    # Its figures are worked out again, and nobody drops it at once.
    await archive.settle()
    await archive.worker.keep_readings()
    assert await archive.points() == before


async def test_anybody_can_read_the_files(archive: Archive) -> None:
    await archive.worker.keep_readings()

    table = pq.read_table(archive.path(DAYS[1]))
    assert table.column_names == ["device_id", "ts", "metric", "number", "other"]
    assert set(table["device_id"].to_pylist()) == {str(device_id) for device_id in archive.devices}
    assert table.num_rows == 16


async def test_a_worker_that_was_killed_while_it_wrote_is_followed_by_another(archive: Archive) -> None:
    before = await archive.points()
    archive.path(DAYS[0]).parent.mkdir(parents=True)
    archive.path(DAYS[0]).with_suffix(".partial").write_bytes(b"PAR1 and no more")
    # This one had its name already, and had not yet been put in the catalogue.
    archive.path(DAYS[1]).parent.mkdir(parents=True)
    archive.path(DAYS[1]).write_bytes(b"PAR1 and no more")

    await archive.worker.keep_readings()
    assert await archive.points() == []
    await archive.restore()

    assert await archive.points() == before
    assert [finding.is_well for finding in await archive.service.examine()] == [True]


async def test_a_worker_that_was_killed_before_it_dropped_is_followed_by_another(archive: Archive) -> None:
    before = await archive.points()
    async with archive.keeping() as keeping:
        [chunk] = [each for each in await keeping.chunks.list(before=NOW) if each.start <= OLD < each.end]
        archiving = ArchivingService(unit_of_work=archive.unit_of_work, files=archive.files, clock=lambda: NOW)
        await archiving.archive_chunk(chunks=keeping.chunks, chunk=chunk)
    assert await archive.points() == before
    written = archive.path(DAYS[0]).stat().st_mtime_ns

    await archive.worker.keep_readings()

    assert await archive.points() == []
    assert archive.path(DAYS[0]).stat().st_mtime_ns == written
    await archive.restore()
    assert await archive.points() == before


async def test_with_a_full_disk_nothing_is_dropped(archive: Archive) -> None:
    before = await archive.points()
    archive.path(DAYS[1]).parent.mkdir(parents=True)
    partial_file = archive.path(DAYS[1]).with_suffix(".partial")
    partial_file.symlink_to("/dev/full")

    with pytest.raises(UnavailableError, match="No space left"):
        await archive.worker.keep_readings()
    assert await archive.points() == before

    partial_file.unlink()
    await archive.worker.keep_readings()
    assert await archive.points() == []
    await archive.restore()
    assert await archive.points() == before


async def test_without_a_folder_nothing_is_dropped(archive: Archive) -> None:
    before = await archive.points()
    nowhere = ArchivingService(unit_of_work=archive.unit_of_work, files=ParquetArchiveFiles(None), clock=lambda: NOW)
    worker = KeepingService(
        unit_of_work=archive.unit_of_work, keeping=archive.keeping, archiving=nowhere, clock=lambda: NOW
    )

    with pytest.raises(UnavailableError, match="IOTSPHERE_ARCHIVE_DIR"):
        await worker.keep_readings()

    assert await archive.points() == before


async def test_files_that_are_gone_or_altered_are_found(archive: Archive) -> None:
    await archive.worker.keep_readings()
    archive.path(DAYS[0]).unlink()
    content = bytearray(archive.path(DAYS[1]).read_bytes())
    content[len(content) // 2] ^= 1
    archive.path(DAYS[1]).write_bytes(content)

    [finding] = await archive.service.examine()

    assert not finding.is_well
    assert "2 of 2 files are missing or altered: 2026-03-15, 2026-03-16." in finding.detail


async def test_several_workers_archive_it_once(archive: Archive) -> None:
    before = await archive.points()

    await asyncio.gather(*(archive.worker.keep_readings() for _ in range(4)))

    assert await archive.points() == []
    await archive.restore()
    assert await archive.points() == before


async def test_nothing_is_restored_under_a_worker_that_is_dropping(archive: Archive) -> None:
    await archive.worker.keep_readings()
    async with archive.keeping() as worker:
        assert await worker.chunks.claim()
        with pytest.raises(ArchiveBusyError):
            await archive.restore()


async def test_the_command_line_lists_and_restores(archive: Archive, dsn: str) -> None:
    before = await archive.points()
    await archive.worker.keep_readings()
    environment = os.environ | {"IOTSPHERE_TELEMETRY_DSN": dsn, "IOTSPHERE_ARCHIVE_DIR": str(archive.folder)}
    wanted = "--start", "2026-03-16T00:00:00Z", "--end", "2026-03-17T00:00:00Z"

    listed = await conduct(environment, "list")
    restored = await conduct(environment, "restore", *wanted)

    assert [day["day"] for day in listed["days"]] == ["2026-03-15", "2026-03-16"]
    assert [day["readings"] for day in restored["days"]] == [4]
    assert await archive.points() == [point for point in before if point.ts.date() == DAYS[1]]


async def conduct(environment: Mapping[str, str], *arguments: str) -> Any:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "iotsphere", "archive", *arguments, "--json"),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    told, complaints = await process.communicate()
    assert process.returncode == 0, complaints.decode()
    return json.loads(told)
