from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest

from iotsphere.kernel.errors import RuleViolationError, UnavailableError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.archive import RESTORED_FOR
from iotsphere.telemetry.archived import ArchivedDay, ArchivedStretch, ArchiveFile, days_between, stretches_of
from iotsphere.telemetry.errors import ArchiveBusyError, ArchiveDamagedError
from tests.fakes.keeping import House
from tests.fakes.telemetry import InMemoryKeepingUnitOfWork

AUGUST, SEPTEMBER = (datetime(2026, month, 1, tzinfo=UTC) for month in (8, 9))
DAY = date(2026, 8, 15)


async def archived_house(*months: int) -> House:
    """Give one in which the middle of each of these months was archived and dropped."""
    house = House()
    house.store(*months)
    await house.retention.redefine_class(name="default", raw_days=30, archive_days=400)
    house.clock.advance(minutes=10)
    await house.keeping.keep_readings()
    return house


def ignore(*_: object) -> None:
    """Show nobody what is done."""


async def test_what_is_dropped_is_in_the_archive() -> None:
    house = await archived_house(8, 9, 11)

    assert house.months == [11]
    listed = await house.archive.list_days(start=AUGUST, end=SEPTEMBER)
    assert [(archived.day, archived.file.readings) for archived in listed] == [(DAY, 1)]
    assert house.files.days == [DAY, date(2026, 9, 15)]
    assert await house.archived_only(AUGUST, SEPTEMBER) == [ArchivedStretch(listed[0].start, listed[0].end)]
    # To others it says nothing, not even when anybody's readings were archived.
    other = await house.telemetry.find_archived(device_ids=[DeviceId(uuid4())], start=AUGUST, end=SEPTEMBER)
    assert other == []
    # Of this range nothing was dropped, which is known without asking.
    assert await house.archived_only(datetime(2026, 11, 1, tzinfo=UTC), house.clock.now) == []


async def test_nothing_is_dropped_that_could_not_be_archived() -> None:
    house = House()
    house.store(7, 8)
    await house.retention.redefine_class(name="default", raw_days=30, archive_days=400)
    house.clock.advance(minutes=10)
    house.files.is_full = True

    with pytest.raises(UnavailableError):
        await house.keeping.keep_readings()
    assert house.months == [7, 8]

    house.files.is_full = False
    await house.keeping.keep_readings()
    assert house.months == []
    assert len(house.files.files) == 2


async def test_restored_readings_are_as_they_were_and_stay_for_a_while() -> None:
    house = await archived_house(8, 9)
    months: list[tuple[date, int]] = []

    restored = await house.archive.restore_days(
        start=AUGUST, end=SEPTEMBER, tell=lambda archived, count: months.append((archived.day, count))
    )

    assert [archived.day for archived in restored] == [DAY]
    assert months == [(DAY, 1)]
    assert house.months == [8]
    assert await house.archived_only(AUGUST, SEPTEMBER) == []
    house.clock.now += RESTORED_FOR - timedelta(microseconds=1)
    await house.keeping.keep_readings()
    assert house.months == [8]

    house.clock.now += timedelta(microseconds=1)
    house.data.stale.clear()
    await house.keeping.keep_readings()
    assert house.months == []
    assert len(await house.archived_only(AUGUST, SEPTEMBER)) == 1


async def test_to_restore_again_changes_nothing() -> None:
    house = await archived_house(8)
    for _ in range(2):
        await house.archive.restore_days(start=AUGUST, end=SEPTEMBER, tell=ignore)

    assert house.months == [8]


async def test_what_is_altered_is_not_restored_and_is_found() -> None:
    house = await archived_house(8, 9)
    house.files.files[house.data.archived[DAY, 0].found].clear()

    with pytest.raises(ArchiveDamagedError):
        await house.archive.restore_days(start=AUGUST, end=SEPTEMBER, tell=ignore)

    assert house.months == []
    finding = (await house.archive.examine())[0]
    assert not finding.is_well
    assert finding.detail.startswith("1 of 2 files are missing or altered: 2026-08-15.")


async def test_nothing_is_restored_while_a_worker_is_at_it() -> None:
    house = await archived_house(8)
    async with InMemoryKeepingUnitOfWork(house.data) as worker:
        await worker.chunks.claim()
        with pytest.raises(ArchiveBusyError):
            await house.archive.restore_days(start=AUGUST, end=SEPTEMBER, tell=ignore)


async def test_archived_days_go_when_they_are_past_their_age() -> None:
    house = await archived_house(8, 9)
    house.clock.now = datetime(2026, 8, 16, tzinfo=UTC) + timedelta(days=400)

    await house.keeping.keep_readings()

    assert house.files.days == [date(2026, 9, 15)]
    assert sorted(house.data.archived) == [(date(2026, 9, 15), 0)]


async def test_the_archive_has_to_be_kept_for_longer_than_the_readings() -> None:
    house = House()
    for raw_days, archive_days in ((30, 30), (None, 30)):
        with pytest.raises(RuleViolationError):
            await house.retention.redefine_class(name="default", raw_days=raw_days, archive_days=archive_days)


def test_days_that_follow_one_another_are_one_stretch() -> None:
    def day_of(number: int) -> ArchivedDay:
        return ArchivedDay(date(2026, 8, number), ArchiveFile(1, 1, ""), archived_at=AUGUST)

    def time_of(number: int) -> datetime:
        return datetime(2026, 8, number, tzinfo=UTC)

    assert stretches_of(map(day_of, (1, 2, 4, 5, 6))) == [(time_of(1), time_of(3)), (time_of(4), time_of(7))]
    assert stretches_of([]) == []


def test_a_day_is_between_if_some_part_of_it_is() -> None:
    moment = timedelta(microseconds=1)

    assert list(days_between(AUGUST, AUGUST)) == []
    assert list(days_between(AUGUST + moment, AUGUST + timedelta(days=1))) == [date(2026, 8, 1)]
    assert list(days_between(AUGUST, AUGUST + timedelta(days=1) + moment)) == [date(2026, 8, 1), date(2026, 8, 2)]
