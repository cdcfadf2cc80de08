"""Each class has an archive of its own, of the same days: what is said of one leaves the others alone."""

import asyncio
import os
import sys
from dataclasses import replace
from uuid import uuid4

import msgspec
import pytest_asyncio

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.errors import RetentionClassNotFoundError
from iotsphere.telemetry.model import EARLIEST, Reading
from iotsphere.telemetry.retention import RetentionClass, Scope
from iotsphere.telemetry.retention_rules import IntakeTerms
from tests.integration.telemetry.archive_scene import DAYS, NOW, OLD, Archive

VALUES = {"vibration": 1.5, "flag": True}


@pytest_asyncio.fixture
async def device_id(archive: Archive) -> DeviceId:
    """A device of which readings of the first day are of two classes, both to be archived."""
    device_id = DeviceId(uuid4())
    archive.devices = [device_id]
    await say(archive, archive_days=4000)
    async with archive.unit_of_work() as uow:
        await uow.points.append([Reading(device_id, OLD, VALUES)], replace=False, terms=IntakeTerms(OLD))
        await uow.commit()
    await archive.settle()
    return device_id


async def say(archive: Archive, *, archive_days: int) -> None:
    """Say for how long vibrations are kept in the archive."""
    async with archive.unit_of_work() as uow:
        try:
            present = await uow.retention.get("brief")
        except RetentionClassNotFoundError:
            present = RetentionClass(
                "brief", changed_at=EARLIEST, number=1, rules=1, scope=Scope(metrics="vib*"), raw_days=7
            )
            await uow.retention.add(present)
        await uow.retention.save(replace(present, archive_days=archive_days, dropped_before=EARLIEST))
        await uow.commit()


async def archived(archive: Archive) -> list[int]:
    days = await archive.service.list_days(start=EARLIEST, end=NOW)
    return [each.number for each in days if each.day == DAYS[0]]


async def test_what_is_of_two_classes_comes_back_as_one(archive: Archive, device_id: DeviceId) -> None:
    before = await archive.points()

    await archive.worker.keep_readings()
    assert await archive.points() == []
    assert await archived(archive) == [0, 1]
    assert len(list((archive.folder / f"day={DAYS[0]}").iterdir())) == 2
    assert all(finding.is_well for finding in await archive.service.examine())

    await archive.restore()
    assert await archive.points() == before
    await archive.settle()
    await archive.worker.keep_readings()
    assert await archive.points() == before


async def test_the_archive_of_one_class_goes_before_that_of_another(archive: Archive, device_id: DeviceId) -> None:
    await archive.worker.keep_readings()

    await say(archive, archive_days=100)
    await archive.worker.keep_readings()

    assert await archived(archive) == [0]
    await archive.restore()
    assert [point.metric for point in await archive.points()] == ["flag"]


async def test_what_is_removed_leaves_the_archive_of_its_class(archive: Archive, device_id: DeviceId) -> None:
    await archive.worker.keep_readings()

    await archive.remove(device_id, "vibration")
    for _ in range(2):
        await archive.worker.keep_readings()

    assert await archived(archive) == [0, 1]
    async with archive.unit_of_work() as uow:
        assert await uow.removals.list(after=0, limit=10) == []
    assert all(finding.is_well for finding in await archive.service.examine())
    await archive.restore()
    assert [point.metric for point in await archive.points()] == ["flag"]


async def test_the_command_line_names_days_by_their_classes_and_brings_them_back(
    archive: Archive, device_id: DeviceId, dsn: str
) -> None:
    before = await archive.points()
    await archive.worker.keep_readings()

    async def archive_told(*arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "iotsphere", "archive", *arguments),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "IOTSPHERE_TELEMETRY_DSN": dsn, "IOTSPHERE_ARCHIVE_DIR": str(archive.folder)},
        )
        out, _ = await process.communicate()
        assert process.returncode == 0
        return out.decode()

    listed = msgspec.json.decode(await archive_told("list", "--json"))["days"]
    own = [day for day in listed if day["day"] == DAYS[0].isoformat()]
    assert [(day["retention_class"], day["readings"], day["restored_until"]) for day in own] == [
        # With those of two other devices.
        ("default", 3, None),
        ("brief", 1, None),
    ]
    range_ = "--start", f"{DAYS[0]}T12:00:00Z", "--end", f"{DAYS[0]}T13:00:00Z"
    restored = await archive_told("restore", *range_)
    assert restored.count(DAYS[0].isoformat()) == 2
    assert "brief" in restored
    assert await archive.points() == before
    assert await archive_told("restore", "--start", "2010-01-01T00:00:00Z", "--end", "2010-02-01T00:00:00Z") == (
        "Nothing of that time is in the archive.\n"
    )
