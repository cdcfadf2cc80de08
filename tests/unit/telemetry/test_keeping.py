import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Self

import pytest

from iotsphere.kernel.errors import PreconditionFailedError, UnavailableError
from iotsphere.telemetry.errors import BatchRejectedError, RetentionClassNotFoundError
from iotsphere.telemetry.gathered import GivenReading
from iotsphere.telemetry.keeping import RetentionMemory
from iotsphere.telemetry.model import EARLIEST, Counts, StaleHour
from iotsphere.telemetry.retention import Holding, ReadingChunk, RollupDays, Scope
from tests.fakes.keeping import CHANGED, DEVICE, House
from tests.fakes.telemetry import InMemoryChunkRepository, InMemoryKeepingUnitOfWork, InMemoryTelemetryUnitOfWork

DAY = timedelta(days=1)


async def test_nothing_is_dropped_until_somebody_says_so() -> None:
    house = House()
    house.store(1, 10)

    await house.keeping.keep_readings()

    assert house.months == [1, 10]


async def test_months_that_are_past_their_age_are_dropped_whole() -> None:
    house = House()
    house.store(8, 9, 10, 11)
    await house.retention.redefine_class(name="default", raw_days=30)
    house.clock.advance(minutes=10)

    await house.keeping.keep_readings()

    # October ended 20 days ago: some of it is not 30 days old.
    assert house.months == [10, 11]
    assert house.dropped_before == datetime(2026, 10, 1, tzinfo=UTC)


async def test_what_figures_are_still_to_be_worked_out_from_is_not_dropped() -> None:
    house = House()
    house.store(7, 8, 9)
    await house.retention.redefine_class(name="default", raw_days=30)
    house.clock.advance(minutes=10)
    hour = datetime(2026, 8, 31, 23, tzinfo=UTC)
    house.data.stale[1, hour] = StaleHour(1, hour, 0)

    await house.keeping.keep_readings()
    assert house.months == [8]

    house.data.stale.clear()
    await house.keeping.keep_readings()
    assert house.months == []


async def test_a_change_takes_effect_when_every_process_has_heard_of_it() -> None:
    house = House()
    house.store(8)
    await house.retention.redefine_class(name="default", raw_days=30)
    house.clock.advance(minutes=9)

    await house.keeping.keep_readings()

    assert house.months == [8]


async def test_of_two_workers_one_keeps() -> None:
    house = House()
    house.store(8)
    await house.retention.redefine_class(name="default", raw_days=30)
    house.clock.advance(days=1)
    async with InMemoryKeepingUnitOfWork(house.data) as other:
        assert await other.chunks.claim()

        await house.keeping.keep_readings()

        assert house.months == [8]


async def test_what_is_dropped_is_said_before_it_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    house.store(8)
    await house.retention.redefine_class(name="default", raw_days=30)
    house.clock.advance(days=1)

    async def is_in_use(_: InMemoryChunkRepository, chunk: ReadingChunk) -> None:
        assert house.dropped_before == chunk.end
        raise UnavailableError("telemetry", "busy")

    with monkeypatch.context() as patch:
        patch.setattr(InMemoryChunkRepository, "remove", is_in_use)
        with pytest.raises(UnavailableError):
            await house.keeping.keep_readings()
    await house.keeping.keep_readings()

    assert house.months == []


async def test_readings_that_are_kept_no_longer_are_rejected_and_counted() -> None:
    house = House()
    await house.retention.redefine_class(name="default", raw_days=30)
    old, young = ({"ts": (CHANGED - days * DAY).isoformat(), "values": {"a": 1}} for days in (31, 29))

    report = await house.telemetry.record_readings(device_id=DEVICE, document=[old, young])
    with pytest.raises(BatchRejectedError):
        await house.telemetry.record_readings(device_id=DEVICE, document=old)

    assert report.counts == Counts(stored=1, rejected=1)
    assert [(rejection.index, rejection.code) for rejection in report.rejections] == [(0, "telemetry.point.expired")]
    assert house.data.minutes == {(DEVICE, CHANGED): Counts(stored=1, rejected=2)}


async def test_readings_of_many_devices_are_rejected_likewise() -> None:
    house = House()
    await house.retention.redefine_class(name="default", raw_days=30)
    given = [
        GivenReading(place, DEVICE, {"ts": (CHANGED - days * DAY).isoformat(), "values": {"a": 1}}, 1)
        for place, days in ((7, 31), (8, 29))
    ]

    report = await house.telemetry.record_gathered(given=given, refused={})

    assert report.counts == Counts(stored=1, rejected=1)
    assert [(rejection.index, rejection.code) for rejection in report.rejections] == [(7, "telemetry.point.expired")]


async def test_who_takes_readings_hears_of_a_change_within_half_a_minute() -> None:
    house = House()
    old = {"ts": (CHANGED - 31 * DAY).isoformat(), "values": {"a": 1}}
    await house.telemetry.record_readings(device_id=DEVICE, document=old)
    await house.retention.redefine_class(name="default", raw_days=30)

    house.seconds = 29.0
    await house.telemetry.record_readings(device_id=DEVICE, document=old)
    house.seconds = 30.0
    with pytest.raises(BatchRejectedError):
        await house.telemetry.record_readings(device_id=DEVICE, document=old)


async def test_many_who_take_readings_at_once_ask_once() -> None:
    house = House()
    asked = 0

    class CountedUnitOfWork(InMemoryTelemetryUnitOfWork):
        async def __aenter__(self) -> Self:
            nonlocal asked
            asked += 1
            await asyncio.sleep(0)
            return await super().__aenter__()

    memory = RetentionMemory(
        unit_of_work=partial(CountedUnitOfWork, house.data), clock=house.clock, monotonic=lambda: house.seconds
    )

    gone, *others = [asyncio.create_task(memory.kept_since()) for _ in range(20)]
    await asyncio.sleep(0)
    gone.cancel()

    assert await asyncio.gather(*others) == [{0: EARLIEST}] * 19
    assert asked == 1
    house.seconds = 30.0
    await memory.kept_since()
    assert asked == 2


async def test_figures_stay_as_long_as_readings_of_their_time_do() -> None:
    house = House()
    house.store(8)
    await house.retention.redefine_class(name="default", raw_days=30, rollup_days=RollupDays(minute=30))
    house.clock.advance(minutes=10)
    hour = datetime(2026, 8, 31, 23, tzinfo=UTC)
    figures = ReadingChunk(datetime(2026, 8, 1, tzinfo=UTC), datetime(2026, 9, 1, tzinfo=UTC), holds=Holding.MINUTES)
    house.data.figure_chunks.add(figures)
    house.data.stale[1, hour] = StaleHour(1, hour, 0)

    await house.keeping.keep_readings()
    assert (house.months, house.data.figure_chunks) == ([8], {figures})

    house.data.stale.clear()
    await house.keeping.keep_readings()
    assert (house.months, house.data.figure_chunks) == ([], set())


async def test_a_longer_age_brings_nothing_back() -> None:
    house = House()
    house.store(8)
    await house.retention.redefine_class(name="default", raw_days=30)
    house.clock.advance(days=1)
    await house.keeping.keep_readings()

    await house.retention.redefine_class(name="default", raw_days=None)

    assert house.dropped_before == datetime(2026, 9, 1, tzinfo=UTC)
    with pytest.raises(BatchRejectedError):
        await house.telemetry.record_readings(
            device_id=DEVICE, document={"ts": "2026-08-31T23:59:59Z", "values": {"a": 1}}
        )


async def test_a_class_is_changed_at_the_expected_version_alone() -> None:
    house = House()
    changed = await house.retention.redefine_class(name="default", raw_days=30, expected_version=1)

    with pytest.raises(PreconditionFailedError):
        await house.retention.redefine_class(name="default", raw_days=7, expected_version=1)

    assert await house.retention.get_class(name="default") == changed
    assert (changed.raw_days, changed.version, changed.dropped_before) == (30, 2, EARLIEST)


@pytest.mark.parametrize("name", ["other", "", "a\0", "Default", "default\n", "x" * 64])
async def test_there_is_no_other_class(name: str) -> None:
    house = House()
    with pytest.raises(RetentionClassNotFoundError):
        await house.retention.get_class(name=name)
    with pytest.raises(RetentionClassNotFoundError):
        await house.retention.remove_class(name=name)


async def test_a_class_goes_by_its_own_ages() -> None:
    house = House()
    await house.retention.redefine_class(name="short", raw_days=30, scope=Scope(metrics="b"))
    for days in (25, 5):
        reading = {"ts": (CHANGED - days * DAY).isoformat(), "values": {"a": 1, "b": 1}}
        await house.telemetry.record_readings(device_id=DEVICE, document=reading)
    house.data.stale.clear()
    house.clock.advance(days=60)

    await house.keeping.keep_readings()

    assert {metric for _, metric, _ in house.data.points} == {"a"}
    assert len(house.data.points) == 2
    assert house.dropped_before == EARLIEST
    assert house.data.classes["short"].dropped_before > CHANGED - 5 * DAY


async def test_of_a_reading_what_its_class_keeps_no_longer_is_rejected() -> None:
    house = House()
    await house.retention.redefine_class(name="short", raw_days=30, scope=Scope(metrics="b"))

    reading = {"ts": (CHANGED - 31 * DAY).isoformat(), "values": {"a": 1, "b": 1}}
    report = await house.telemetry.record_readings(device_id=DEVICE, document=reading)

    assert report.counts == Counts(stored=1, rejected=1, expired=1)
    assert [(rejection.index, rejection.code) for rejection in report.rejections] == [(0, "telemetry.point.expired")]


async def test_figures_are_dropped_past_ages_of_their_own() -> None:
    house = House()
    days = RollupDays(minute=30, hour=60, day=None)
    await house.retention.redefine_class(name="default", raw_days=7, rollup_days=days)
    chunks = {
        (holds, age): ReadingChunk(CHANGED - (age + 1) * DAY, CHANGED - age * DAY, 0, holds)
        for holds in (Holding.MINUTES, Holding.HOURS, Holding.DAYS)
        for age in (20, 40, 80)
    }
    house.data.figure_chunks = {*chunks.values(), ReadingChunk(EARLIEST, EARLIEST + DAY, 1, Holding.MINUTES)}
    house.clock.advance(minutes=10)

    await house.keeping.keep_readings()

    left = {key for key, chunk in chunks.items() if chunk in house.data.figure_chunks}
    assert left == {
        (Holding.MINUTES, 20),
        (Holding.HOURS, 20),
        (Holding.HOURS, 40),
        *((Holding.DAYS, age) for age in (20, 40, 80)),
    }
    assert len(house.data.figure_chunks) == len(left) + 1


async def test_a_deleted_class_goes_by_its_ages_still() -> None:
    house = House()
    await house.retention.redefine_class(name="short", raw_days=30, scope=Scope(metrics="b"))
    reading = {"ts": (CHANGED - 25 * DAY).isoformat(), "values": {"b": 1}}
    await house.telemetry.record_readings(device_id=DEVICE, document=reading)
    house.data.stale.clear()
    await house.retention.remove_class(name="short")
    house.clock.advance(days=40)

    await house.keeping.keep_readings()

    assert house.data.points == {}


async def test_what_cannot_be_done_for_one_class_keeps_no_other_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    await house.retention.redefine_class(name="brief", raw_days=30, scope=Scope(metrics="b"))
    await house.retention.redefine_class(name="default", raw_days=30)
    reading = {"ts": (CHANGED - 25 * DAY).isoformat(), "values": {"a": 1, "b": 1}}
    await house.telemetry.record_readings(device_id=DEVICE, document=reading)
    house.data.stale.clear()
    house.clock.advance(days=60)
    remove = InMemoryChunkRepository.remove

    async def is_in_use(chunks: InMemoryChunkRepository, chunk: ReadingChunk) -> None:
        if chunk.number == house.data.classes["brief"].number:
            raise UnavailableError("telemetry", "busy")
        await remove(chunks, chunk)

    monkeypatch.setattr(InMemoryChunkRepository, "remove", is_in_use)
    with pytest.raises(UnavailableError, match="busy"):
        await house.keeping.keep_readings()

    assert {metric for _, metric, _ in house.data.points} == {"b"}


async def test_an_archive_that_cannot_be_written_keeps_what_is_archived_alone() -> None:
    house = House()
    await house.retention.redefine_class(name="archived", raw_days=30, archive_days=400, scope=Scope(metrics="a"))
    await house.retention.redefine_class(name="default", raw_days=30)
    reading = {"ts": (CHANGED - 25 * DAY).isoformat(), "values": {"a": 1, "b": 1}}
    await house.telemetry.record_readings(device_id=DEVICE, document=reading)
    house.data.stale.clear()
    house.clock.advance(days=60)
    house.files.is_full = True

    with pytest.raises(UnavailableError, match="full"):
        await house.keeping.keep_readings()

    assert {metric for _, metric, _ in house.data.points} == {"a"}


async def test_what_is_to_be_kept_for_longer_meanwhile_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that archives is at it for hours, and goes by what is said then."""
    house = House()
    days = RollupDays(minute=30, hour=30, day=30)
    await house.retention.redefine_class(name="default", raw_days=30, archive_days=40, rollup_days=days)
    figures = ReadingChunk(CHANGED - 100 * DAY, CHANGED - 90 * DAY, holds=Holding.MINUTES)
    house.data.figure_chunks.add(figures)
    house.store(8)
    house.clock.advance(minutes=10)
    remove = InMemoryChunkRepository.remove

    async def is_changed_behind(chunks: InMemoryChunkRepository, chunk: ReadingChunk) -> None:
        await remove(chunks, chunk)
        await house.retention.redefine_class(name="default", raw_days=30, archive_days=4000)

    monkeypatch.setattr(InMemoryChunkRepository, "remove", is_changed_behind)
    await house.keeping.keep_readings()

    assert house.months == []
    assert house.data.figure_chunks == {figures}
    assert len(house.data.archived) == 1


async def test_to_say_the_same_again_puts_nothing_off() -> None:
    house = House()
    house.store(8)
    await house.retention.redefine_class(name="default", raw_days=30)
    for version in (3, 4):
        house.clock.advance(minutes=5)
        again = await house.retention.redefine_class(name="default", raw_days=30)
        assert (again.version, again.changed_at) == (version, CHANGED)

    await house.keeping.keep_readings()

    assert house.months == []
