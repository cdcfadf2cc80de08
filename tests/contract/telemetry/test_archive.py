"""The archive: the same on the doubles, on both engines, and in files."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.archived import ArchivedDay, ArchiveFile, FoundFile, NotedRemoval, without_removed
from iotsphere.telemetry.errors import ArchiveDamagedError
from iotsphere.telemetry.model import Reading
from iotsphere.telemetry.ports import ArchiveFiles, TelemetryUnitOfWorkFactory
from repositories.telemetry.archive_files import ParquetArchiveFiles
from tests.fakes.archive import InMemoryArchiveFiles

DAY, NEXT = date(2004, 2, 28), date(2004, 2, 29)
START = datetime(2004, 2, 28, tzinfo=UTC)
ONE, OTHER = (ArchivedDay(day, ArchiveFile(3, 2**40, "ab" * 32), archived_at=START) for day in (DAY, NEXT))


BEFORE = START - timedelta(days=30)
DEVICES = [DeviceId(UUID(int=number)) for number in range(1, 4)]


@pytest.fixture(params=["memory", "parquet"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> ArchiveFiles:
    return InMemoryArchiveFiles() if request.param == "memory" else ParquetArchiveFiles(tmp_path / "archive")


async def test_days_are_listed_by_the_range_that_they_have_a_part_in(
    unit_of_work: TelemetryUnitOfWorkFactory,
) -> None:
    async with unit_of_work() as uow:
        await uow.archive.add(OTHER, device_ids=DEVICES)
        await uow.archive.add(ONE, device_ids=DEVICES)
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
        await uow.archive.add(ONE, device_ids=DEVICES)
        await uow.archive.add(replace(ONE, archived_at=START + timedelta(days=9)), device_ids=DEVICES)
        await uow.archive.save(restored)
        assert await uow.archive.list(start=START, end=START + timedelta(days=1)) == [restored]
        await uow.archive.remove(DAY, 0)
        await uow.archive.remove(DAY, 0)
        assert await uow.archive.list(start=START, end=START + timedelta(days=1)) == []


async def test_a_day_of_one_class_is_not_that_of_another(unit_of_work: TelemetryUnitOfWorkFactory) -> None:
    of_another = replace(ONE, number=3)
    async with unit_of_work() as uow:
        await uow.archive.add(of_another, device_ids=DEVICES)
        await uow.archive.add(ONE, device_ids=DEVICES)
        await uow.archive.save(replace(of_another, restored_until=START))
        assert await uow.archive.find(DAY, 0) == ONE
        assert await uow.archive.list(start=START, end=START + timedelta(days=1)) == [
            ONE,
            replace(of_another, restored_until=START),
        ]
        await uow.archive.remove(DAY, 3)
        assert await uow.archive.find(DAY, 3) is None
        assert await uow.archive.find(DAY, 0) == ONE


async def test_days_are_told_of_devices_that_have_readings_in_them(unit_of_work: TelemetryUnitOfWorkFactory) -> None:
    first, second, third = DEVICES
    of_another = replace(ONE, number=3)
    async with unit_of_work() as uow:

        async def told(*device_ids: DeviceId) -> list[ArchivedDay]:
            return await uow.archive.list(start=START, end=START + timedelta(days=2), device_ids=device_ids)

        await uow.archive.add(ONE, device_ids=[first, second])
        await uow.archive.add(OTHER, device_ids=[second])
        await uow.archive.add(of_another, device_ids=[third])
        assert [await told(device_id) for device_id in DEVICES] == [[ONE], [ONE, OTHER], [of_another]]
        assert await told(first, third) == [ONE, of_another]
        assert await told() == []
        await uow.archive.save(ONE, device_ids=[second])
        assert [await told(device_id) for device_id in DEVICES] == [[], [ONE, OTHER], [of_another]]
        await uow.archive.save(replace(OTHER, restored_until=START))
        await uow.archive.remove(DAY, 0)
        assert await told(second) == [replace(OTHER, restored_until=START)]
        # Whatever is archived of it later is told of again.
        await uow.archive.add(ONE, device_ids=[first])
        assert await told(first) == [ONE]


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
    assert written is not None
    found = [reading async for part in files.read(DAY, written) for reading in part]

    assert written.readings == len(readings)
    assert points_of(found) == points_of(readings)
    assert await files.is_intact(DAY, written)
    assert await files.find_devices(DAY, written) == {reading.device_id for reading in readings}


async def test_a_day_without_readings_has_no_file(files: ArchiveFiles) -> None:
    assert await files.write(DAY, in_parts([], 1)) is None
    assert not await files.is_intact(DAY, ONE.file)


async def test_a_file_lies_beside_another_of_its_day_until_it_is_removed(files: ArchiveFiles) -> None:
    assert await files.list() == []
    first = await files.write(DAY, in_parts(some_readings(2), 1))
    second = await files.write(DAY, in_parts(some_readings(1), 1))
    assert first is not None
    assert second is not None

    assert await files.is_intact(DAY, first)
    assert await files.is_intact(DAY, second)
    assert set(await files.list()) == {FoundFile(DAY, first.name), FoundFile(DAY, second.name)}
    for _ in range(2):
        await files.remove(FoundFile(DAY, first.name))
    assert not await files.is_intact(DAY, first)
    assert await files.list() == [FoundFile(DAY, second.name)]


def removal_of(device_id: DeviceId, start: datetime, end: datetime, *metrics: str, number: int = 1) -> NotedRemoval:
    return NotedRemoval(number, device_id, frozenset(metrics) or None, start, end, removed_at=START)


async def test_a_file_is_written_anew_without_what_was_removed(files: ArchiveFiles) -> None:
    # Of the five groups of rows that a file of so many has, two go altogether.
    readings = some_readings(12_500)
    first, second = (reading.device_id for reading in (readings[0], readings[-1]))
    written = await files.write(DAY, in_parts(readings, 5_000))
    assert written is not None
    moment = timedelta(microseconds=1)
    removals = [
        removal_of(first, BEFORE, START + 10_001 * moment),
        removal_of(second, START + moment, START + 3 * moment, "number", "list", "unknown"),
        removal_of(second, START + 4 * moment, START + 4 * moment),
        removal_of(DeviceId(uuid4()), BEFORE, START + timedelta(days=1)),
    ]

    anew = await files.write_without(DAY, written, removals)

    assert anew is not None
    expected = without_removed(readings, removals)
    assert points_of([each async for part in files.read(DAY, anew) for each in part]) == points_of(expected)
    assert anew.readings == len(expected) == 2_499 + 12_500 - 1
    assert await files.is_intact(DAY, anew)
    # Whoever reads it goes on doing so.
    assert await files.is_intact(DAY, written)


async def test_a_file_without_any_of_it_is_not_written_anew(files: ArchiveFiles) -> None:
    readings = some_readings(3)
    written = await files.write(DAY, in_parts(readings, 3))
    assert written is not None
    behind = START + timedelta(microseconds=3)

    for removal in (
        removal_of(readings[0].device_id, BEFORE, START),
        removal_of(readings[0].device_id, behind, behind + timedelta(days=1)),
        removal_of(readings[0].device_id, BEFORE, behind, "unknown"),
    ):
        assert await files.write_without(DAY, written, [removal]) is None


async def test_of_a_file_all_may_be_removed(files: ArchiveFiles) -> None:
    readings = some_readings(3)
    written = await files.write(DAY, in_parts(readings, 3))
    assert written is not None
    removals = [removal_of(reading.device_id, BEFORE, START + timedelta(days=1)) for reading in readings]

    anew = await files.write_without(DAY, written, removals)

    assert anew is not None
    assert anew.readings == 0
    assert [each async for part in files.read(DAY, anew) for each in part] == []
    assert await files.write_without(DAY, anew, removals) is None


async def test_a_file_that_is_missing_is_not_written_anew(files: ArchiveFiles) -> None:
    with pytest.raises(ArchiveDamagedError):
        await files.write_without(DAY, ONE.file, [removal_of(DeviceId(uuid4()), BEFORE, START)])


async def test_an_altered_file_is_not_written_anew(tmp_path: Path) -> None:
    files = ParquetArchiveFiles(tmp_path)
    readings = some_readings(3)
    written = await files.write(DAY, in_parts(readings, 3))
    assert written is not None
    path = tmp_path / f"day={DAY}" / written.name
    whole = path.read_bytes()
    for place in range(0, len(whole), 97):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with pytest.raises(ArchiveDamagedError):
            await files.write_without(
                DAY, written, [removal_of(readings[0].device_id, START, START + timedelta(days=1))]
            )
    assert [found.name for found in await files.list()] == [written.name]


async def test_what_others_leave_in_the_folder_is_none_of_ours(tmp_path: Path) -> None:
    files = ParquetArchiveFiles(tmp_path)
    written = await files.write(DAY, in_parts(some_readings(3), 3))
    assert written is not None
    folder = tmp_path / f"day={DAY}"
    (folder / "@eaDir").mkdir()
    (folder / ".nfs00000000000a2b3c00000001").touch()
    (folder / "notes.txt").touch()
    (folder / "0123abcd.partial").touch()

    assert {found.name for found in await files.list()} == {written.name, "0123abcd.partial"}
