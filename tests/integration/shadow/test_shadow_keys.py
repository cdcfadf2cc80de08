"""What hands, other programs and a platform of before have left among the keys of the shadow store."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.shadow.errors import ShadowStoreDamagedError
from iotsphere.shadow.model import ChangeKind, NamedShadow, Section, Shadow, ShadowHead, ShadowKey
from repositories.shadow.keys import BACKLOG_BYTES, CHANGES, UNREADABLE, document_key, names_key
from tests.factories.shadow import build_change
from tests.integration.shadow.conftest import Machine
from tests.integration.shadow.test_server_runs import Peer

DEVICE = DeviceId(UUID(int=7))
UNNAMED = ShadowKey(DEVICE)
NAMED = ShadowKey(DEVICE, "config")
OLD_UNNAMED = f"iotsphere:shadow:{{{DEVICE}}}"
OLD_NAMED = f"iotsphere:shadow:{{{DEVICE}}}:name:config"
OLD_GONE = f"iotsphere:shadow:{{{DEVICE}}}:name:gone"
OLD_NAMES = f"iotsphere:shadow:{{{DEVICE}}}:names"


@pytest_asyncio.fixture
async def administrator(machine: Machine) -> AsyncIterator[Redis]:
    async with machine.administrator() as administrator:
        yield administrator


@pytest_asyncio.fixture
async def peer(machine: Machine) -> AsyncIterator[Peer]:
    peer = Peer(machine.url)
    yield peer
    await peer.store.close()


async def save(peer: Peer, key: ShadowKey, version: int) -> bool:
    change = build_change(key, Shadow(version))
    return await peer.shadows.save(change, replacing=version - 1, fsynced=False) is not None


@pytest.mark.parametrize("document", ["x", "1 2", "1 2\n", "1 2\n{", "1 2\n[]", '1 2\n{"version":"x"}', "1 2\n\xff"])
async def test_a_damaged_document_is_called_that_and_nothing_is_written_over_what_says_no_version(
    peer: Peer, administrator: Redis, document: str
) -> None:
    await peer.adopt()
    await administrator.set(document_key(NAMED), document.encode("latin-1"))

    with pytest.raises(ShadowStoreDamagedError):
        await peer.shadows.find(NAMED)
    if "\n" not in document:
        with pytest.raises(ShadowStoreDamagedError):
            await save(peer, NAMED, 1)
    assert (await peer.stream.measure()).length == 0
    # The rest of the store goes on.
    assert await save(peer, UNNAMED, 1)


@pytest.mark.parametrize("place", [document_key(NAMED), CHANGES, BACKLOG_BYTES, names_key(DEVICE)])
async def test_another_type_under_a_key_stops_a_change_before_anything_of_it_is_stored(
    peer: Peer, administrator: Redis, place: str
) -> None:
    await peer.adopt()
    await administrator.delete(place)
    await administrator.hset(place, "a", "b")
    before = {key: await administrator.dump(key) async for key in administrator.scan_iter()}

    with pytest.raises(ShadowStoreDamagedError):
        await save(peer, NAMED, 1)

    assert {key: await administrator.dump(key) async for key in administrator.scan_iter()} == before


@pytest.mark.parametrize("place", [document_key(NAMED), names_key(DEVICE)])
async def test_another_type_under_a_key_keeps_no_other_shadow_from_being_restored(
    peer: Peer, administrator: Redis, place: str
) -> None:
    await peer.adopt()
    await administrator.hset(place, "a", "b")
    others = [ShadowKey(DeviceId(UUID(int=number)), "config") for number in (100, 101)]
    keys = [others[0], NAMED, others[1]]

    await peer.keeper.restore([ShadowHead(key, Shadow(4), 1) for key in keys], generation=1)

    assert [await peer.shadows.find(key) for key in others] == [Shadow(4), Shadow(4)]
    assert await administrator.type(place) == b"hash"


async def test_a_name_without_a_document_is_called_damage(peer: Peer, administrator: Redis) -> None:
    await peer.adopt()
    assert await save(peer, NAMED, 1)
    await administrator.delete(document_key(NAMED))

    with pytest.raises(ShadowStoreDamagedError):
        await peer.shadows.list(DEVICE, limit=5, cursor=None)


async def test_a_damaged_document_is_put_right_from_the_journal_once_it_is_deleted_and_a_rebuilding_asked_for(
    peer: Peer, administrator: Redis
) -> None:
    """As db/shadow/keyspace.md tells whoever runs the platform."""
    await peer.adopt()
    await administrator.set(document_key(NAMED), "damaged")

    async with administrator.pipeline(transaction=True) as transaction:
        transaction.set("iotsphere:shadow:rebuilding", "1")
        transaction.delete(document_key(NAMED))
        await transaction.execute()
    await peer.keeper.restore([ShadowHead(NAMED, Shadow(4), 1)], generation=1)
    await peer.keeper.end_rebuilding(await peer.keeper.look())

    assert await peer.shadows.find(NAMED) == Shadow(4)


async def test_a_lost_group_is_made_again_and_hands_out_everything(peer: Peer, administrator: Redis) -> None:
    await peer.adopt()
    assert await save(peer, UNNAMED, 1)
    taken = await peer.stream.read("one", limit=9, wait_seconds=0)
    await administrator.xgroup_destroy(CHANGES, "journal")

    assert await peer.stream.read("one", limit=9, wait_seconds=0) == taken
    await peer.stream.settle(taken)
    assert (await peer.stream.measure()).length == 0


NAMELESS = (
    f'{{"device_id": "{DEVICE}", "kind": "deleted", "actor": "platform", "correlation_id": "c", "generation": 1, '
    '"name": "no name"}'
)


@pytest.mark.parametrize(
    "entry",
    [
        {"a": "b"},
        {"change": "{}", "shadow": "{}"},
        {"change": "\xff", "shadow": "x"},
        {"change": NAMELESS, "shadow": "{}"},
    ],
)
async def test_an_entry_that_cannot_be_read_is_put_aside_and_keeps_no_other_waiting(
    peer: Peer, administrator: Redis, entry: dict[str, str]
) -> None:
    await peer.adopt()
    fields: dict[Any, Any] = dict(entry)
    size = sum(len(value.encode()) for value in entry.values())
    await administrator.xadd(CHANGES, fields)
    await administrator.set(BACKLOG_BYTES, size)
    assert await save(peer, UNNAMED, 1)

    found = await peer.stream.read("one", limit=9, wait_seconds=0)

    assert [change.version for change in found] == [1]
    await peer.stream.settle(found)
    backlog = await peer.stream.measure()
    assert (backlog.length, backlog.size_bytes) == (0, 0)
    aside: Any = await administrator.xrange(UNREADABLE)
    assert [set(kept) - {b"place"} for _, kept in aside] == [{name.encode() for name in entry}]


async def test_a_full_server_still_lets_go_of_what_is_in_the_journal(peer: Peer, administrator: Redis) -> None:
    await peer.adopt()
    assert await save(peer, UNNAMED, 1)
    await administrator.config_set("maxmemory", 1)

    found = await peer.stream.read("one", limit=9, wait_seconds=0)
    await peer.stream.settle(found)

    assert len(found) == 1
    backlog = await peer.stream.measure()
    assert (backlog.length, backlog.size_bytes) == (0, 0)


async def test_a_reader_waits_for_the_next_change(peer: Peer) -> None:
    await peer.adopt()
    reading = asyncio.create_task(peer.stream.read("one", limit=9, wait_seconds=5))
    async with asyncio.timeout(10):
        while not (await peer.store.reads.info("clients"))["blocked_clients"]:  # noqa: ASYNC110 - the server's event
            await asyncio.sleep(0.01)

    assert await save(peer, UNNAMED, 1)

    assert [change.version for change in await reading] == [1]


def old_document(version: int, *, is_deleted: bool = False, **state: Any) -> str:
    desired = {"state": state, "stamps": dict.fromkeys(state, 1795195380), "version": version}
    reported: dict[str, Any] = {"state": {}, "stamps": {}, "version": 0}
    return json.dumps(
        {
            "version": version, "desired": desired, "reported": reported, "changed_at": 1795195380,
            "is_deleted": is_deleted,
        }
    )  # fmt: skip


async def store_old(administrator: Redis) -> None:
    documents = {
        OLD_UNNAMED: (3, old_document(3, target=55)),
        OLD_NAMED: (7, old_document(7, rate=1.0)),
        OLD_GONE: (2, old_document(2, is_deleted=True)),
    }
    for key, (version, document) in documents.items():
        await administrator.hset(key, mapping={"version": version, "document": document})
    await administrator.zadd(OLD_NAMES, {"config": 1795195380000000, "damaged": 1795195380000001})
    await administrator.hset(f"iotsphere:shadow:{{{DEVICE}}}:name:damaged", mapping={"version": 1, "document": "{"})
    await administrator.hset("iotsphere:shadow:{something}", "else", "1")


async def test_shadows_of_the_old_layout_are_taken_over_with_their_versions_and_names(
    peer: Peer, administrator: Redis
) -> None:
    await store_old(administrator)

    # Stopped before the generation was begun, it is done again.
    assert await peer.keeper.adopt_old_layout(generation=1) == 3
    assert await peer.keeper.adopt_old_layout(generation=1) == 0
    await peer.adopt(1)

    at = datetime.fromtimestamp(1795195380, UTC)
    assert await peer.shadows.find(UNNAMED) == Shadow(
        3, Section({"target": 55}, {"target": 1795195380}, 3), changed_at=at
    )
    assert (await peer.shadows.list(DEVICE, limit=5, cursor=None)).items == [NamedShadow("config", 7)]
    found = await peer.stream.read("one", limit=9, wait_seconds=0)
    assert {(change.key.name, change.version) for change in found} == {(None, 3), ("config", 7), ("gone", 2)}
    assert {(change.kind, change.actor, change.generation) for change in found} == {
        (ChangeKind.RESTORED, "platform", 1)
    }
    await peer.stream.settle(found)
    assert (await peer.stream.measure()).size_bytes == 0
    assert await save(peer, NAMED, 8)
    # What cannot be read, or is none, is left where it was.
    left = {key.decode() async for key in administrator.scan_iter("iotsphere:shadow:{*")}
    assert left == {f"iotsphere:shadow:{{{DEVICE}}}:name:damaged", "iotsphere:shadow:{something}", OLD_NAMES}


async def test_two_processes_take_over_the_old_layout_at_once(machine: Machine, administrator: Redis) -> None:
    await store_old(administrator)
    peers = [Peer(machine.url) for _ in range(2)]

    counts = await asyncio.gather(*(peer.keeper.adopt_old_layout(generation=1) for peer in peers))

    assert sum(counts) == 3
    await peers[0].adopt()
    assert (await peers[0].stream.measure()).length == 3
    for peer in peers:
        await peer.store.close()
