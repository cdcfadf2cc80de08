"""What was removed stays removed, whoever archives, restores and removes at the same time."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import NoReturn

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.archived import ArchiveFile
from iotsphere.telemetry.model import EARLIEST, Reading, Selection
from iotsphere.telemetry.retention import DEFAULT_CLASS, RetentionClass
from repositories.telemetry.archive_files import ParquetArchiveFiles
from tests.integration.telemetry.archive_scene import DAYS, NOW, VALUES, Archive

DEADLINE_SECONDS = 10
WAITERS = sa.text("""
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
""")


def devices_in(archive: Archive) -> set[str]:
    """The devices that any file of the archive has points of, whether or not the catalogue names it."""
    return {name for path in archive.folder.glob("*/*") for name in pq.read_table(path)["device_id"].to_pylist()}


async def told_of(archive: Archive) -> set[DeviceId]:
    """The devices of which the catalogue says that there are readings in the archive."""
    async with archive.engine.connect() as connection:
        return set(await connection.scalars(sa.text("SELECT device_id FROM archived_devices")))


async def removals(archive: Archive) -> int:
    async with archive.unit_of_work() as uow:
        return len(await uow.removals.list(after=0, limit=1000))


async def test_a_device_that_is_removed_is_not_restored_and_goes_from_every_file(archive: Archive) -> None:
    before = await archive.points()
    removed, kept = archive.devices
    await archive.worker.keep_readings()

    assert await archive.remove(removed) == 0
    await archive.restore()

    assert await archive.points() == [point for point in before if point.device_id == kept]
    await archive.worker.keep_readings()
    assert devices_in(archive) == {str(kept)}
    assert await removals(archive) == 0
    assert await told_of(archive) == {kept}
    assert all(finding.is_well for finding in await archive.service.examine())
    assert [day.file.readings for day in await archive.restore()] == [1, 2]


async def test_a_removal_under_way_is_waited_for_before_anything_is_archived(archive: Archive) -> None:
    removed, kept = archive.devices
    selection = Selection(removed, None, EARLIEST, NOW)
    async with archive.unit_of_work() as uow:
        await uow.points.remove(selection, limit=100)
        await uow.removals.add(selection, removed_at=NOW)
        working = asyncio.create_task(archive.worker.keep_readings())
        async with asyncio.timeout(DEADLINE_SECONDS), archive.engine.connect() as observer:
            await observer.execution_options(isolation_level="AUTOCOMMIT")
            while not await observer.scalar(WAITERS):
                assert not working.done()
        assert not list(archive.folder.glob("*/*"))
        await uow.commit()
    await working

    # Its hours are stale now: they come first.
    await archive.settle()
    await archive.worker.keep_readings()
    assert devices_in(archive) == {str(kept)}
    assert {point.device_id for point in await archive.points()} == set()


class LateRemoval(ParquetArchiveFiles):
    """Files of a day that are written when its readings were removed from the store already."""

    def __init__(self, folder: Path, archive: Archive, device_id: DeviceId) -> None:
        super().__init__(folder)
        self._archive = archive
        self._device_id = device_id

    async def write(self, day: date, readings: AsyncIterator[list[Reading]]) -> ArchiveFile | None:
        async def with_removal() -> AsyncIterator[list[Reading]]:
            has_any = False
            async for part in readings:
                has_any = True
                yield part
            if has_any:
                await self._archive.remove(self._device_id)

        return await super().write(day, with_removal())


async def test_what_is_removed_while_it_is_archived_goes_from_the_file_again(archive: Archive) -> None:
    before = await archive.points()
    removed, kept = archive.devices

    await archive.worker_with(LateRemoval(archive.folder, archive, removed)).keep_readings()
    assert devices_in(archive) == {str(removed), str(kept)}
    # The chunk is still there, for figures of it are to be worked out without what was removed.
    assert {point.device_id for point in await archive.points()} == {kept}

    await archive.settle()
    await archive.worker.keep_readings()
    assert devices_in(archive) == {str(kept)}
    await archive.restore()
    assert await archive.points() == [point for point in before if point.device_id == kept]


async def test_what_is_removed_is_not_seen_again_while_it_is_restored(archive: Archive) -> None:
    await archive.worker.keep_readings()
    removed, kept = archive.devices
    is_over = asyncio.Event()

    async def restore_again_and_again() -> None:
        for _ in range(20):
            await archive.restore()
        is_over.set()

    restoring = asyncio.create_task(restore_again_and_again())
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not await archive.points():
            assert not restoring.done()
        await archive.remove(removed, "a", "flag", "text")
        while not is_over.is_set():
            seen = {point.metric for point in await archive.points() if point.device_id == removed}
            assert seen <= {"list"}
    await restoring
    assert {point.metric for point in await archive.points() if point.device_id == kept} == set(VALUES)


class KilledError(Exception):
    """The worker is no more."""


class Killed(ParquetArchiveFiles):
    """The worker is killed before it comes to remove a file."""

    async def remove(self, *_: object) -> NoReturn:
        raise KilledError


async def test_a_worker_that_is_killed_over_it_is_followed_by_another(archive: Archive) -> None:
    await archive.worker.keep_readings()
    removed, kept = archive.devices
    await archive.remove(removed)

    with pytest.raises(KilledError):
        await archive.worker_with(Killed(archive.folder)).keep_readings()
    # The new files are in the catalogue, and the old ones are still there.
    assert [day.file.readings for day in await archive.service.list_days(start=EARLIEST, end=NOW)] == [1, 2]
    assert devices_in(archive) == {str(removed), str(kept)}
    assert await removals(archive) == 1

    await archive.worker.keep_readings()
    assert devices_in(archive) == {str(kept)}
    assert await removals(archive) == 0
    assert [archive.path(day).suffix for day in DAYS] == [".parquet"] * 2


async def test_removals_and_changes_of_classes_wait_for_each_other_one_way_alone(
    archive: Archive,
) -> None:
    async with archive.unit_of_work() as uow:
        await uow.retention.add(RetentionClass("brief", changed_at=EARLIEST, number=1, rules=1, raw_days=7))
        # So the default class is the last that is come upon.
        await uow.retention.save(await uow.retention.get(DEFAULT_CLASS))
        await uow.commit()

    async with archive.unit_of_work() as changing:
        await changing.retention.get(DEFAULT_CLASS, for_update=True)
        removing = asyncio.create_task(archive.remove(archive.devices[0]))
        async with asyncio.timeout(DEADLINE_SECONDS), archive.engine.connect() as observer:
            await observer.execution_options(isolation_level="AUTOCOMMIT")
            while not await observer.scalar(WAITERS):
                assert not removing.done()
        await changing.retention.list(for_update=True)
    await removing
