"""What was removed never comes back from the archive, and goes from its files."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import pytest

from iotsphere.kernel.errors import UnavailableError
from iotsphere.telemetry.archive import ArchiveService
from iotsphere.telemetry.archived import ArchiveFile, FoundFile
from iotsphere.telemetry.errors import ArchiveBusyError
from iotsphere.telemetry.model import Point, Reading
from tests.fakes.archive import InMemoryArchiveFiles
from tests.fakes.keeping import DEVICE, House

START, NOON = datetime(2026, 8, 15, tzinfo=UTC), datetime(2026, 8, 15, 12, tzinfo=UTC)
DAY, END = date(2026, 8, 15), datetime(2026, 8, 16, tzinfo=UTC)


def ignore(*_: object) -> None:
    """Show nobody what is done."""


async def archived_house() -> House:
    """Give one of which a day of August was archived and dropped: four points, of two times and two metrics."""
    house = House()
    for ts in (START, NOON):
        for metric in "ab":
            house.data.points[DEVICE, metric, ts] = Point(DEVICE, metric, ts, 1.0)
    await house.retention.redefine_class(name="default", raw_days=30, archive_days=400)
    house.clock.advance(minutes=10)
    await house.keeping.keep_readings()
    assert house.data.points == {}
    return house


async def restored(house: House) -> list[tuple[str, datetime]]:
    await house.archive.restore_days(start=START, end=END, tell=ignore)
    return sorted((metric, ts) for _, metric, ts in house.data.points)


async def test_what_was_removed_is_not_restored() -> None:
    house = await archived_house()

    assert await house.remove(START, NOON) == 0

    assert await restored(house) == [("a", NOON), ("b", NOON)]


async def test_of_single_metrics_the_others_are_restored() -> None:
    house = await archived_house()
    await house.remove(START, END, "a", "never-sent")

    assert await restored(house) == [("b", START), ("b", NOON)]


async def test_what_was_removed_goes_from_the_file() -> None:
    house = await archived_house()
    before = house.data.archived[DAY, 0]
    await house.remove(START, NOON)
    await house.remove(NOON, END, "b")

    await house.keeping.keep_readings()

    archived = house.data.archived[DAY, 0]
    assert house.files.files == {archived.found: [Reading(DEVICE, NOON, {"a": 1.0})]}
    assert archived.file.readings == 1
    assert archived.archived_at == before.archived_at
    assert house.data.removals == {}
    assert all(finding.is_well for finding in await house.archive.examine())
    assert await restored(house) == [("a", NOON)]


async def test_a_file_that_holds_nothing_of_it_stays_as_it_is() -> None:
    house = await archived_house()
    before = house.data.archived[DAY, 0]
    await house.remove(START - timedelta(days=400), START)
    await house.remove(START, END, "c")

    await house.keeping.keep_readings()

    assert house.data.archived[DAY, 0] == before
    assert house.data.removals == {}


async def test_a_day_of_which_nothing_is_left_is_not_named() -> None:
    house = await archived_house()
    await house.remove(START, END)

    await house.keeping.keep_readings()

    assert house.files.files == {house.data.archived[DAY, 0].found: []}
    assert await house.archived_only(START, END) == []
    assert await restored(house) == []


async def test_what_is_removed_after_it_was_restored_goes_from_both() -> None:
    house = await archived_house()
    await restored(house)

    assert await house.remove(START, NOON) == 2

    assert await restored(house) == [("a", NOON), ("b", NOON)]
    await house.keeping.keep_readings()
    assert house.files.files[house.data.archived[DAY, 0].found] == [Reading(DEVICE, NOON, {"a": 1.0, "b": 1.0})]


async def test_a_removal_of_what_is_still_taken_is_not_noted() -> None:
    house = await archived_house()
    await house.remove(house.dropped_before, house.clock.now)
    assert house.data.removals == {}

    await house.remove(START, house.clock.now)
    [removal] = house.data.removals.values()
    assert (removal.start, removal.end) == (START, house.dropped_before)


async def test_what_is_removed_of_a_damaged_file_is_remembered_until_a_copy_is_there() -> None:
    house = await archived_house()
    found = house.data.archived[DAY, 0].found
    copy = house.files.files.pop(found)
    await house.remove(START, NOON)

    await house.keeping.keep_readings()
    assert len(house.data.removals) == 1
    house.clock.now += timedelta(days=1)
    assert [finding.is_well for finding in await house.archive.examine()] == [False, False]

    house.files.files[found] = copy
    assert await restored(house) == [("a", NOON), ("b", NOON)]
    await house.keeping.keep_readings()
    assert house.data.removals == {}
    assert found not in house.files.files


async def test_with_a_full_disk_it_is_remembered() -> None:
    house = await archived_house()
    before = dict(house.files.files)
    await house.remove(START, NOON)
    house.files.is_full = True

    with pytest.raises(UnavailableError):
        await house.keeping.keep_readings()
    assert len(house.data.removals) == 1
    assert house.files.files == before

    house.files.is_full = False
    await house.keeping.keep_readings()
    assert house.data.removals == {}


async def test_files_that_the_catalogue_does_not_name_go_with_the_next_round() -> None:
    house = await archived_house()
    unknown = FoundFile(date(2026, 8, 16), "readings-0000.parquet")
    house.files.files |= {
        FoundFile(DAY, "begun.partial"): [],
        FoundFile(DAY, "readings-0000.parquet"): [],
        unknown: [],
    }

    await house.keeping.keep_readings()

    # Of a day that the catalogue does not know, nobody can tell whose it is.
    assert set(house.files.files) == {house.data.archived[DAY, 0].found, unknown}


@dataclass
class Interruption(InMemoryArchiveFiles):
    """Files of which the readings are removed from the store while somebody reads them."""

    house: House
    times: int
    files: dict[FoundFile, list[Reading]] = field(default_factory=dict)
    is_full: bool = False

    async def read(self, day: date, file: ArchiveFile) -> AsyncIterator[list[Reading]]:
        async for readings in super().read(day, file):
            if self.times:
                self.times -= 1
                await self.house.remove(readings[0].ts, readings[0].ts + timedelta(microseconds=1), "a")
            yield readings


async def test_what_is_removed_while_it_is_restored_is_not_restored() -> None:
    house = await archived_house()
    files = Interruption(house, times=1, files=house.files.files)
    house.archive = ArchiveService(
        unit_of_work=house.unit_of_work, keeping=house.keeping_unit_of_work, files=files, clock=house.clock
    )

    assert await restored(house) == [("a", NOON), ("b", START), ("b", NOON)]


async def test_who_restores_from_a_file_that_was_written_anew_meanwhile_has_to_begin_again() -> None:
    house = await archived_house()

    def write_anew(*_: object) -> None:
        archived = house.data.archived[DAY, 0]
        file = archived.file._replace(sha256="0" * 64)
        house.data.archived[DAY, 0] = type(archived)(DAY, file, archived.archived_at, archived.restored_until)

    with pytest.raises(ArchiveBusyError):
        await house.archive.restore_days(start=START, end=END, tell=write_anew)
    assert sorted((metric, ts) for _, metric, ts in house.data.points) == [("a", START), ("b", START)]
