"""The archive: the same on the doubles, on both engines, and in files."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.archived import ArchivedDay, ArchiveFile
from iotsphere.telemetry.model import Reading
from iotsphere.telemetry.ports import ArchiveFiles, TelemetryUnitOfWorkFactory
from repositories.telemetry.archive_files import ParquetArchiveFiles
from tests.fakes.telemetry import InMemoryArchiveFiles

DAY, NEXT = date(2004, 2, 28), date(2004, 2, 29)
START = datetime(2004, 2, 28, tzinfo=UTC)
ONE, OTHER = (ArchivedDay(day, ArchiveFile(3, 2**40, "ab" * 32), archived_at=START) for day in (DAY, NEXT))


@pytest.fixture(params=["memory", "parquet"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> ArchiveFiles:
    return InMemoryArchiveFiles() if request.param == "memory" else ParquetArchiveFiles(tmp_path / "archive")


async def test_days_are_listed_by_the_range_that_they_have_a_part_in(
    unit_of_work: TelemetryUnitOfWorkFactory,
) -> None:
    async with unit_of_work() as uow:
        await uow.archive.add(OTHER)
        await uow.archive.add(ONE)
        day, moment = timedelta(days=1), timedelta(microseconds=1)
        ranges = {
            (START, START + 2 * day): [ONE, OTHER],
            (START, START + day): [ONE],
            (START, START + day + moment): [ONE, OTHER],
            (START + day - moment, START + day): [ONE],
            (START + day, START + day + moment): [OTHER],
            (START - day, START): [],
            (START + 2 * day, START + 3 * day): [],
        }
        for (start, end), expected in ranges.items():
            assert await uow.archive.list(start=start, end=end) == expected


async def test_a_day_is_added_once_changed_and_removed(unit_of_work: TelemetryUnitOfWorkFactory) -> None:
    restored = replace(ONE, restored_until=START + timedelta(days=30))
    async with unit_of_work() as uow:
        await uow.archive.save(ONE)
        assert await uow.archive.list(start=START, end=START + timedelta(days=1)) == []
        await uow.archive.add(ONE)
        await uow.archive.add(replace(ONE, archived_at=START + timedelta(days=9)))
        await uow.archive.save(restored)
        assert await uow.archive.list(start=START, end=START + timedelta(days=1)) == [restored]
        await uow.archive.remove(DAY)
        await uow.archive.remove(DAY)
        assert await uow.archive.list(start=START, end=START + timedelta(days=1)) == []


def some_readings(amount: int) -> list[Reading]:
    devices = sorted(DeviceId(uuid4()) for _ in range(2))
    values = {
        "number": 21.5,
        "largest": 1.7976931348623157e308,
        "smallest": 5e-324,
        "flag": True,
        "text": "Grüße, \U0001f600",
        "list": [1, {"a": None}],
        "object": {"ü": [True, 2.5]},
    }
    return [
        Reading(device_id, START + timedelta(microseconds=number), values if number % 2 else {"number": number + 0.5})
        for device_id in devices
        for number in range(amount)
    ]


async def in_parts(readings: list[Reading], length: int) -> AsyncIterator[list[Reading]]:
    for begin in range(0, len(readings), length):
        yield readings[begin : begin + length]


def points_of(readings: list[Reading]) -> list[tuple[DeviceId, datetime, str, object]]:
    """A reading may come in two parts, and its values in any order."""
    return sorted(
        (
            (reading.device_id, reading.ts, metric, value)
            for reading in readings
            for metric, value in reading.values.items()
        ),
        key=lambda point: point[:3],
    )


async def test_readings_come_out_of_a_file_as_they_went_in(files: ArchiveFiles) -> None:
    readings = some_readings(3000)

    written = await files.write(DAY, in_parts(readings, 700))
    found = [reading async for part in files.read(DAY) for reading in part]

    assert written is not None
    assert written.readings == len(readings)
    assert points_of(found) == points_of(readings)
    assert await files.is_intact(DAY, written)


async def test_a_day_without_readings_has_no_file(files: ArchiveFiles) -> None:
    assert await files.write(DAY, in_parts([], 1)) is None
    assert not await files.is_intact(DAY, ONE.file)


async def test_a_file_takes_the_place_of_another_and_can_be_removed(files: ArchiveFiles) -> None:
    first = await files.write(DAY, in_parts(some_readings(2), 1))
    second = await files.write(DAY, in_parts(some_readings(1), 1))
    assert first is not None
    assert second is not None

    assert not await files.is_intact(DAY, first)
    assert await files.is_intact(DAY, second)
    await files.remove(DAY)
    await files.remove(DAY)
    assert not await files.is_intact(DAY, second)
