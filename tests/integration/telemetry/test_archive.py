"""What was archived and dropped can be brought back whole, whoever broke off in the middle of it."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

import pyarrow.parquet as pq
import pytest

from iotsphere.kernel.errors import UnavailableError
from iotsphere.telemetry.archive import ArchivingService
from iotsphere.telemetry.errors import ArchiveBusyError
from repositories.telemetry.archive_files import ParquetArchiveFiles
from tests.integration.telemetry.archive_scene import DAYS, NOW, OLD, Archive


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
    for day, name in zip(DAYS, ("0123456789abcdef.partial", "readings-0123456789abcdef.parquet"), strict=True):
        # The second had its name already, and had not yet been put in the catalogue.
        (archive.folder / f"day={day}").mkdir(parents=True)
        (archive.folder / f"day={day}" / name).write_bytes(b"PAR1 and no more")

    await archive.worker.keep_readings()
    assert await archive.points() == []
    await archive.worker.keep_readings()
    assert [archive.path(day).suffix for day in DAYS] == [".parquet"] * 2
    await archive.restore()

    assert await archive.points() == before
    assert all(finding.is_well for finding in await archive.service.examine())


async def test_a_worker_that_was_killed_before_it_dropped_is_followed_by_another(archive: Archive) -> None:
    before = await archive.points()
    async with archive.keeping() as keeping:
        [chunk] = [each for each in await keeping.chunks.list(before=NOW) if each.start <= OLD < each.end]
        archiving = ArchivingService(files=archive.files, clock=lambda: NOW)
        await archiving.archive_chunk(keeping=keeping, chunk=chunk)
    assert await archive.points() == before
    written = archive.path(DAYS[0]).stat().st_mtime_ns

    await archive.worker.keep_readings()

    assert await archive.points() == []
    assert archive.path(DAYS[0]).stat().st_mtime_ns == written
    await archive.restore()
    assert await archive.points() == before


async def test_with_a_full_disk_nothing_is_dropped(archive: Archive) -> None:
    before = await archive.points()
    unfinished = archive.folder / f"day={DAYS[1]}" / "token.partial"
    unfinished.parent.mkdir(parents=True)
    unfinished.symlink_to("/dev/full")
    worker = archive.worker_with(ParquetArchiveFiles(archive.folder, new_token=lambda: "token"))

    with pytest.raises(UnavailableError, match="No space left"):
        await worker.keep_readings()
    assert await archive.points() == before
    assert not unfinished.is_symlink()

    await worker.keep_readings()
    assert await archive.points() == []
    await archive.restore()
    assert await archive.points() == before


async def test_without_a_folder_nothing_is_dropped(archive: Archive) -> None:
    before = await archive.points()

    with pytest.raises(UnavailableError, match="IOTSPHERE_ARCHIVE_DIR"):
        await archive.worker_with(ParquetArchiveFiles(None)).keep_readings()

    assert await archive.points() == before


async def test_files_that_are_gone_or_altered_are_found(archive: Archive) -> None:
    await archive.worker.keep_readings()
    archive.path(DAYS[0]).unlink()
    content = bytearray(archive.path(DAYS[1]).read_bytes())
    content[len(content) // 2] ^= 1
    archive.path(DAYS[1]).write_bytes(content)

    finding = (await archive.service.examine())[0]

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
