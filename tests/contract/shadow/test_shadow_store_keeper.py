from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.shadow.errors import ShadowUnrestoredError, StoreUnverifiedError
from iotsphere.shadow.model import NamedShadow, Section, Shadow, ShadowHead, ShadowKey
from iotsphere.shadow.ports import StoreSign
from tests.contract.shadow.conftest import Connect, Erase, Peer
from tests.factories.shadow import build_change

DEVICE = DeviceId(UUID(int=7))
KEYS = [ShadowKey(DEVICE), ShadowKey(DEVICE, "config")]
WRITER = UUID(int=8)
BOTH = pytest.mark.parametrize("key", KEYS, ids=["unnamed", "named"])


def shadow_at(version: int, value: Any = None) -> Shadow:
    return Shadow(version, desired=Section({"value": value or version}, {"value": 7}, version))


async def save(peer: Peer, key: ShadowKey, version: int, value: Any = None) -> None:
    change = build_change(key, shadow_at(version, value))
    assert await peer.shadows.save(change, replacing=version - 1, fsynced=False)


async def rebuild(peer: Peer, generation: int = 2) -> None:
    await peer.adopt(generation, is_rebuilding=True)


async def names_of(peer: Peer) -> list[NamedShadow]:
    return list((await peer.shadows.list(DEVICE, limit=50, cursor=None)).items)


USES: list[Callable[[Peer], Awaitable[object]]] = [
    lambda peer: peer.shadows.find(KEYS[0]),
    lambda peer: save(peer, KEYS[1], 1),
    lambda peer: peer.shadows.list(DEVICE, limit=1, cursor=None),
    lambda peer: peer.keeper.restore([ShadowHead(KEYS[0], shadow_at(1), 1)], generation=1),
    lambda peer: peer.keeper.renew_presence(WRITER),
    lambda peer: peer.stream.measure(),
]
EVERY_USE = pytest.mark.parametrize("use", USES, ids=["find", "save", "list", "restore", "renew", "measure"])


async def test_an_empty_store_has_no_generation_and_no_position(connect: Connect) -> None:
    condition = await connect().keeper.look()

    assert (condition.generation, condition.position) == (None, 0)
    assert (condition.is_rebuilding, condition.is_confirmed) == (False, False)


@EVERY_USE
async def test_who_has_not_looked_cannot_use_the_store(connect: Connect, use: Any) -> None:
    await connect().adopt()

    with pytest.raises(StoreUnverifiedError):
        await use(connect())


@EVERY_USE
async def test_an_emptied_store_is_noticed_whatever_is_asked_of_it(peer: Peer, erase: Erase, use: Any) -> None:
    await save(peer, KEYS[0], 1)

    await erase()

    with pytest.raises(StoreUnverifiedError):
        await use(peer)
    assert (await peer.keeper.look()).generation is None


@EVERY_USE
async def test_nobody_works_on_in_a_generation_that_is_over(connect: Connect, peer: Peer, use: Any) -> None:
    await connect().adopt(2)

    with pytest.raises(StoreUnverifiedError):
        await use(peer)


async def test_a_generation_that_was_begun_is_not_begun_again(peer: Peer) -> None:
    await peer.adopt(3)
    await peer.keeper.begin(3, is_rebuilding=True)
    await peer.keeper.begin(2, is_rebuilding=True)

    condition = await peer.keeper.look()
    assert (condition.generation, condition.is_rebuilding) == (3, False)


async def test_the_position_is_that_of_the_last_change_also_when_it_is_in_the_journal(peer: Peer) -> None:
    first = await peer.shadows.save(build_change(KEYS[0], shadow_at(1)), replacing=0, fsynced=False)
    second = await peer.shadows.save(build_change(KEYS[1], shadow_at(1)), replacing=0, fsynced=True)
    assert first is not None
    assert second is not None
    assert 0 < first.position < second.position
    assert first.generation == second.generation == 1

    assert (await peer.keeper.look()).position == second.position
    await peer.stream.settle([first, second])
    assert (await peer.keeper.look()).position == second.position


@BOTH
async def test_while_it_is_rebuilt_a_shadow_is_restored_before_it_is_used(peer: Peer, key: ShadowKey) -> None:
    await rebuild(peer)
    for use in [peer.shadows.find(key), save(peer, key, 1), peer.shadows.list(DEVICE, limit=5, cursor=None)]:
        with pytest.raises(ShadowUnrestoredError):
            await use

    await peer.keeper.restore([ShadowHead(key, shadow_at(4), 1)], generation=2)

    assert await peer.shadows.find(key) == shadow_at(4)
    await save(peer, key, 5)
    assert await peer.shadows.find(key) == shadow_at(5)


@BOTH
async def test_a_shadow_of_the_last_generation_is_restored_before_it_is_used(peer: Peer, key: ShadowKey) -> None:
    await save(peer, key, 1)
    await rebuild(peer)

    with pytest.raises(ShadowUnrestoredError):
        await peer.shadows.find(key)
    with pytest.raises(ShadowUnrestoredError):
        await save(peer, key, 2)


@BOTH
async def test_a_shadow_that_the_journal_does_not_know_is_none(peer: Peer, key: ShadowKey) -> None:
    await rebuild(peer)
    await peer.keeper.restore([ShadowHead(key, Shadow(), 2)], generation=2)

    assert await peer.shadows.find(key) is None
    await save(peer, key, 1)

    assert await peer.shadows.find(key) == shadow_at(1)


@BOTH
@pytest.mark.parametrize(("known", "expected"), [(0, "held"), (1, "held"), (2, "held"), (3, "journal")])
async def test_of_what_is_held_and_what_the_journal_knows_the_later_version_is_kept(
    peer: Peer, key: ShadowKey, known: int, expected: str
) -> None:
    await save(peer, key, 1)
    await save(peer, key, 2, "held")
    await rebuild(peer)

    await peer.keeper.restore([ShadowHead(key, shadow_at(known, "journal"), 1)], generation=2)

    assert await peer.shadows.find(key) == shadow_at(max(known, 2), expected)


@BOTH
async def test_what_was_written_in_this_generation_is_not_restored_over(peer: Peer, key: ShadowKey) -> None:
    await rebuild(peer)
    await peer.keeper.restore([ShadowHead(key, shadow_at(8), 1)], generation=2)
    await save(peer, key, 9)

    await peer.keeper.restore([ShadowHead(key, shadow_at(8), 1)], generation=2)

    assert await peer.shadows.find(key) == shadow_at(9)


@BOTH
async def test_what_the_journal_hears_of_late_is_restored_over_what_is_older(peer: Peer, key: ShadowKey) -> None:
    await rebuild(peer)
    await peer.keeper.restore([ShadowHead(key, shadow_at(8), 1)], generation=2)

    await peer.keeper.restore([ShadowHead(key, shadow_at(9), 1)], generation=2)

    assert await peer.shadows.find(key) == shadow_at(9)


async def test_changes_that_wait_are_listed_in_parts(peer: Peer) -> None:
    for version in (1, 2, 3):
        await save(peer, KEYS[0], version)

    last = (await peer.keeper.look()).position
    listed = await peer.keeper.list_waiting(after=0, until=last, limit=2)
    rest = await peer.keeper.list_waiting(after=listed[-1].position, until=last, limit=2)

    assert [change.version for change in [*listed, *rest]] == [1, 2, 3]
    assert rest[-1].position == last
    assert not await peer.keeper.list_waiting(after=0, until=listed[0].position - 1, limit=9)


async def test_restored_names_are_listed_and_deleted_ones_are_not(connect: Connect, erase: Erase) -> None:
    peer = connect()
    await peer.adopt()
    await save(peer, ShadowKey(DEVICE, "gone"), 1)
    await rebuild(peer)
    heads = [
        ShadowHead(ShadowKey(DEVICE, name), Shadow(7, is_deleted=name == "gone"), 1) for name in ["a", "gone", "z"]
    ]
    await peer.keeper.restore([*heads, ShadowHead(ShadowKey(DEVICE), shadow_at(3), 1)], generation=2)

    await peer.keeper.end_rebuilding(await peer.keeper.look())

    assert await names_of(peer) == [NamedShadow("a", 7), NamedShadow("z", 7)]
    assert await peer.shadows.find(ShadowKey(DEVICE, "gone")) == Shadow(7, is_deleted=True)


async def test_many_shadows_are_restored_at_once(peer: Peer) -> None:
    await rebuild(peer)
    heads = [ShadowHead(ShadowKey(DeviceId(UUID(int=n))), shadow_at(n), 1) for n in range(1, 201)]

    await peer.keeper.restore(heads, generation=2)
    await peer.keeper.restore([], generation=2)

    found = [await peer.shadows.find(head.key) for head in heads]
    assert found == [head.shadow for head in heads]


async def test_a_rebuilt_store_is_whole(peer: Peer) -> None:
    await save(peer, KEYS[0], 1)
    await rebuild(peer)

    seen = await peer.keeper.look()
    await peer.keeper.note_progress(seen, share=0.5)
    assert (await peer.keeper.look()).is_rebuilding
    assert (await peer.keeper.renew_presence(WRITER)).is_rebuilding
    await peer.keeper.end_rebuilding(seen)
    # As by another who is not through yet.
    await peer.keeper.note_progress(seen, share=0.7)

    assert not (await peer.keeper.look()).is_rebuilding
    # What the journal has no head of is used as it is held.
    assert await peer.shadows.find(KEYS[0]) == shadow_at(1)
    assert await peer.shadows.find(KEYS[1]) is None


async def test_what_was_seen_of_another_generation_ends_no_rebuilding_and_confirms_nothing(
    connect: Connect, peer: Peer
) -> None:
    await rebuild(peer)
    seen = await peer.keeper.look()
    await rebuild(connect(), 3)

    for act in [peer.keeper.end_rebuilding, peer.keeper.confirm]:
        with pytest.raises(StoreUnverifiedError):
            await act(seen)
    with pytest.raises(StoreUnverifiedError):
        await peer.keeper.note_progress(seen, share=0.9)
    condition = await peer.keeper.look()
    assert (condition.is_rebuilding, condition.is_confirmed) == (True, False)


async def test_restoring_for_another_generation_than_the_adopted_is_refused(peer: Peer) -> None:
    with pytest.raises(StoreUnverifiedError):
        await peer.keeper.restore([ShadowHead(KEYS[0], shadow_at(1), 1)], generation=2)


async def test_everybody_who_looks_is_told_that_the_run_is_confirmed(
    connect: Connect, peer: Peer, erase: Erase
) -> None:
    await peer.keeper.confirm(await peer.keeper.look())
    assert (await connect().keeper.look()).is_confirmed

    await erase()
    assert not (await connect().keeper.look()).is_confirmed


async def test_a_writer_is_present_once_it_has_said_so(peer: Peer) -> None:
    other = uuid4()
    assert await peer.keeper.find_present([WRITER, other]) == set()

    assert await peer.keeper.renew_presence(WRITER) == StoreSign(None, is_rebuilding=False)

    assert await peer.keeper.find_present([WRITER, other]) == {WRITER}
    assert await peer.keeper.find_present([]) == set()


async def test_a_writer_may_announce_itself_in_a_run_before_it_has_adopted_it(connect: Connect) -> None:
    await connect().adopt()
    newcomer = connect()
    condition = await newcomer.keeper.look()

    await newcomer.keeper.announce(condition, WRITER)

    assert await newcomer.keeper.find_present([WRITER], run=condition.run) == {WRITER}
    assert await newcomer.keeper.find_present([WRITER], run="another") == set()
    with pytest.raises(StoreUnverifiedError):
        await newcomer.keeper.announce(replace(condition, generation=2), WRITER)


async def test_whoever_has_adopted_a_run_is_present_in_it(peer: Peer) -> None:
    await peer.keeper.renew_presence(WRITER)

    run = (await peer.keeper.look()).run
    assert await peer.keeper.find_present([WRITER], run=run) == {WRITER}


async def test_where_a_run_began_stays_known_however_much_is_written_in_it(connect: Connect) -> None:
    peer = connect()
    began = await peer.adopt()

    await save(peer, KEYS[0], 1)

    now = await connect().keeper.look()
    assert now.first_position == began.position
    assert now.position > now.first_position


async def test_the_oldest_change_that_waits_is_told(peer: Peer) -> None:
    assert await peer.keeper.find_oldest_waiting() is None
    changes = [await peer.shadows.save(build_change(key, shadow_at(1)), replacing=0, fsynced=False) for key in KEYS]
    first, second = (change for change in changes if change is not None)

    assert await peer.keeper.find_oldest_waiting() == first.position
    await peer.stream.settle([first])
    assert await peer.keeper.renew_presence(WRITER) == StoreSign(second.position, is_rebuilding=False)
    await peer.stream.settle([second])
    assert await peer.keeper.find_oldest_waiting() is None


async def test_there_is_nothing_of_the_old_layout_in_a_new_store(peer: Peer) -> None:
    assert await peer.keeper.adopt_old_layout(generation=1) == 0
