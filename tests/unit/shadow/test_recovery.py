"""What is found out about the shadow store, and what is done about it, step by step."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import pytest

from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.shadow.errors import ShadowsRebuildingError
from iotsphere.shadow.model import ChangeKind, ShadowHead, ShadowKey
from iotsphere.shadow.recovery import (
    COLLECTION_SECONDS,
    LATE_SECONDS,
    LEASE_SECONDS,
    OPEN_AGAIN_SECONDS,
    VERSION_JUMP,
)
from tests.factories.shadow import build_change
from tests.fakes.journal import InMemoryJournalUnitOfWork
from tests.fakes.lives import NOON, YIELDS_A_SECOND, DeathError, LivingProcess, Platform

PUMP = ShadowKey(DeviceId(UUID(int=7)))
NAMED = ShadowKey(DeviceId(UUID(int=7)), "firmware")
NEVER_WRITTEN = ShadowKey(DeviceId(UUID(int=8)), "none")


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
def process(platform: Platform) -> LivingProcess:
    return LivingProcess(platform)


async def test_the_first_process_begins_the_first_generation_with_nothing_to_rebuild(
    platform: Platform, process: LivingProcess
) -> None:
    change = await process.write(PUMP, on=True)

    assert change.generation == 1
    assert not process.recovery.is_rebuilding
    assert platform.journal.generations[1].version_jump == 0
    assert platform.journal.writers == {(process.id, 1): False}
    assert platform.waited == []


async def test_a_second_process_adopts_what_it_finds(platform: Platform, process: LivingProcess) -> None:
    await process.write(PUMP, on=True)

    second = LivingProcess(platform, 2)

    assert (await second.write(PUMP, speed=3)).version == 2
    assert list(platform.journal.generations) == [1]


async def test_an_emptied_store_is_rebuilt_with_what_the_journal_and_the_process_know(
    platform: Platform, process: LivingProcess
) -> None:
    await process.write(PUMP, on=True)
    await process.write(NAMED, slot="a")
    await platform.carry()
    before = await process.write(PUMP, speed=3)

    platform.server.flush()

    assert await process.read(PUMP) == before.shadow
    assert process.recovery.generation == 2
    assert process.recovery.is_rebuilding
    assert (await process.write(PUMP, speed=4)).version == 3
    await process.rebuild()
    assert process.stored.stored[NAMED] == platform.heads()[NAMED]
    assert not platform.server.data.is_rebuilding
    assert platform.journal.generations[2].rebuilt_at is not None
    await process.recovery.watch()
    assert not process.recovery.is_rebuilding


async def test_a_shadow_that_was_never_written_is_none_while_the_store_is_rebuilt(
    platform: Platform, process: LivingProcess
) -> None:
    await process.write(PUMP, on=True)
    platform.server.flush()

    assert (await process.read(NEVER_WRITTEN)).version == 0
    assert (await process.write(NEVER_WRITTEN, on=True)).version == 1


async def test_a_restarted_server_with_all_its_data_goes_on_as_it_was(
    platform: Platform, process: LivingProcess
) -> None:
    await process.write(PUMP, on=True)

    platform.server.restart()

    assert (await process.write(PUMP, on=False)).version == 2
    assert list(platform.journal.generations) == [1]
    assert platform.waited == []


async def test_a_server_with_an_older_file_is_noticed_by_the_journal(
    platform: Platform, process: LivingProcess
) -> None:
    await process.write(PUMP, on=True)
    older = platform.server.copy()
    last = await process.write(PUMP, on=False)
    await platform.carry()
    await process.recovery.leave()

    platform.server.restart(older)

    newcomer = LivingProcess(platform, 2)
    assert await newcomer.read(PUMP) == last.shadow
    assert newcomer.recovery.generation == 2


async def test_a_server_with_an_older_file_is_noticed_by_whoever_wrote_what_is_missing(
    platform: Platform, process: LivingProcess
) -> None:
    await process.write(PUMP, on=True)
    await platform.carry()
    older = platform.server.copy()
    last = await process.write(PUMP, on=False)

    platform.server.restart(older)

    assert await process.read(PUMP) == last.shadow
    assert platform.heads()[PUMP] == last.shadow


async def test_who_comes_first_to_a_restarted_server_waits_for_what_others_know(
    platform: Platform, process: LivingProcess
) -> None:
    await process.write(PUMP, on=True)
    await platform.carry()
    older = platform.server.copy()
    last = await process.write(PUMP, on=False)
    platform.server.restart(older)

    async def other_notices(_: float) -> None:
        await process.recovery.watch()

    platform.passing = other_notices
    newcomer = LivingProcess(platform, 2)

    assert await newcomer.read(PUMP) == last.shadow
    assert platform.waited


async def test_a_writer_that_is_slow_to_tell_what_it_knows_is_waited_for_while_it_may_be_there(
    platform: Platform, process: LivingProcess
) -> None:
    await process.write(PUMP, on=True)
    await platform.carry()
    older = platform.server.copy()
    last = await process.write(PUMP, on=False)
    platform.server.restart(older)

    async def notice_after(seconds: float) -> None:
        for _ in range(round(seconds * YIELDS_A_SECOND)):
            await asyncio.sleep(0)
        await process.recovery.watch()

    restored, _ = await asyncio.gather(LivingProcess(platform, 2).read(PUMP), notice_after(LATE_SECONDS / 2))

    assert restored == last.shadow


async def test_all_who_are_there_need_not_wait_for_long_when_a_server_runs_anew(
    platform: Platform, process: LivingProcess
) -> None:
    last = await process.write(PUMP, on=True)
    other = LivingProcess(platform, 2)
    await other.read(PUMP)
    process.recovery.doubt()

    platform.server.restart()

    mine, others = await asyncio.gather(process.read(PUMP), other.read(PUMP))

    assert mine == others == last.shadow
    assert sum(platform.waited) < COLLECTION_SECONDS
    assert list(platform.journal.generations) == [1]


async def test_what_others_did_in_an_older_file_without_waiting_any_longer_takes_no_version_twice(
    platform: Platform, process: LivingProcess
) -> None:
    await process.write(PUMP, on=True)
    other = LivingProcess(platform, 2)
    await other.read(PUMP)
    await platform.carry()
    older = platform.server.copy()
    frozen = await process.write(PUMP, on=False)
    platform.server.restart(older)
    forked = await other.write(PUMP, on=None)
    assert forked.version == frozen.version

    await process.recovery.watch()

    restored = await process.read(PUMP)
    assert restored.version == frozen.version + VERSION_JUMP
    assert restored.state == frozen.shadow.state
    assert await other.read(PUMP) == restored


async def test_who_was_frozen_while_others_went_on_with_all_that_it_knows_goes_on_as_well(
    platform: Platform, process: LivingProcess
) -> None:
    await process.write(PUMP, on=True)
    other = LivingProcess(platform, 2)
    await other.read(PUMP)
    await process.write(PUMP, on=False)
    platform.server.restart()
    last = await other.write(PUMP, on=None)
    await platform.carry()

    assert await process.read(PUMP) == last.shadow
    assert list(platform.journal.generations) == [1]


async def test_a_newcomer_to_a_run_in_which_others_have_written_believes_it(
    platform: Platform, process: LivingProcess
) -> None:
    await process.write(PUMP, on=True)
    platform.server.restart()
    last = await process.write(PUMP, on=False)
    await platform.carry()

    assert await LivingProcess(platform, 2).read(PUMP) == last.shadow
    assert list(platform.journal.generations) == [1]


@pytest.mark.parametrize("is_flushed", [True, False], ids=["emptied", "older file"])
@pytest.mark.parametrize("later", [0, 40, 100])
async def test_versions_stay_where_all_who_wrote_are_there_and_notice_one_after_the_other(
    platform: Platform, process: LivingProcess, later: int, *, is_flushed: bool
) -> None:
    second = LivingProcess(platform, 2)
    older = platform.server.copy()
    last = await process.write(PUMP, on=True)
    await second.write(NAMED, slot="a")
    if is_flushed:
        platform.server.flush()
    else:
        platform.server.restart(older)

    async def notice_later() -> None:
        # A quarter of a second at the most.
        for _ in range(later):
            await asyncio.sleep(0)
        await second.recovery.watch()

    found, _ = await asyncio.gather(process.read(PUMP), notice_later())

    assert found == last.shadow
    assert platform.journal.generations[2].version_jump == 0


async def test_once_somebody_has_confirmed_the_run_nobody_waits_again(
    platform: Platform, process: LivingProcess
) -> None:
    await process.write(PUMP, on=True)

    await LivingProcess(platform, 2).read(PUMP)

    assert platform.waited == []


async def test_a_section_goes_on_further_too_if_what_was_lost_had_written_it_first(
    platform: Platform, process: LivingProcess
) -> None:
    await process.write(PUMP, on=True)
    await platform.carry()
    platform.server.flush()

    restored = await LivingProcess(platform, 2).read(PUMP)

    # Nothing is known that named it, and yet somebody may have seen it at any version up to this.
    assert (restored.desired.state, restored.desired.version) == ({}, VERSION_JUMP)


async def test_versions_go_on_further_when_a_writer_is_gone_with_what_it_knew(
    platform: Platform, process: LivingProcess
) -> None:
    await process.write(PUMP, on=True)
    await platform.carry()
    lost = await process.write(PUMP, on=False)
    platform.server.flush()

    survivor = LivingProcess(platform, 2)
    restored = await survivor.read(PUMP)

    assert restored.version == 1 + VERSION_JUMP > lost.version
    assert restored.reported.version == 1 + VERSION_JUMP
    assert restored.state == {"reported": {"on": True}}
    change = platform.journal.changes[(PUMP, restored.version)]
    assert (change.kind, change.actor, change.shadow) == (ChangeKind.RESTORED, "platform", restored)
    assert sum(platform.waited) >= COLLECTION_SECONDS


@pytest.mark.parametrize("turns", [0, 5, 20, 100])
async def test_versions_stay_as_they_are_when_all_writers_notice_one_after_the_other(
    platform: Platform, process: LivingProcess, turns: int
) -> None:
    last = await process.write(PUMP, on=True)
    other = LivingProcess(platform, 2)
    others = await other.write(NAMED, slot="a")
    platform.server.flush()

    async def notice_later() -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        await other.recovery.watch()

    restored, _ = await asyncio.gather(process.read(PUMP), notice_later())

    assert restored == last.shadow
    assert await process.read(NAMED) == others.shadow
    assert sum(platform.waited) < COLLECTION_SECONDS


async def test_an_answer_that_is_on_its_way_when_the_store_loses_its_data_is_waited_for(
    platform: Platform, process: LivingProcess
) -> None:
    await process.write(PUMP, on=True)
    with process.recovery.attempt():
        stored = await process.stored.save(
            build_change(PUMP, process.stored.stored[PUMP].change({"reported": {"on": False}}, NOON)),
            replacing=1,
            fsynced=True,
        )
        assert stored is not None
        platform.server.flush()
        reading = asyncio.create_task(process.read(PUMP))
        for _ in range(100):
            await asyncio.sleep(0)
        assert platform.server.data.generation is None
        process.recovery.remember(stored)

    assert await reading == stored.shadow


async def test_who_was_long_in_collecting_does_not_begin_what_was_lost_again_meanwhile(
    platform: Platform, process: LivingProcess
) -> None:
    await process.write(PUMP, on=True)
    dead = LivingProcess(platform, 3)
    await dead.read(PUMP)
    platform.server.flush()
    first = LivingProcess(platform, 2)

    async def others_are_faster(_: float) -> None:
        await first.recovery.verify()
        platform.server.flush()

    platform.passing = others_are_faster
    seen: list[int] = []
    begin = process.keeper.begin

    async def note(generation: int, *, is_rebuilding: bool) -> None:
        seen.append(generation)
        await begin(generation, is_rebuilding=is_rebuilding)

    process.keeper.begin = note  # type: ignore[method-assign]
    await process.recovery.verify()

    assert seen == [3]


async def test_versions_go_on_once_however_often_a_shadow_is_restored(
    platform: Platform, process: LivingProcess
) -> None:
    await process.write(PUMP, on=True)
    await platform.carry()
    platform.server.flush()

    survivor, other = LivingProcess(platform, 2), LivingProcess(platform, 3)
    await asyncio.gather(survivor.read(PUMP), other.read(PUMP))
    await survivor.rebuild()
    await other.rebuild()

    assert (await survivor.read(PUMP)).version == 1 + VERSION_JUMP
    assert (await other.read(PUMP)).version == 1 + VERSION_JUMP


@pytest.mark.parametrize("turns", range(12))
async def test_whatever_is_handed_over_meanwhile_versions_go_on_once(
    platform: Platform, process: LivingProcess, turns: int
) -> None:
    await process.write(PUMP, on=True)
    await platform.carry()
    late = await process.write(PUMP, on=False)
    platform.server.flush()
    survivor, other = LivingProcess(platform, 2, linger=lambda: 4), LivingProcess(platform, 3)
    await survivor.recovery.verify()
    await other.recovery.verify()

    async def hand_over() -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        async with InMemoryJournalUnitOfWork(platform.journal) as uow:
            await uow.journal.append([late])
            await uow.commit()
        await other.recovery.restore(PUMP)

    await asyncio.gather(survivor.recovery.restore(PUMP), hand_over())

    steps = [change for change in platform.journal.changes.values() if change.kind is ChangeKind.RESTORED]
    assert len(steps) == 1
    assert await survivor.read(PUMP) == await other.read(PUMP) == steps[0].shadow


async def test_what_the_older_file_alone_knows_is_journalled_before_versions_go_on(
    platform: Platform, process: LivingProcess
) -> None:
    await process.write(PUMP, on=True)
    await platform.carry()
    await process.write(PUMP, on=False)
    older = platform.server.copy()
    await process.write(NAMED, slot="a")
    late = platform.server.data.waiting.copy()
    platform.journal.generations[1] = replace(platform.journal.generations[1], position=max(late))
    platform.server.restart(older)
    survivor = LivingProcess(platform, 2)

    restored = await survivor.read(PUMP)

    assert restored.state == {"reported": {"on": False}}
    assert restored.version == 2 + VERSION_JUMP


async def test_a_writer_that_ends_well_leaves_versions_as_they_are(
    platform: Platform, process: LivingProcess
) -> None:
    last = await process.write(PUMP, on=True)
    await process.recovery.leave()
    platform.server.flush()

    assert await LivingProcess(platform, 2).read(PUMP) == last.shadow


async def test_who_was_held_up_says_again_that_it_writes_for_it_may_have_been_taken_for_gone(
    platform: Platform, process: LivingProcess
) -> None:
    await process.write(PUMP, on=True)
    platform.journal.writers[process.id, 1] = True

    process.now += LEASE_SECONDS + 0.1
    await process.recovery.watch()

    assert platform.journal.writers == {(process.id, 1): False}


async def test_a_journal_that_was_set_back_learns_again_who_writes(
    platform: Platform, process: LivingProcess
) -> None:
    await process.write(PUMP, on=True)
    platform.journal.writers.clear()

    for _ in range(round(OPEN_AGAIN_SECONDS) + 1):
        process.now += 1.0
        await process.recovery.watch()

    assert platform.journal.writers == {(process.id, 1): False}


async def test_a_process_that_ends_waits_for_the_answer_that_is_on_its_way(
    platform: Platform, process: LivingProcess
) -> None:
    await process.write(PUMP, on=True)
    with process.recovery.attempt():
        change = build_change(PUMP, (await process.read(PUMP)).change({"reported": {"on": False}}, NOON))
        stored = await process.stored.save(change, replacing=1, fsynced=False)
        assert stored is not None
        leaving = asyncio.create_task(process.recovery.leave())
        for _ in range(100):
            await asyncio.sleep(0)
        assert platform.journal.writers == {(process.id, 1): False}
        process.recovery.remember(stored)
    await leaving
    platform.server.flush()

    assert await LivingProcess(platform, 2).read(PUMP) == stored.shadow
    assert platform.journal.generations[2].version_jump == 0


async def test_a_rebuilding_that_an_administrator_has_asked_for_is_noticed_and_ends(
    platform: Platform, process: LivingProcess
) -> None:
    last = await process.write(PUMP, on=True)
    await platform.carry()
    platform.server.data.is_rebuilding = True
    del platform.server.data.documents[PUMP]

    await process.recovery.watch()
    was_noticed = process.recovery.is_rebuilding
    await process.rebuild()
    await process.recovery.watch()

    assert (was_noticed, process.recovery.is_rebuilding) == (True, False)
    assert await process.stored.find(PUMP) == last.shadow


async def test_a_change_of_which_no_answer_came_lets_versions_go_on_further(
    platform: Platform, process: LivingProcess
) -> None:
    await process.write(PUMP, on=True)
    process.recovery.doubt()
    platform.server.flush()

    assert (await process.read(PUMP)).version == 1 + VERSION_JUMP


async def test_a_store_that_knows_a_later_generation_than_the_journal_keeps_what_it_has(
    platform: Platform, process: LivingProcess
) -> None:
    last = await process.write(PUMP, on=True)
    platform.journal.generations.clear()
    platform.journal.writers.clear()
    platform.server.restart()

    assert await LivingProcess(platform, 2).read(PUMP) == last.shadow
    assert list(platform.journal.generations) == [1]


async def test_a_lost_mark_costs_none_of_the_shadows_that_are_there(
    platform: Platform, process: LivingProcess
) -> None:
    last = await process.write(PUMP, on=True)
    platform.server.data.generation = None
    platform.server.data.confirmed_run = None

    assert await process.read(PUMP) == last.shadow
    assert (await process.write(PUMP, on=False)).version == 2


async def test_a_store_that_is_emptied_again_while_it_is_rebuilt_is_rebuilt_again(
    platform: Platform, process: LivingProcess
) -> None:
    await process.write(PUMP, on=True)
    last = await process.write(NAMED, slot="a")
    platform.server.flush()
    changed = await process.write(PUMP, on=False)

    platform.server.flush()

    assert await process.read(NAMED) == last.shadow
    assert await process.read(PUMP) == changed.shadow
    assert process.recovery.generation == 3
    await process.rebuild()
    assert process.stored.stored == platform.heads()


async def test_a_file_from_before_the_change_stream_takes_nothing_back(
    platform: Platform, process: LivingProcess
) -> None:
    first = await process.write(PUMP, on=True)
    last = await process.write(PUMP, on=False)
    await process.recovery.leave()
    platform.server.flush()
    newcomer = LivingProcess(platform, 2)
    newcomer.keeper.old_layout = {PUMP: first}

    assert await newcomer.read(PUMP) == last.shadow


async def test_what_is_handed_over_late_is_restored_although_the_store_does_not_answer_at_first(
    platform: Platform, process: LivingProcess
) -> None:
    await process.write(PUMP, on=True)
    late = await process.write(PUMP, on=False)
    process.changes.forget([late])
    platform.server.flush()
    await process.read(PUMP)
    process.recovery.remember(late)
    is_away = [True]
    restore = process.keeper.restore

    async def fail_once(heads: Sequence[ShadowHead], *, generation: int) -> None:
        if is_away:
            is_away.clear()
            raise UnavailableError("shadow", "It does not answer.")
        await restore(heads, generation=generation)

    process.keeper.restore = fail_once  # type: ignore[method-assign]
    with pytest.raises(UnavailableError):
        await process.recovery.watch()
    await process.recovery.watch()

    assert await process.read(PUMP) == late.shadow


async def test_a_server_restarted_while_it_is_rebuilt_goes_on_being_rebuilt(
    platform: Platform, process: LivingProcess
) -> None:
    last = await process.write(PUMP, on=True)
    platform.server.flush()
    await process.recovery.verify()

    platform.server.restart()

    assert await process.read(PUMP) == last.shadow
    assert process.recovery.generation == 2


async def test_without_the_journal_a_store_that_lost_nothing_is_used(
    platform: Platform, process: LivingProcess
) -> None:
    await process.write(PUMP, on=True)
    platform.journal.is_away = True
    platform.server.restart()

    assert (await process.write(PUMP, on=False)).version == 2

    platform.journal.is_away = False
    await process.recovery.watch()
    assert len(process.changes) == 0 or platform.server.data.waiting


async def test_without_the_journal_an_emptied_store_is_not_used(platform: Platform, process: LivingProcess) -> None:
    last = await process.write(PUMP, on=True)
    platform.journal.is_away = True
    platform.server.flush()
    with pytest.raises(ShadowsRebuildingError):
        await process.read(PUMP)

    platform.journal.is_away = False

    assert await process.read(PUMP) == last.shadow


async def test_without_the_journal_a_newcomer_believes_a_run_that_was_confirmed_and_no_other(
    platform: Platform, process: LivingProcess
) -> None:
    await process.write(PUMP, on=True)
    platform.journal.is_away = True

    assert (await LivingProcess(platform, 2).read(PUMP)).version == 1

    platform.server.restart()
    with pytest.raises(ShadowsRebuildingError):
        await LivingProcess(platform, 3).read(PUMP)


async def test_without_the_journal_what_is_short_of_the_own_changes_is_not_used(
    platform: Platform, process: LivingProcess
) -> None:
    await process.write(PUMP, on=True)
    older = platform.server.copy()
    await process.write(PUMP, on=False)
    platform.journal.is_away = True
    platform.server.restart(older)

    with pytest.raises(ShadowsRebuildingError):
        await process.read(PUMP)


@pytest.mark.parametrize("calls", range(40))
@pytest.mark.parametrize("is_first", [True, False])
async def test_whoever_dies_at_whichever_step_another_goes_on(
    platform: Platform, calls: int, *, is_first: bool
) -> None:
    first = LivingProcess(platform)
    last = await first.write(PUMP, on=True)
    await first.write(NAMED, slot="a")
    await first.recovery.leave()
    if not is_first:
        platform.server.flush()
    else:
        platform = Platform()
    victim, survivor = LivingProcess(platform, 2), LivingProcess(platform, 3)
    victim.life.calls_left = calls

    try:
        await victim.read(PUMP)
        await victim.rebuild()
    except DeathError:
        pass
    else:
        assert calls > 10

    if is_first:
        assert (await survivor.write(PUMP, on=True)).version == 1
    else:
        restored = await survivor.read(PUMP)
        assert restored.state == last.shadow.state
        assert restored.version >= last.version
        await survivor.rebuild()
        assert survivor.stored.stored == platform.heads()


@pytest.mark.parametrize("calls", range(0, 150, 3))
async def test_whenever_the_journal_goes_away_the_store_is_brought_back_when_it_returns(
    platform: Platform, process: LivingProcess, calls: int
) -> None:
    last = await process.write(PUMP, on=True)
    platform.server.flush()
    reading = asyncio.create_task(process.read(PUMP))
    for _ in range(calls):
        await asyncio.sleep(0)
    platform.journal.is_away = True
    try:
        await reading
    except UnavailableError:
        assert calls < 147

    platform.journal.is_away = False

    assert await process.read(PUMP) == last.shadow
