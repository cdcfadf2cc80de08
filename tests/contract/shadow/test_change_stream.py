import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.shadow.errors import ShadowJournalFullError
from iotsphere.shadow.model import (
    ChangeKind,
    DesiredRefusal,
    RequestState,
    Section,
    Settlement,
    Shadow,
    ShadowChange,
    ShadowKey,
    ShadowPatch,
    Violation,
)
from iotsphere.shadow.ports import Backlog
from tests.contract.shadow.conftest import CLAIM_SECONDS, MAX_BACKLOG_BYTES, Connect, Erase, Peer
from tests.factories.shadow import build_change

KEY = ShadowKey(DeviceId(UUID(int=7)), "config")
AT = datetime(2026, 11, 7, 12, 30, 0, 123456, tzinfo=UTC)
REFUSAL = DesiredRefusal("too_hot", "Żar 🌡")


async def save(peer: Peer, change: ShadowChange) -> ShadowChange:
    stored = await peer.shadows.save(change, replacing=change.version - 1, fsynced=False)
    assert stored is not None
    return stored


async def save_some(peer: Peer, count: int) -> list[ShadowChange]:
    return [await save(peer, build_change(KEY, Shadow(version))) for version in range(1, count + 1)]


async def read(peer: Peer, consumer: str = "one", limit: int = 100) -> list[ShadowChange]:
    return await peer.stream.read(consumer, limit=limit, wait_seconds=0)


async def eventually(act: Callable[[], Awaitable[list[ShadowChange]]]) -> list[ShadowChange]:
    deadline = time.monotonic() + 50 * CLAIM_SECONDS
    while time.monotonic() < deadline:
        if found := await act():
            return found
        await asyncio.sleep(CLAIM_SECONDS / 10)
    return []


async def test_those_who_read_under_one_name_are_given_different_changes(peer: Peer) -> None:
    made = await save_some(peer, 6)

    first, second = await asyncio.gather(read(peer, "one", 3), read(peer, "one", 3))

    assert sorted(change.version for change in first + second) == [change.version for change in made]


async def test_a_change_comes_out_as_it_went_in(peer: Peer) -> None:
    state = {"z": [], "a": {}, "n": {"integer": 2**53, "whole": 1.0, "text": "zażółć\n"}, "e": 1e300}
    update = ShadowChange(
        key=KEY,
        kind=ChangeKind.UPDATED,
        shadow=Shadow(
            1,
            Section(state, {"z": []}, 3),
            Section({"b": 1}, {"b": 2}, 4),
            {"z": 1},
            [Violation("state.b", "No.")],
            AT,
        ),
        actor="device:00000000-0000-0000-0000-000000000003",
        correlation_id="request-1",
        patch=ShadowPatch({"desired": state | {"gone": None}, "reported": None}, 0, "token", {"/a~1b": REFUSAL}),
        settlements=[Settlement("/a~1b", 1, RequestState.REFUSED, REFUSAL)],
    )
    cleared = build_change(KEY, Shadow(2, changed_at=AT), patch=ShadowPatch(None))
    deleted = build_change(ShadowKey(KEY.device_id), Shadow(1, changed_at=AT, is_deleted=True))

    stored = [await save(peer, change) for change in (update, cleared, deleted)]
    found = await read(peer)

    assert found == stored
    # The text tells an integer from a whole float and shows the order of keys; equality does neither.
    assert repr(found) == repr(stored)


async def test_an_empty_stream_gives_nothing(connect: Connect, peer: Peer) -> None:
    assert await read(peer) == []
    assert await peer.stream.read("one", limit=1, wait_seconds=0.01) == []
    assert await peer.stream.measure() == Backlog()


async def test_the_stream_is_read_whether_the_store_is_verified_or_not(connect: Connect, erase: Erase) -> None:
    assert await read(connect()) == []
    await connect().stream.settle([])
    peer = connect()
    await peer.adopt()
    stored = await save_some(peer, 1)

    assert await read(connect()) == stored


async def test_a_change_that_was_refused_leaves_no_trace(peer: Peer) -> None:
    await save_some(peer, 1)

    assert await peer.shadows.save(build_change(KEY, Shadow(3)), replacing=2, fsynced=False) is None

    assert len(await read(peer)) == 1


async def test_nobody_is_given_what_another_has_taken(connect: Connect, peer: Peer) -> None:
    stored = await save_some(peer, 5)
    other = connect()

    taken = await read(peer, "one", limit=2)
    rest = await read(other, "two", limit=9)

    assert taken == stored[:2]
    assert rest == stored[2:]
    assert await read(peer, "one") == []


async def test_what_was_taken_long_ago_and_not_settled_is_given_to_whoever_asks(connect: Connect, peer: Peer) -> None:
    stored = await save_some(peer, 3)
    await peer.stream.settle((await read(peer, "dying"))[:1])

    other = connect()

    assert await eventually(lambda: read(other, "heir")) == stored[1:]
    await other.stream.settle(stored[1:])
    assert await peer.stream.measure() == Backlog()


async def test_settling_again_or_what_is_not_there_changes_nothing(peer: Peer) -> None:
    stored = await save_some(peer, 2)
    before = await peer.stream.measure()
    assert (before.length, before.oldest, before.newest) == (2, stored[0].position, stored[1].position)
    assert before.size_bytes > 0

    await peer.stream.settle([stored[0]])
    await peer.stream.settle([stored[0], stored[0]])

    after = await peer.stream.measure()
    assert (after.length, after.oldest) == (1, stored[1].position)
    assert 0 < after.size_bytes < before.size_bytes
    # Settled without having been read, as the journal may have it from elsewhere.
    await peer.stream.settle(stored)
    assert await peer.stream.measure() == Backlog()
    assert await read(peer) == []


async def test_a_change_of_another_life_that_has_the_same_place_stays(peer: Peer) -> None:
    # As after a failover to a server whose clock is behind.
    stored = await save_some(peer, 2)
    first_in_another = replace(stored[0], generation=stored[0].generation + 1)

    await peer.stream.settle([first_in_another, stored[1]])

    assert await read(peer) == stored[:1]
    await peer.stream.settle(stored[:1])
    assert await peer.stream.measure() == Backlog()


async def test_what_is_let_go_is_told_by_its_own_generation_and_by_no_word_of_a_client(peer: Peer) -> None:
    sly = '"generation":7,'
    change = build_change(KEY, Shadow(1), patch=ShadowPatch({"desired": {"generation": 7, sly: sly}}))
    stored = await save(peer, replace(change, actor=sly, correlation_id=sly))

    await peer.stream.settle([replace(stored, generation=7)])
    assert await read(peer) == [stored]

    await peer.stream.settle([stored])
    assert await peer.stream.measure() == Backlog()


async def test_too_much_that_waits_refuses_changes_until_it_is_in_the_journal(peer: Peer) -> None:
    large = Section({"text": "x" * (MAX_BACKLOG_BYTES // 3)}, {"text": 1}, 1)
    first = await save(peer, build_change(KEY, Shadow(1, reported=large), patch=None))
    second = await save(peer, build_change(KEY, Shadow(2, reported=large), patch=None))

    refused = build_change(KEY, Shadow(3, reported=large), patch=None)
    with pytest.raises(ShadowJournalFullError):
        await peer.shadows.save(refused, replacing=2, fsynced=True)

    assert await peer.shadows.find(KEY) == second.shadow
    assert await read(peer) == [first, second]
    await peer.stream.settle([first])
    assert await save(peer, refused)
