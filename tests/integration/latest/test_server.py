"""Redis is emptied, frozen, killed and given an older file, and no value is shown that is no longer the latest."""

import os
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from iotsphere.kernel.clock import utc_now
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.model import Reading
from tests.fakes.telemetry import InMemoryTelemetryUnitOfWork, TelemetryData
from tests.faults.shadow_store import copy
from tests.faults.site import eventually
from tests.integration.latest.conftest import LatestPeer
from tests.integration.shadow.conftest import Machine

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DEVICE = DeviceId(uuid4())


@pytest.fixture
def data() -> TelemetryData:
    return TelemetryData()


@pytest_asyncio.fixture
async def peers(machine: Machine, data: TelemetryData) -> AsyncIterator[list[LatestPeer]]:
    peers = [LatestPeer(machine.url, partial(InMemoryTelemetryUnitOfWork, data)) for _ in range(2)]
    yield peers
    for peer in peers:
        await peer.store.close()


def reading(minutes: int, **values: Any) -> Reading:
    return Reading(DEVICE, NOON + timedelta(minutes=minutes), values)


async def kill(machine: Machine) -> None:
    os.kill(machine.process_id, signal.SIGKILL)
    await machine.stack.wait_for_exit()
    await machine.stack.stop()


async def keep(peer: LatestPeer, data: TelemetryData) -> None:
    """Read until it is kept, now that Redis is there."""

    async def is_kept() -> bool:
        await peer.read(DEVICE)
        return await peer.is_kept(DEVICE, epoch=data.epoch)

    await eventually(is_kept, within=10)


async def test_what_redis_has_lost_comes_back_from_the_database(
    machine: Machine, peers: list[LatestPeer], data: TelemetryData
) -> None:
    await peers[0].append(reading(0, a=1, b="x"))
    await keep(peers[0], data)
    async with machine.administrator() as administrator:
        await administrator.flushall()

    assert await peers[1].read(DEVICE) == {"a": 1, "b": "x"}
    await peers[1].append(reading(1, a=2))
    assert await peers[0].read(DEVICE) == {"a": 2, "b": "x"}


@pytest.mark.parametrize("is_killed", [True, False], ids=["killed", "stopped"])
async def test_nothing_of_an_earlier_run_is_shown(
    machine: Machine, peers: list[LatestPeer], data: TelemetryData, *, is_killed: bool
) -> None:
    await peers[0].append(reading(0, a=1))
    await keep(peers[0], data)
    await (kill(machine) if is_killed else machine.stack.stop())
    await peers[0].append(reading(1, a=2))
    assert await peers[1].read(DEVICE) == {"a": 2}

    await machine.stack.start()

    for peer in peers:
        assert await peer.read(DEVICE) == {"a": 2}
    await keep(peers[1], data)


async def test_nothing_of_an_older_file_is_shown(
    machine: Machine, peers: list[LatestPeer], data: TelemetryData
) -> None:
    log = machine.folder / "shadow" / "appendonlydir"
    await peers[0].append(reading(0, a=1))
    await keep(peers[0], data)
    await machine.stack.stop()
    copy(log, machine.folder / "shadow" / "older")
    await machine.stack.start()
    await keep(peers[0], data)
    await peers[0].append(reading(1, a=2))
    assert data.epoch == 1
    await kill(machine)
    copy(machine.folder / "shadow" / "older", log)
    await machine.stack.start()

    for peer in peers:
        assert await peer.read(DEVICE) == {"a": 2}


async def test_a_frozen_redis_holds_nobody_up_and_shows_nothing_stale_when_it_thaws(
    machine: Machine, peers: list[LatestPeer], data: TelemetryData
) -> None:
    await peers[0].append(reading(0, a=1))
    await keep(peers[0], data)
    os.kill(machine.process_id, signal.SIGSTOP)
    try:
        began_at = utc_now()
        for minute in range(1, 20):
            await peers[0].append(reading(minute, a=minute))
            assert await peers[1].read(DEVICE) == {"a": minute}
        took = utc_now() - began_at
    finally:
        os.kill(machine.process_id, signal.SIGCONT)

    assert took < timedelta(seconds=3)
    assert data.epoch > 1
    for peer in peers:
        assert await peer.read(DEVICE) == {"a": 19}

    async def is_kept_again() -> bool:
        # What was asked of it while it was frozen it may have done since; whoever writes next makes an end of that.
        await peers[0].append(reading(20, a=20))
        assert await peers[1].read(DEVICE) == {"a": 20}
        return await peers[1].is_kept(DEVICE, epoch=data.epoch)

    await eventually(is_kept_again, within=20)


async def test_what_is_kept_goes_away_by_itself(
    machine: Machine, peers: list[LatestPeer], data: TelemetryData
) -> None:
    await peers[0].append(reading(0, a=1))
    await keep(peers[0], data)
    key = f"iotsphere:latest:{DEVICE}"
    async with machine.administrator() as administrator:
        kept = await administrator.pexpiretime(key)
        marking = await peers[0].store.mark([DEVICE])
        assert 0 < await administrator.pttl(key) <= 60_000
        await peers[0].store.settle(marking, {}, replaces=False)
        assert await administrator.pexpiretime(key) == kept
        assert 0 < await administrator.pttl(key) <= 3_600_000
