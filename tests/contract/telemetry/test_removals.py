"""Removals that are noted for the archive: the same on the double and on both engines."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest_asyncio

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.archived import ArchivedDay, ArchiveFile, NotedRemoval
from iotsphere.telemetry.model import Selection
from iotsphere.telemetry.ports import TelemetryUnitOfWorkFactory

START = datetime(2001, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
DROPPED = START + 10 * DAY
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest_asyncio.fixture(autouse=True)
async def _dropped(unit_of_work: TelemetryUnitOfWorkFactory) -> None:
    """Let there be no removals, and readings have been dropped up to a time."""
    async with unit_of_work() as uow:
        await uow.removals.remove([each.id for each in await uow.removals.list(after=0, limit=1000)])
        present = await uow.retention.get("default", for_update=True)
        await uow.retention.save(replace(present, dropped_before=DROPPED))
        await uow.commit()


async def note(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId, start: datetime, end: datetime, *metrics: str
) -> None:
    async with unit_of_work() as uow:
        await uow.removals.add(Selection(device_id, metrics or None, start, end), removed_at=NOW)
        await uow.commit()


async def noted(unit_of_work: TelemetryUnitOfWorkFactory) -> list[NotedRemoval]:
    async with unit_of_work() as uow:
        return await uow.removals.list(after=0, limit=100)


async def test_a_removal_is_noted_as_far_as_readings_were_dropped(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId
) -> None:
    await note(unit_of_work, device_id, START, START + DAY)
    await note(unit_of_work, device_id, DROPPED - DAY, NOW, "b", "a")
    await note(unit_of_work, device_id, DROPPED, NOW)
    await note(unit_of_work, device_id, DROPPED + DAY, NOW)

    first, second = await noted(unit_of_work)

    assert first.id < second.id
    assert first == NotedRemoval(first.id, device_id, None, START, START + DAY, NOW)
    assert second == NotedRemoval(second.id, device_id, frozenset("ab"), DROPPED - DAY, DROPPED, NOW)


async def test_nothing_is_noted_without_a_commit(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId
) -> None:
    async with unit_of_work() as uow:
        await uow.removals.add(Selection(device_id, None, START, NOW), removed_at=NOW)

    assert await noted(unit_of_work) == []


async def test_removals_are_listed_behind_one_another(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId
) -> None:
    for number in range(5):
        await note(unit_of_work, device_id, START + number * DAY, DROPPED)
    every = await noted(unit_of_work)

    async with unit_of_work() as uow:
        assert await uow.removals.list(after=every[1].id, limit=2) == every[2:4]
        assert await uow.removals.list(after=every[-1].id, limit=2) == []


async def test_those_of_devices_and_of_a_range_are_found(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId
) -> None:
    other, third = DeviceId(uuid4()), DeviceId(uuid4())
    for device in (device_id, other, third):
        await note(unit_of_work, device, START, START + DAY)
        await note(unit_of_work, device, START + DAY, START + 2 * DAY)
    every = await noted(unit_of_work)

    before, first, second = (
        ArchivedDay((START + number * DAY).date(), ArchiveFile(1, 1, ""), archived_at=NOW) for number in (-1, 0, 1)
    )
    async with unit_of_work() as uow:
        assert await uow.removals.list_concerning({device_id, other}, second) == [every[1], every[3]]
        assert await uow.removals.list_concerning({third}, before) == []
        assert await uow.removals.list_concerning([], first) == []
        # Of another class nothing was dropped by then.
        assert await uow.removals.list_concerning({device_id}, replace(first, number=9)) == []


async def test_removals_are_forgotten_and_the_oldest_is_told(
    unit_of_work: TelemetryUnitOfWorkFactory, device_id: DeviceId
) -> None:
    async with unit_of_work() as uow:
        assert await uow.removals.find_oldest() is None
        for days in (2, 1):
            await uow.removals.add(Selection(device_id, None, START, NOW), removed_at=NOW - days * DAY)
        first, second = await uow.removals.list(after=0, limit=10)
        assert await uow.removals.find_oldest() == NOW - 2 * DAY
        await uow.removals.remove([first.id])
        await uow.removals.remove([first.id])
        assert await uow.removals.list(after=0, limit=10) == [second]
        assert await uow.removals.find_oldest() == NOW - DAY
