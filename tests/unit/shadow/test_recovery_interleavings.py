"""Several processes write while the store loses data and processes die, in every order that chance finds."""

import asyncio
from contextlib import suppress
from random import Random
from uuid import UUID

import pytest

from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.shadow.errors import StoreUnverifiedError
from iotsphere.shadow.model import ShadowChange, ShadowKey
from tests.fakes.lives import LivingProcess, Platform

KEYS = [ShadowKey(DeviceId(UUID(int=number)), name) for number in (1, 2) for name in (None, "firmware")]
PROCESSES = 3
DISASTERS = 2


class Storm:
    """What the clients are told, and what happens meanwhile."""

    def __init__(self, seed: int, *, is_deadly: bool) -> None:
        self.random = Random(seed)  # noqa: S311  # the same storm for the same seed
        self.platform = Platform()
        self.is_deadly = is_deadly
        self.acknowledged: list[tuple[str, ShadowChange]] = []
        self.of_the_dead: set[str] = set()
        self.tasks: dict[LivingProcess, list[asyncio.Task[None]]] = {}
        self.highest = dict.fromkeys(KEYS, 0)
        self._count = 0
        self._made = 0
        for _ in range(PROCESSES):
            self.start_process()

    def start_process(self) -> None:
        self._made += 1
        process = LivingProcess(self.platform, self._made, linger=lambda: self.random.randrange(4))
        work = [self.write_on(process) for _ in range(3)] + [self.watch_on(process)]
        self.tasks[process] = [asyncio.create_task(each) for each in work]

    async def write_on(self, process: LivingProcess) -> None:
        while True:
            self._count += 1
            key, word = self.random.choice(KEYS), f"w{self._count}"
            self.of_the_dead.add(word)
            at_least = self.highest[key]
            with suppress(UnavailableError):
                change = await process.write(key, **{word: 1})
                assert change.version > at_least
                self.highest[key] = max(self.highest[key], change.version)
                self.acknowledged.append((word, change))
                self.of_the_dead.discard(word)
            await self.pause(5)

    async def watch_on(self, process: LivingProcess) -> None:
        while True:
            with suppress(UnavailableError, StoreUnverifiedError):
                await process.recovery.watch()
                if process.recovery.is_rebuilding and self.random.random() < 0.2:
                    await process.rebuild()
            await self.pause(100)

    async def carry_on(self) -> None:
        while True:
            await self.platform.carry(limit=3)
            await self.pause(60)

    async def pause(self, at_most: int) -> None:
        for _ in range(self.random.randrange(1, at_most)):
            await asyncio.sleep(0)

    async def strike(self) -> None:
        server = self.platform.server
        older = server.copy()
        await self.pause(self.random.choice([2, 50, 1000]))
        kinds = ["flush", "older", "restart", "mark"] + (["death"] * 2 if self.is_deadly else [])
        match self.random.choice(kinds):
            case "flush":
                server.flush()
            case "older":
                server.restart(older)
            case "restart":
                server.restart()
            case "mark":
                server.data.generation = None
            case "death":
                victim = self.random.choice(list(self.tasks))
                await end(self.tasks.pop(victim))
                self.start_process()

    async def blow_over(self) -> None:
        carrying = asyncio.create_task(self.carry_on())
        for _ in range(DISASTERS):
            await self.strike()
            await self.pause(1000)
        for tasks in self.tasks.values():
            await end(tasks[:-1])
        await self.pause(1000)
        await end([carrying, *(tasks[-1] for tasks in self.tasks.values())])


async def end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(ended, asyncio.CancelledError), ended


def check_versions(storm: Storm) -> None:
    made: dict[tuple[ShadowKey, int], str] = {}
    for word, change in storm.acknowledged:
        assert made.setdefault((change.key, change.version), word) == word


@pytest.mark.parametrize("seed", range(6))
async def test_nothing_acknowledged_is_lost_while_the_processes_live(seed: int) -> None:
    storm = Storm(seed, is_deadly=False)
    await storm.blow_over()

    witness = next(iter(storm.tasks))
    await witness.rebuild()
    check_versions(storm)
    assert storm.acknowledged
    for word, change in storm.acknowledged:
        found = await witness.read(change.key)
        assert word in found.reported.state
        assert found.version >= change.version


@pytest.mark.parametrize("seed", range(6))
async def test_no_version_is_given_twice_whoever_dies(seed: int) -> None:
    storm = Storm(seed, is_deadly=True)
    await storm.blow_over()

    witness = next(iter(storm.tasks))
    check_versions(storm)
    for key, highest in storm.highest.items():
        assert (await witness.read(key)).version >= highest
