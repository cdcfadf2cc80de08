"""One limit for all processes, on a real Redis, and what is left of it while that one freezes, dies or forgets."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

import pytest_asyncio
from prometheus_client import REGISTRY

from iotsphere.kernel.actor import Actor
from iotsphere.throttling.errors import GuessesExceededError, RateLimitedError
from iotsphere.throttling.fallback import FallbackThrottleStore
from iotsphere.throttling.model import SECOND, Limit, RequestLimits
from iotsphere.throttling.process import ProcessThrottleStore
from iotsphere.throttling.service import Throttle
from repositories.availability import StoreGate
from repositories.throttling.store import ANSWER_SECONDS, RedisThrottleStore
from tests.factories.identity import build_actor
from tests.integration.shadow.conftest import Machine

# So slow that nothing comes back while a test runs.
FIFTY = Limit("user", 1000 * SECOND, 50)
THOUSAND = Limit("user", 1000 * SECOND, 1000)
PROCESSES = 4

A_PROCESS = """
import asyncio, sys
from uuid import UUID
from iotsphere.throttling.errors import RateLimitedError
from tests.integration.throttling.test_shared_limits import Process, admitted, actor_of, FIFTY

async def run():
    process = Process.at(sys.argv[1], answer_seconds=30, user=FIFTY, organisation=None)
    sys.stdin.readline()
    print(await admitted(process, actor_of(sys.argv[2]), 50))
    await process.close()

asyncio.run(run())
"""


class Process:
    """What one process of the platform has of the throttle: connections, a gate and leases of its own."""

    def __init__(self, shared: RedisThrottleStore, throttle: Throttle) -> None:
        self.shared = shared
        self.throttle = throttle

    @classmethod
    def at(cls, url: str, *, answer_seconds: float = ANSWER_SECONDS, **limits: Limit | None) -> "Process":
        shared = RedisThrottleStore(url, StoreGate("throttling"), answer_seconds=answer_seconds)
        store = FallbackThrottleStore(shared, ProcessThrottleStore())
        return cls(shared, Throttle(store=store, limits=RequestLimits(**limits)))

    async def close(self) -> None:
        await self.shared.close()


def actor_of(number: str) -> Actor:
    return build_actor(id=UUID(number), organisation_id=UUID(int=1))


async def admitted(process: Process, actor: Actor, number: int) -> int:
    results = await asyncio.gather(*(process.throttle.admit(actor) for _ in range(number)), return_exceptions=True)
    assert all(result is None or isinstance(result, RateLimitedError) for result in results), results
    return results.count(None)


@pytest_asyncio.fixture
async def processes(shadow_url: str) -> AsyncIterator[Callable[..., list[Process]]]:
    made: list[Process] = []

    def make(**limits: Limit | None) -> list[Process]:
        made.extend(Process.at(shadow_url, answer_seconds=30, **limits) for _ in range(PROCESSES))
        return made

    yield make
    for process in made:
        await process.close()


async def test_of_what_several_processes_are_asked_at_once_exactly_the_limit_is_admitted(
    processes: Callable[..., list[Process]],
) -> None:
    actor = build_actor()

    numbers = await asyncio.gather(
        *(admitted(process, actor, 50) for process in processes(user=FIFTY, organisation=None))
    )

    assert sum(numbers) == 50


async def test_of_a_limit_that_is_taken_in_blocks_never_more_is_admitted_and_hardly_less(
    processes: Callable[..., list[Process]],
) -> None:
    actor = build_actor()
    of_all = processes(user=THOUSAND, organisation=None)
    total = 0
    for _ in range(20):
        total += sum(await asyncio.gather(*(admitted(process, actor, 25) for process in of_all)))

    assert 1000 - PROCESSES * THOUSAND.block <= total <= 1000


async def test_real_processes_share_a_limit(shadow_url: str) -> None:
    command = [sys.executable, "-c", A_PROCESS, shadow_url, str(uuid4())]
    running = [
        await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(PROCESSES)
    ]

    answers = await asyncio.wait_for(asyncio.gather(*(process.communicate(b"go\n") for process in running)), 60)

    assert [process.returncode for process in running] == [0] * PROCESSES
    assert sum(int(output) for output, _ in answers) == 50


async def test_guesses_at_once_in_several_processes_are_exactly_as_many_as_may_be_made(
    processes: Callable[..., list[Process]],
) -> None:
    account = f"{uuid4()}@example.org"
    compared = 0

    async def guess(process: Process) -> None:
        nonlocal compared
        try:
            async with process.throttle.guessing(account=account, address="192.0.2.1"):
                compared += 1
                await asyncio.sleep(0.01)
                raise ValueError  # noqa: TRY301  # the password was wrong
        except (GuessesExceededError, ValueError):
            pass

    await asyncio.gather(*(guess(process) for process in processes() for _ in range(25)))

    assert compared == 10


@pytest_asyncio.fixture
async def process(machine: Machine) -> AsyncIterator[Process]:
    process = Process.at(machine.url, user=FIFTY, organisation=None)
    yield process
    await process.close()


@contextmanager
def frozen(machine: Machine) -> Iterator[None]:
    os.kill(machine.process_id, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(machine.process_id, signal.SIGCONT)


async def seconds(act: Awaitable[int]) -> tuple[int, float]:
    began = time.monotonic()
    return await act, time.monotonic() - began


async def is_shared_again(process: Process) -> None:
    """Wait until the process asks the shared store again, as it does by itself."""
    async with asyncio.timeout(10):
        await admitted(process, build_actor(), 1)
        while REGISTRY.get_sample_value("iotsphere_throttle_fallback"):  # asking is what ends it
            await asyncio.sleep(0.05)
            await admitted(process, build_actor(), 1)


async def test_while_the_server_is_frozen_requests_go_on_and_the_limit_holds_in_the_process(
    machine: Machine,
    process: Process,
) -> None:
    actor = build_actor()
    assert await admitted(process, actor, 30) == 30

    with frozen(machine):
        number, waited = await seconds(admitted(process, actor, 100))
        at_once, then = await seconds(admitted(process, build_actor(), 20))

    assert number == 50
    assert at_once == 20
    # One time-out for all that came together, and none for those after it: far from the seconds of a shadow's.
    assert waited < 2
    assert then < 0.5


async def test_after_a_kill_requests_go_on_and_the_new_server_is_found(
    machine: Machine,
    process: Process,
) -> None:
    actor = build_actor()
    assert await admitted(process, actor, 50) == 50

    os.kill(machine.process_id, signal.SIGKILL)
    await machine.stack.wait_for_exit()
    assert await admitted(process, build_actor(), 100) == 50
    await machine.stack.stop()
    await machine.stack.start()
    await is_shared_again(process)

    # The server has written down what was taken of it: who was at the limit still is, for a new process too.
    another = Process.at(machine.url, answer_seconds=30, user=FIFTY, organisation=None)
    assert await admitted(another, actor, 10) == 0
    await another.close()


async def test_a_right_that_is_missing_lets_no_request_fail(machine: Machine, process: Process) -> None:
    async with machine.administrator() as administrator:
        await administrator.acl_setuser(
            "iotsphere", enabled=True, keys=["iotsphere:*"], commands=["+@all", "-evalsha"], reset_keys=True
        )

        assert await admitted(process, build_actor(), 100) == 50


async def test_a_script_that_the_server_forgot_is_loaded_again(machine: Machine, process: Process) -> None:
    actor = build_actor()
    await admitted(process, actor, 20)
    async with machine.administrator() as administrator:
        await administrator.script_flush()

    assert await admitted(process, actor, 100) == 30


async def test_what_is_whole_again_takes_no_room(machine: Machine, process: Process) -> None:
    quick = Process.at(machine.url, user=Limit("user", SECOND // 100, 10), organisation=None)
    await admitted(quick, build_actor(), 10)
    await quick.close()

    async with machine.administrator() as administrator, asyncio.timeout(5):
        while await administrator.keys("*throttle*"):  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.02)
