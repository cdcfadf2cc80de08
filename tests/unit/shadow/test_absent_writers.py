"""Who has ended without a word is closed, and only when the journal has whatever it can have written."""

from uuid import UUID

import pytest

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.shadow.handover import AbsentWriters
from iotsphere.shadow.model import ShadowKey
from tests.fakes.journal import InMemoryJournalUnitOfWork
from tests.fakes.lives import LivingProcess, Platform

PUMP = ShadowKey(DeviceId(UUID(int=7)))


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
def worker(platform: Platform) -> LivingProcess:
    return LivingProcess(platform, 9)


@pytest.fixture
def absent_writers(platform: Platform, worker: LivingProcess) -> AbsentWriters:
    return AbsentWriters(keeper=worker.keeper, unit_of_work=lambda: InMemoryJournalUnitOfWork(platform.journal))


async def open_writer(platform: Platform, number: int = 1) -> LivingProcess:
    """Make a process that writes once, and is neither heard of again nor present."""
    process = LivingProcess(platform, number)
    await process.write(PUMP, on=True)
    return process


async def test_a_writer_that_is_absent_twice_is_closed_once_all_is_journalled(
    platform: Platform, absent_writers: AbsentWriters
) -> None:
    gone = await open_writer(platform)
    await platform.carry()

    await absent_writers.close_absent()
    assert platform.journal.writers == {(gone.id, 1): False}
    await absent_writers.close_absent()

    assert platform.journal.writers == {(gone.id, 1): True}


async def test_a_writer_that_is_present_stays_open(platform: Platform, absent_writers: AbsentWriters) -> None:
    process = await open_writer(platform)
    await process.recovery.watch()
    await platform.carry()

    for _ in range(3):
        await absent_writers.close_absent()

    assert platform.journal.writers == {(process.id, 1): False}


async def test_a_writer_that_was_back_in_between_counts_as_absent_for_the_first_time(
    platform: Platform, absent_writers: AbsentWriters
) -> None:
    process = await open_writer(platform)
    await platform.carry()
    await absent_writers.close_absent()
    await process.recovery.watch()
    await absent_writers.close_absent()
    platform.server.data.present.clear()

    await absent_writers.close_absent()
    assert platform.journal.writers == {(process.id, 1): False}
    await absent_writers.close_absent()
    assert platform.journal.writers == {(process.id, 1): True}


async def test_a_writer_stays_open_as_long_as_something_waits_that_it_can_have_written(
    platform: Platform, absent_writers: AbsentWriters
) -> None:
    gone = await open_writer(platform)

    for _ in range(3):
        await absent_writers.close_absent()
    assert platform.journal.writers == {(gone.id, 1): False}

    await platform.carry()
    await absent_writers.close_absent()
    assert platform.journal.writers == {(gone.id, 1): True}


async def test_what_others_write_meanwhile_keeps_nobody_open(
    platform: Platform, absent_writers: AbsentWriters
) -> None:
    gone = await open_writer(platform)
    await absent_writers.close_absent()
    await platform.carry()
    other = LivingProcess(platform, 2)
    await other.write(PUMP, on=False)
    await other.recovery.watch()

    await absent_writers.close_absent()

    assert platform.journal.writers == {(gone.id, 1): True, (other.id, 1): False}


async def test_nobody_is_closed_by_what_a_store_shows_that_has_lost_data(
    platform: Platform, absent_writers: AbsentWriters
) -> None:
    gone = await open_writer(platform)
    await absent_writers.close_absent()

    platform.server.flush()
    for _ in range(3):
        await absent_writers.close_absent()

    assert platform.journal.writers == {(gone.id, 1): False}


async def test_nobody_is_closed_by_what_a_run_shows_that_nobody_has_confirmed(
    platform: Platform, absent_writers: AbsentWriters
) -> None:
    gone = await open_writer(platform)
    await absent_writers.close_absent()
    # The file that it starts with holds nothing that waits, and not all that was acknowledged either.
    await platform.carry()

    platform.server.restart()
    for _ in range(3):
        await absent_writers.close_absent()

    assert platform.journal.writers == {(gone.id, 1): False}


async def test_who_had_to_be_taken_for_dead_opens_itself_again(
    platform: Platform, absent_writers: AbsentWriters
) -> None:
    process = await open_writer(platform)
    await platform.carry()
    await absent_writers.close_absent()
    await absent_writers.close_absent()
    assert platform.journal.writers == {(process.id, 1): True}

    process.now += 60
    await process.recovery.watch()

    assert platform.journal.writers == {(process.id, 1): False}
