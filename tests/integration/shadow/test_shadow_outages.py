"""What a Redis that freezes, dies, fills up or forgets costs, and that nothing answered is lost."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.localstack.cache import default_cache_dir
from iotsphere.localstack.programs import find_valkey
from iotsphere.shadow.errors import ShadowChangeUnconfirmedError
from iotsphere.shadow.model import Shadow, ShadowKey, ShadowPatch
from repositories.redis_line import MOST_WAITING
from repositories.shadow.examining import RedisShadowExaminer
from tests.factories.shadow import build_change
from tests.integration.shadow.conftest import ATTEMPT, Machine, Process

T = TypeVar("T")
KEY = ShadowKey(DeviceId(uuid4()))
LONGEST_WAIT_SECONDS = 3.0


async def write(process: Process, value: object, section: str = "desired") -> int:
    patch = ShadowPatch({section: {"value": value}})
    return (await process.service.update_shadow(key=KEY, attempt=ATTEMPT, patch=patch)).version


async def value_of(process: Process, section: str = "desired") -> object:
    return (await process.service.get_shadow(key=KEY)).state[section]["value"]


async def eventually(act: Callable[[], Awaitable[T]]) -> T:
    """Repeat until the store is there again, as a client told to try again does."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return await act()
        except UnavailableError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)


@contextmanager
def frozen(machine: Machine) -> Iterator[None]:
    os.kill(machine.process_id, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(machine.process_id, signal.SIGCONT)


async def test_a_frozen_server_is_reported_soon_and_used_again_when_it_thaws(
    machine: Machine, process: Process
) -> None:
    await write(process, 1)

    with frozen(machine):
        for act in [lambda: value_of(process), lambda: write(process, 2), process.probe.probe]:
            # Each finds the gate open, as the first request after a quiet time does.
            process.store.gate.succeeded()
            with pytest.raises(UnavailableError) as refused:
                await asyncio.wait_for(act(), LONGEST_WAIT_SECONDS)
            assert refused.value.code == "shadow.store.unavailable"

    assert await eventually(lambda: write(process, 3)) >= 2
    assert await value_of(process) == 3


async def test_forty_requests_at_a_frozen_server_all_end_soon(machine: Machine, process: Process) -> None:
    await write(process, 1)

    with frozen(machine):
        results = await asyncio.wait_for(
            asyncio.gather(
                *(write(process, number) for number in range(20)),
                *(value_of(process) for _ in range(20)),
                return_exceptions=True,
            ),
            LONGEST_WAIT_SECONDS,
        )

    assert all(isinstance(result, UnavailableError) for result in results)
    assert await eventually(lambda: write(process, "after")) >= 2


async def test_a_write_that_meets_the_freeze_says_that_it_may_have_been_made(
    machine: Machine, process: Process
) -> None:
    await write(process, 1)

    with frozen(machine), pytest.raises(ShadowChangeUnconfirmedError, match="may have been made"):
        await asyncio.wait_for(
            process.shadows.save(build_change(KEY, Shadow(2)), replacing=1, fsynced=True), LONGEST_WAIT_SECONDS
        )


async def test_after_a_kill_everything_answered_is_there_and_the_same_connections_find_the_new_server(
    machine: Machine, process: Process
) -> None:
    answered = 0
    for number in range(1, 51):
        await write(process, number, "desired" if number % 2 else "reported")
        answered = number
    named = ShadowKey(KEY.device_id, "config")
    await process.service.update_shadow(key=named, attempt=ATTEMPT, patch=ShadowPatch({"desired": {"a": 1}}))

    os.kill(machine.process_id, signal.SIGKILL)
    await machine.stack.wait_for_exit()
    with pytest.raises(UnavailableError):
        await write(process, "lost")
    await machine.stack.stop()
    await machine.stack.start()

    # Scripts are forgotten by a restart and loaded again without anybody noticing.
    assert await eventually(lambda: write(process, "back")) == answered + 1
    assert await value_of(process) == "back"
    assert await value_of(process, "reported") == 50
    page = await process.service.list_named_shadows(device_id=KEY.device_id, limit=5, cursor=None)
    assert [shadow.name for shadow in page.items] == ["config"]


async def test_readiness_sees_the_store_come_back_and_opens_the_gate(machine: Machine, process: Process) -> None:
    assert (await process.probe.probe()).startswith("valkey ")
    with frozen(machine), pytest.raises(UnavailableError):
        await process.probe.probe()
    with pytest.raises(UnavailableError):
        process.store.gate.enter()

    await process.probe.probe()

    process.store.gate.enter()


async def test_a_store_that_is_merely_busy_is_closed_to_nobody(machine: Machine, process: Process) -> None:
    await write(process, 1)
    with frozen(machine):
        asking = [asyncio.create_task(value_of(process)) for _ in range(2)]
        await asyncio.sleep(0.05)
        asking += [asyncio.create_task(value_of(process)) for _ in range(MOST_WAITING)]
        await asyncio.sleep(0)

        with pytest.raises(UnavailableError, match="busy"):
            await value_of(process)

        process.store.gate.enter()
    assert await asyncio.gather(*asking) == [1] * (MOST_WAITING + 2)


async def test_a_script_the_server_forgot_is_loaded_again(machine: Machine, process: Process) -> None:
    await write(process, 1)
    async with machine.administrator() as administrator:
        await administrator.script_flush()

    assert await write(process, 2) == 2


@pytest.mark.parametrize(
    ("command", "trouble", "cure"),
    [
        (Redis.config_set, ("maxmemory", 1), ("maxmemory", 0)),
        (Redis.replicaof, ("127.0.0.1", 1), ("NO", "ONE")),
        (Redis.config_set, ("min-replicas-to-write", 1), ("min-replicas-to-write", 0)),
    ],
    ids=["memory full", "turned into a replica", "replica missing"],
)
async def test_a_server_that_takes_no_writes_is_unavailable_for_them_and_still_read(
    machine: Machine, process: Process, command: Any, trouble: Any, cure: Any
) -> None:
    await write(process, 1)
    async with machine.administrator() as administrator:
        await command(administrator, *trouble)
        with pytest.raises(UnavailableError):
            await write(process, 2)
        assert await eventually(lambda: value_of(process)) == 1
        await command(administrator, *cure)

    assert await eventually(lambda: write(process, 3)) == 2


async def test_without_an_append_only_file_nothing_desired_is_acknowledged(
    machine: Machine, process: Process
) -> None:
    async with machine.administrator() as administrator:
        await administrator.config_set("appendonly", "no")

    with pytest.raises(ShadowChangeUnconfirmedError):
        await write(process, 1)
    assert (await process.probe.probe()).endswith("(append-only file off)")


async def test_the_platforms_own_server_syncs_its_log_at_every_write(machine: Machine, process: Process) -> None:
    async with machine.administrator() as administrator:
        assert await administrator.config_get("appendfsync") == {"appendfsync": "always"}
    assert await process.probe.probe() == f"valkey {machine.stack.engines['valkey']}"


async def test_a_cancelled_request_leaves_no_connection_behind(machine: Machine, process: Process) -> None:
    await write(process, 1)
    with frozen(machine):
        for _ in range(40):
            task = asyncio.ensure_future(
                process.shadows.save(build_change(KEY, Shadow(2)), replacing=9, fsynced=True)
            )
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            process.store.gate.succeeded()

    assert await eventually(lambda: write(process, 2)) == 2


async def test_a_server_that_cannot_be_asked_what_is_on_its_disk_is_named_and_taken_at_its_word(
    tmp_path: Path,
) -> None:
    program = await find_valkey(default_cache_dir())
    address = tmp_path / "old.sock"
    options = ["--port", "0", "--appendonly", "yes", "--appendfsync", "always", "--rename-command", "WAITAOF"]
    server = await asyncio.create_subprocess_exec(
        program, *options, "", "--unixsocket", str(address), cwd=tmp_path, stdout=asyncio.subprocess.DEVNULL
    )
    process = Process.at(f"unix://{address}?db=0")
    try:
        engine = await eventually(process.probe.probe)
        assert await write(process, 1) == 1
        assert await value_of(process) == 1
        findings = await RedisShadowExaminer(process.store).examine()
    finally:
        await process.store.close()
        server.terminate()
        await server.wait()

    assert engine.startswith("valkey ")
    assert engine.endswith(" (no WAITAOF)")
    ill = {finding.check: finding.detail for finding in findings if not finding.is_well}
    assert "taken at its word" in ill["waitaof"]
    assert "durability" not in ill
