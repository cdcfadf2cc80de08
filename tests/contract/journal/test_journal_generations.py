"""What the journal knows of the lives of the store, and of who has written in each."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.shadow.errors import ChangesRefusedError
from iotsphere.shadow.model import Generation, ShadowChange, ShadowKey
from iotsphere.shadow.ports import JournalUnitOfWorkFactory
from tests.factories.journal import make_history, reporting

JUMP = 1_000_000


@pytest.fixture
async def number(unit_of_work: JournalUnitOfWorkFactory) -> int:
    """A generation behind all there are, which has just begun; nobody is open in those before it."""
    latest = await find(unit_of_work)
    number = latest.number + 1 if latest else 1
    async with unit_of_work() as uow:
        await uow.journal.close_writers(await uow.journal.list_open_writers(), generation=number)
        await uow.journal.add_generation(number)
        await uow.commit()
    return number


async def find(unit_of_work: JournalUnitOfWorkFactory) -> Generation | None:
    async with unit_of_work() as uow:
        return await uow.journal.find_generation()


async def add(unit_of_work: JournalUnitOfWorkFactory, number: int) -> None:
    async with unit_of_work() as uow:
        await uow.journal.add_generation(number)
        await uow.commit()


async def decide(unit_of_work: JournalUnitOfWorkFactory, number: int, jump: int = JUMP) -> int:
    async with unit_of_work() as uow:
        decided = await uow.journal.decide_version_jump(number, jump=jump)
        await uow.commit()
        return decided


async def test_begins_a_generation_once_whoever_begins_it(
    unit_of_work: JournalUnitOfWorkFactory, number: int
) -> None:
    await asyncio.gather(*(add(unit_of_work, number + 1) for _ in range(6)))
    begun = await find(unit_of_work)
    await add(unit_of_work, number + 1)

    assert begun is not None
    assert begun == Generation(number + 1, begun.began_at)
    assert await find(unit_of_work) == begun


async def test_gives_the_latest_generation(unit_of_work: JournalUnitOfWorkFactory, number: int) -> None:
    await add(unit_of_work, number + 2)
    await add(unit_of_work, number + 1)

    latest = await find(unit_of_work)

    assert latest is not None
    assert latest.number == number + 2


async def test_versions_go_on_as_they_were_where_nobody_is_open(
    unit_of_work: JournalUnitOfWorkFactory, number: int
) -> None:
    writer = uuid4()
    async with unit_of_work() as uow:
        await uow.journal.open_writer(writer, generation=number)
        await uow.journal.close_writers([writer], generation=number)
        await uow.journal.open_writer(uuid4(), generation=number + 1)
        await uow.journal.add_generation(number + 1)
        await uow.commit()

    assert await decide(unit_of_work, number + 1) == 0


async def test_versions_jump_where_somebody_may_have_written_what_nobody_knows(
    unit_of_work: JournalUnitOfWorkFactory, number: int
) -> None:
    closed, lost = uuid4(), uuid4()
    async with unit_of_work() as uow:
        await uow.journal.open_writer(closed, generation=number)
        await uow.journal.open_writer(lost, generation=number)
        await uow.journal.close_writers([closed], generation=number)
        await uow.journal.add_generation(number + 3)
        await uow.commit()

    assert await decide(unit_of_work, number + 3) == JUMP


async def test_the_jump_is_decided_once_for_all(unit_of_work: JournalUnitOfWorkFactory, number: int) -> None:
    lost = uuid4()
    async with unit_of_work() as uow:
        await uow.journal.open_writer(lost, generation=number)
        await uow.journal.add_generation(number + 1)
        await uow.commit()

    decided = await asyncio.gather(*(decide(unit_of_work, number + 1, jump) for jump in (10, 20, 30, 40)))
    async with unit_of_work() as uow:
        await uow.journal.close_writers([lost], generation=number)
        await uow.commit()

    assert len(set(decided)) == 1
    assert decided[0] in {10, 20, 30, 40}
    assert await decide(unit_of_work, number + 1) == decided[0]
    latest = await find(unit_of_work)
    assert latest is not None
    assert latest.version_jump == decided[0]


async def test_who_closes_has_closed_in_all_generations_before(
    unit_of_work: JournalUnitOfWorkFactory, number: int
) -> None:
    writer = uuid4()
    async with unit_of_work() as uow:
        for generation in (number, number + 1, number + 2):
            await uow.journal.open_writer(writer, generation=generation)
        await uow.journal.close_writers([writer, uuid4()], generation=number + 1)
        for generation in (number + 2, number + 3):
            await uow.journal.add_generation(generation)
        await uow.commit()

    assert await decide(unit_of_work, number + 2) == 0
    assert await decide(unit_of_work, number + 3) == JUMP


async def test_who_was_taken_for_gone_can_open_again(unit_of_work: JournalUnitOfWorkFactory, number: int) -> None:
    writer, other = uuid4(), uuid4()
    async with unit_of_work() as uow:
        await uow.journal.open_writer(writer, generation=number)
        await uow.journal.open_writer(writer, generation=number)
        await uow.journal.open_writer(writer, generation=number + 1)
        await uow.journal.open_writer(other, generation=number)
        assert await uow.journal.list_open_writers() == sorted([writer, other])
        assert await uow.journal.list_open_writers(before=number + 1) == sorted([writer, other])
        assert await uow.journal.list_open_writers(before=number) == []
        await uow.journal.close_writers([writer, other], generation=number + 1)
        assert await uow.journal.list_open_writers() == []
        await uow.journal.close_writers([], generation=number)
        await uow.journal.open_writer(writer, generation=number)
        assert await uow.journal.list_open_writers() == [writer]


async def test_notes_when_all_was_rebuilt(unit_of_work: JournalUnitOfWorkFactory, number: int) -> None:
    async with unit_of_work() as uow:
        await uow.journal.end_rebuilding(number)
        await uow.commit()
    rebuilt = await find(unit_of_work)
    async with unit_of_work() as uow:
        await uow.journal.end_rebuilding(number)
        await uow.commit()

    assert rebuilt is not None
    assert rebuilt.rebuilt_at is not None
    assert rebuilt.rebuilt_at >= rebuilt.began_at
    assert await find(unit_of_work) == rebuilt


async def test_knows_the_last_change_of_a_generation_that_it_has_heard_of(
    unit_of_work: JournalUnitOfWorkFactory, number: int, key: ShadowKey
) -> None:
    changes = make_history(key, [reporting({})] * 4)
    placed = [
        replace(change, position=position, generation=generation)
        for change, position, generation in zip(
            changes, [2**62, 2**62 + 5, 7, 3], [number, number, number - 1, number + 9], strict=True
        )
    ]
    async with unit_of_work() as uow:
        await uow.journal.append(placed)
        await uow.journal.append(placed[:1])
        await uow.commit()

    latest = await find(unit_of_work)
    assert latest is not None
    # A generation begins by being added, and not by a change of it.
    assert (latest.number, latest.position) == (number, 2**62 + 5)


async def test_two_that_append_the_same_never_stand_in_each_others_way(
    unit_of_work: JournalUnitOfWorkFactory, number: int
) -> None:
    keys = [ShadowKey(DeviceId(uuid4())) for _ in range(20)]
    changes = [change for key in keys for change in make_history(key, [reporting({"a": 1})] * 5)]
    changes = [replace(change, generation=number) for change in changes]

    async def append(part: Sequence[ShadowChange]) -> None:
        async with unit_of_work() as uow:
            await uow.journal.append(part)
            await uow.commit()

    await asyncio.gather(*(append(changes[::step]) for step in (1, -1, 1, -1, 2, -2)))

    async with unit_of_work() as uow:
        for key in keys:
            head = await uow.journal.find_head(key)
            assert head is not None
            assert head.shadow.version == 5


async def test_puts_aside_what_it_can_never_keep(unit_of_work: JournalUnitOfWorkFactory, key: ShadowKey) -> None:
    fine, poison = make_history(key, [reporting({"a": 1}), reporting({"a": 2})])
    poison = replace(poison, correlation_id="a\0b")
    async with unit_of_work() as uow:
        before = await uow.journal.count_put_aside()
        with pytest.raises(ChangesRefusedError) as refused:
            await uow.journal.append([fine, poison])

    for _ in range(2):
        async with unit_of_work() as uow:
            await uow.journal.put_aside(poison, reason=f"{refused.value}\0")
            await uow.commit()

    async with unit_of_work() as uow:
        assert await uow.journal.count_put_aside() == before + 1
        assert await uow.journal.find_head(key) is None


async def test_puts_aside_another_change_of_a_version_that_it_knows(
    unit_of_work: JournalUnitOfWorkFactory, key: ShadowKey
) -> None:
    first, second = make_history(key, [reporting({"a": 1}), reporting({"a": 2})])
    later = second.shadow.changed_at + timedelta(microseconds=1)
    other = replace(second, shadow=replace(second.shadow, changed_at=later), correlation_id="request-2")
    async with unit_of_work() as uow:
        before = await uow.journal.count_put_aside()
        await uow.journal.append([first, second])
        await uow.commit()

    for told in ([first, other], [first, second], [other]):
        async with unit_of_work() as uow:
            await uow.journal.append(told)
            await uow.commit()

    async with unit_of_work() as uow:
        assert await uow.journal.count_put_aside() == before + 1
        page = await uow.journal.list(key, start=None, end=None, limit=5, cursor=None)
        assert [change.correlation_id for change in page.items] == ["request-1", "request-1"]
