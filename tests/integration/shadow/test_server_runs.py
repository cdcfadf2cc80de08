"""A server that was restarted, emptied or given an older file is noticed before anything of it is believed."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.shadow.errors import StoreUnverifiedError
from iotsphere.shadow.model import Section, Shadow, ShadowChange, ShadowHead, ShadowKey
from iotsphere.shadow.ports import ShadowStoreCondition
from repositories.availability import StoreGate
from repositories.shadow.keeper import RedisShadowStoreKeeper
from repositories.shadow.shadows import RedisShadowRepository
from repositories.shadow.store import ShadowStore, StoreSession
from repositories.shadow.stream import HASTE_SECONDS, RedisChangeStream
from tests.factories.shadow import build_change
from tests.faults.shadow_store import copy
from tests.integration.shadow.conftest import Machine

KEY = ShadowKey(DeviceId(UUID(int=7)), "config")
WRITERS = 20


class Peer:
    """One process of the platform: its connections, and what it knows of the store."""

    def __init__(self, url: str) -> None:
        self.store = ShadowStore(url, StoreGate("shadow"))
        self.shadows = RedisShadowRepository(self.store)
        self.keeper = RedisShadowStoreKeeper(self.store)
        self.stream = RedisChangeStream(self.store)

    async def adopt(self, generation: int = 1) -> None:
        await self.keeper.begin(generation, is_rebuilding=False)
        condition = await self.keeper.look()
        assert condition.generation is not None
        self.keeper.adopt(condition, generation=condition.generation)

    async def save(self, version: int) -> ShadowChange | None:
        shadow = Shadow(version, reported=Section({"value": version}, {"value": 7}, version))
        return await self.shadows.save(build_change(KEY, shadow), replacing=version - 1, fsynced=version % 2 == 0)

    async def answered(self, act: Callable[[], Awaitable[Any]]) -> Any:
        """Repeat until the server is there again, and let every other error through."""
        async with asyncio.timeout(10):
            while True:
                try:
                    return await act()
                except UnavailableError:
                    await asyncio.sleep(0.05)


@pytest_asyncio.fixture
async def peers(machine: Machine) -> AsyncIterator[list[Peer]]:
    peers = [Peer(machine.url) for _ in range(2)]
    for peer in peers:
        await peer.adopt()
    yield peers
    for peer in peers:
        await peer.store.close()


async def kill(machine: Machine) -> None:
    os.kill(machine.process_id, signal.SIGKILL)
    await machine.stack.wait_for_exit()
    await machine.stack.stop()


@pytest.mark.parametrize("is_killed", [True, False], ids=["killed", "stopped"])
async def test_after_a_restart_nobody_reads_or_writes_who_has_not_looked(
    machine: Machine, peers: list[Peer], is_killed: bool
) -> None:
    first, second = peers
    assert await first.save(1)
    await (kill(machine) if is_killed else machine.stack.stop())
    await machine.stack.start()

    # One has looked and prepared the server for itself, and thereby for nobody else.
    await first.answered(first.adopt)

    assert await first.save(2)
    for act in [lambda: second.shadows.find(KEY), lambda: second.save(3)]:
        with pytest.raises(StoreUnverifiedError):
            await second.answered(act)
    await second.adopt()
    assert (await second.shadows.find(KEY)) is not None
    assert await second.save(3)


async def test_a_restart_between_looking_and_adopting_is_noticed(machine: Machine, peers: list[Peer]) -> None:
    peer = peers[0]
    seen = await peer.keeper.look()
    await kill(machine)
    await machine.stack.start()

    peer.keeper.adopt(seen, generation=1)

    for act in [
        lambda: peer.shadows.find(KEY),
        lambda: peer.save(1),
        lambda: peer.keeper.confirm(seen),
        lambda: peer.keeper.end_rebuilding(seen),
        lambda: peer.keeper.restore([ShadowHead(KEY, Shadow(1), 1)], generation=1),
    ]:
        with pytest.raises(StoreUnverifiedError):
            await peer.answered(act)
    assert not (await peer.keeper.look()).is_confirmed


async def test_a_look_at_a_server_that_dies_meanwhile_prepares_no_other_run(
    machine: Machine, peers: list[Peer]
) -> None:
    """The connection of a look is held while the server is exchanged; it must fail, and not be made anew."""
    peer = peers[0]
    for _ in range(3):
        looks = [asyncio.create_task(peer.keeper.look()) for _ in range(8)]
        await asyncio.sleep(0)
        await kill(machine)
        await machine.stack.start()
        seen = await asyncio.gather(*looks, return_exceptions=True)
        present = await peer.answered(peer.keeper.look)

        assert all(isinstance(look, ShadowStoreCondition | UnavailableError) for look in seen)
        for earlier in {look.run for look in seen if isinstance(look, ShadowStoreCondition)} - {present.run}:
            peer.store.session = StoreSession.of(earlier, 1)
            with pytest.raises(StoreUnverifiedError):
                await peer.shadows.find(KEY)


async def test_an_older_file_is_seen_by_its_position_before_anything_of_it_is_read(
    machine: Machine, peers: list[Peer]
) -> None:
    peer = peers[0]
    log = machine.folder / "shadow" / "appendonlydir"
    assert await peer.save(1)
    await machine.stack.stop()
    copy(log, machine.folder / "shadow" / "older")
    await machine.stack.start()
    await peer.answered(peer.adopt)
    second = await peer.save(2)
    assert second is not None
    await kill(machine)
    copy(machine.folder / "shadow" / "older", log)
    await machine.stack.start()

    with pytest.raises(StoreUnverifiedError):
        await peer.answered(lambda: peer.shadows.find(KEY))
    condition = await peer.keeper.look()

    assert condition.generation == 1
    assert 0 < condition.position == condition.first_position < second.position
    peer.keeper.adopt(condition, generation=1)
    assert await peer.save(2)
    assert (await peer.keeper.look()).first_position == condition.first_position


async def test_a_flush_is_noticed_though_the_scripts_stay(machine: Machine, peers: list[Peer]) -> None:
    assert await peers[0].save(1)
    async with machine.administrator() as administrator:
        await administrator.flushall()

    for peer in peers:
        with pytest.raises(StoreUnverifiedError):
            await peer.shadows.find(KEY)
    condition = await peers[0].keeper.look()
    assert (condition.generation, condition.position) == (None, 0)


async def test_twenty_writers_in_two_processes_lose_nothing_and_every_change_is_in_the_stream_once(
    peers: list[Peer],
) -> None:
    async def write(peer: Peer) -> list[ShadowChange]:
        made: list[ShadowChange] = []
        while len(made) < 10:
            current = await peer.shadows.find(KEY) or Shadow()
            stored = await peer.save(current.version + 1)
            made += [stored] if stored else []
        return made

    written = await asyncio.gather(*(write(peers[number % 2]) for number in range(WRITERS)))

    changes = sorted((change for made in written for change in made), key=lambda change: change.position)
    assert [change.version for change in changes] == list(range(1, WRITERS * 10 + 1))
    taken: list[ShadowChange] = []
    while found := await peers[0].stream.read("journal", limit=64, wait_seconds=0):
        await peers[1].stream.settle(found)
        taken += found
    assert taken == changes
    backlog = await peers[0].stream.measure()
    assert (backlog.length, backlog.size_bytes) == (0, 0)


@pytest.mark.parametrize("failing", ["reading", "letting go"])
async def test_what_was_given_before_the_store_was_away_is_given_again_soon(peers: list[Peer], failing: str) -> None:
    peer = peers[0]
    assert await peer.save(1)
    now = 0.0
    stream = RedisChangeStream(peer.store, claim_seconds=60.0, monotonic=lambda: now)
    lost = await stream.read("worker", limit=9, wait_seconds=0)
    now = HASTE_SECONDS
    peer.store.gate.failed()
    is_reading = failing == "reading"
    with pytest.raises(UnavailableError):
        await (stream.read("worker", limit=9, wait_seconds=0) if is_reading else stream.settle(lost))
    peer.store.gate.succeeded()

    for reader in (stream, RedisChangeStream(peer.store)):
        async with asyncio.timeout(10):
            while not (found := await reader.read("worker", limit=9, wait_seconds=0.05)):
                pass
        assert found == lost
