"""What the store holds, told to whoever has not looked at it and believes nothing of it."""

from uuid import UUID

import pytest

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.shadow.errors import StoreUnverifiedError
from iotsphere.shadow.model import Section, Shadow, ShadowHead, ShadowKey
from iotsphere.shadow.ports import Backlog, HeldShadow, ShadowInventory, ShadowStoreSurvey
from tests.contract.shadow.conftest import Connect, Peer
from tests.factories.shadow import build_change

DEVICE = DeviceId(UUID(int=7))
KEYS = [ShadowKey(DEVICE), ShadowKey(DEVICE, "config"), ShadowKey(DEVICE, "a:b"), ShadowKey(DeviceId(UUID(int=8)))]


def shadow_at(version: int, *, is_deleted: bool = False) -> Shadow:
    desired = Section() if is_deleted else Section({"value": version, "ü": [1, 1.0, {}]}, {"value": 7}, version)
    return Shadow(version, desired=desired, is_deleted=is_deleted)


async def save(peer: Peer, key: ShadowKey, shadow: Shadow) -> int:
    stored = await peer.shadows.save(build_change(key, shadow), replacing=shadow.version - 1, fsynced=False)
    assert stored is not None
    return stored.position


async def list_all(inventory: ShadowInventory) -> list[ShadowKey]:
    found, cursor = list[ShadowKey](), None
    while True:
        page = await inventory.list(cursor=cursor)
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            return found


async def test_an_empty_store_holds_nothing(connect: Connect) -> None:
    inventory = connect().inventory

    assert await inventory.survey() == ShadowStoreSurvey(None, is_rebuilding=False)
    assert await inventory.find_all(KEYS) == {}
    assert await inventory.find_all([]) == {}
    assert await list_all(inventory) == []


async def test_what_was_written_is_told_to_whoever_asks(connect: Connect, peer: Peer) -> None:
    for key in KEYS[:3]:
        await save(peer, key, shadow_at(1))
    await save(peer, KEYS[1], shadow_at(2, is_deleted=True))
    inventory = connect().inventory

    assert await inventory.find_all(KEYS) == {
        KEYS[0]: HeldShadow(shadow_at(1), 1),
        KEYS[1]: HeldShadow(shadow_at(2, is_deleted=True), 1),
        KEYS[2]: HeldShadow(shadow_at(1), 1),
    }
    assert await inventory.find_all(KEYS[3:]) == {}
    assert set(await list_all(inventory)) == set(KEYS[:3])


async def test_everything_is_listed_and_found_however_much_it_is(connect: Connect, peer: Peer) -> None:
    await peer.adopt(2, is_rebuilding=True)
    heads = [ShadowHead(ShadowKey(DeviceId(UUID(int=number))), shadow_at(number), 1) for number in range(1, 701)]
    await peer.keeper.restore(heads, generation=2)
    inventory = connect().inventory

    assert await inventory.find_all([head.key for head in heads]) == {
        head.key: HeldShadow(head.shadow, 2) for head in heads
    }
    listed = await list_all(inventory)
    assert set(listed) == {head.key for head in heads}


async def test_what_is_of_an_earlier_generation_says_so(connect: Connect, peer: Peer) -> None:
    for key in KEYS[:2]:
        await save(peer, key, shadow_at(1))
    await peer.adopt(2, is_rebuilding=True)
    await peer.keeper.restore([ShadowHead(KEYS[0], shadow_at(1), 1)], generation=2)

    held = await connect().inventory.find_all(KEYS)

    assert {key: shadow.generation for key, shadow in held.items()} == {KEYS[0]: 2, KEYS[1]: 1}


async def test_a_note_that_the_journal_knows_no_such_shadow_is_no_shadow(connect: Connect, peer: Peer) -> None:
    await peer.adopt(2, is_rebuilding=True)
    await peer.keeper.restore([ShadowHead(KEYS[1], Shadow(), 2)], generation=2)

    assert await connect().inventory.find_all(KEYS) == {}


async def test_a_survey_tells_of_the_generation_and_of_what_waits(connect: Connect, peer: Peer) -> None:
    inventory = connect().inventory
    first, second = [await save(peer, key, shadow_at(1)) for key in KEYS[:2]]

    survey = await inventory.survey()

    assert survey == ShadowStoreSurvey(1, is_rebuilding=False, position=second, backlog=await peer.stream.measure())
    assert (survey.backlog.length, survey.backlog.oldest, survey.backlog.newest) == (2, first, second)

    await peer.stream.settle(await peer.stream.read("worker", limit=5, wait_seconds=0))
    assert await inventory.survey() == ShadowStoreSurvey(1, is_rebuilding=False, position=second)
    await peer.adopt(2, is_rebuilding=True)
    assert await inventory.survey() == ShadowStoreSurvey(2, is_rebuilding=True, position=second, backlog=Backlog())


async def test_taking_stock_verifies_nothing(connect: Connect, peer: Peer) -> None:
    await save(peer, KEYS[0], shadow_at(1))
    other = connect()

    await other.inventory.survey()
    await list_all(other.inventory)
    await other.inventory.find_all(KEYS)

    with pytest.raises(StoreUnverifiedError):
        await other.shadows.find(KEYS[0])
    assert not (await peer.keeper.look()).is_confirmed
