"""A platform of several processes on one store and one journal, all in memory, any of which can be lost."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from iotsphere.kernel.clock import Clock
from iotsphere.shadow.acknowledged import AcknowledgedChanges
from iotsphere.shadow.errors import ShadowUnrestoredError, StoreUnverifiedError
from iotsphere.shadow.handover import ShadowWriter
from iotsphere.shadow.journal import JournalService
from iotsphere.shadow.model import Shadow, ShadowChange, ShadowKey
from iotsphere.shadow.recovery import ShadowStoreRecovery
from iotsphere.shadow.restoring import ShadowRestorer
from tests.factories.shadow import build_change
from tests.fakes.journal import InMemoryJournalUnitOfWork, JournalData
from tests.fakes.shadow import (
    InMemoryChangeStream,
    InMemoryShadowRepository,
    InMemoryShadowServer,
    InMemoryShadowStore,
    InMemoryShadowStoreKeeper,
)

# Time passes by the turns that others have.
YIELDS_A_SECOND = 400
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


class DeathError(BaseException):
    """The process is killed; nothing of it goes on."""


@dataclass
class Life:
    """How many more calls to a store a process lives to make; None for as many as it likes."""

    calls_left: int | None = None
    linger: Callable[[], int] = lambda: 0
    """How many others come first, before a call reaches a store and before its answer is looked at."""

    async def call(self) -> None:
        if self.calls_left is not None:
            if self.calls_left == 0:
                raise DeathError
            self.calls_left -= 1
        await self.wait()

    async def wait(self) -> None:
        for _ in range(self.linger()):
            await asyncio.sleep(0)


class Mortal:
    """Stands before an adapter, each call to which can be the last."""

    def __init__(self, adapter: Any, life: Life) -> None:
        self._adapter = adapter
        self._life = life

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._adapter, name)
        if not asyncio.iscoroutinefunction(method):
            return method

        async def call(*arguments: Any, **named: Any) -> Any:
            await self._life.call()
            answer = await method(*arguments, **named)
            await self._life.wait()
            return answer

        return call


class MortalUnitOfWork(InMemoryJournalUnitOfWork):
    def __init__(self, data: JournalData, life: Life) -> None:
        super().__init__(data)
        self._life = life

    async def commit(self) -> None:
        await self._life.call()
        await super().commit()
        await self._life.wait()


@dataclass
class Platform:
    """``passing`` is what happens elsewhere while somebody waits."""

    server: InMemoryShadowServer = field(default_factory=InMemoryShadowServer)
    journal: JournalData = field(default_factory=JournalData)
    passing: Callable[[float], Any] | None = None
    waited: list[float] = field(default_factory=list)
    clock: Clock = lambda: NOON

    async def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)
        for _ in range(round(seconds * YIELDS_A_SECOND)):
            await asyncio.sleep(0)
        if self.passing is not None:
            passing, self.passing = self.passing, None
            await passing(seconds)

    async def carry(self, *, limit: int = 1_000) -> None:
        """Carry changes from the stream to the journal, as the worker does."""
        stream = InMemoryChangeStream(InMemoryShadowStore(self.server))
        changes = await stream.read("worker", limit=limit, wait_seconds=0)
        async with InMemoryJournalUnitOfWork(self.journal) as uow:
            await uow.journal.append(changes)
            await uow.commit()
        await stream.settle(changes)

    def heads(self) -> dict[ShadowKey, Shadow]:
        return {key: head.shadow for key, head in self.journal.heads.items()}


class LivingProcess:
    """A process that writes, with what the service does about the signs of its adapters."""

    def __init__(self, platform: Platform, number: int = 1, *, linger: Callable[[], int] = lambda: 0) -> None:
        self.id = UUID(int=number)
        self.life = Life(linger=linger)
        self.now = 0.0
        store = InMemoryShadowStore(platform.server)
        self.stored = InMemoryShadowRepository(store)
        self.repository = Mortal(self.stored, self.life)
        self.keeper = InMemoryShadowStoreKeeper(store)
        self.changes = AcknowledgedChanges(monotonic=lambda: self.now)

        def unit_of_work() -> MortalUnitOfWork:
            return MortalUnitOfWork(platform.journal, self.life)

        keeper = Mortal(self.keeper, self.life)
        journal = JournalService(unit_of_work=unit_of_work, stream=InMemoryChangeStream(store))
        self.recovery = ShadowStoreRecovery(
            keeper=keeper,
            unit_of_work=unit_of_work,
            writer=ShadowWriter(writer_id=self.id, changes=self.changes, journal=journal, unit_of_work=unit_of_work),
            restorer=ShadowRestorer(keeper=keeper, journal=journal, unit_of_work=unit_of_work),
            sleep=platform.sleep,
            monotonic=lambda: self.now,
        )

    async def read(self, key: ShadowKey) -> Shadow:
        while True:
            try:
                return await self.repository.find(key) or Shadow()
            except (StoreUnverifiedError, ShadowUnrestoredError) as sign:
                await self._answer(sign, key)

    async def write(self, key: ShadowKey, **values: Any) -> ShadowChange:
        while True:
            current = await self.read(key)
            changed = current.change({"reported": values}, NOON)
            try:
                change = build_change(key, changed)
                with self.recovery.attempt():
                    stored: ShadowChange | None = await self.repository.save(
                        change, replacing=current.version, fsynced=False
                    )
                    if stored is not None:
                        self.recovery.remember(stored)
                        return stored
            except (StoreUnverifiedError, ShadowUnrestoredError) as sign:
                await self._answer(sign, key)

    async def rebuild(self) -> None:
        while True:
            try:
                return await self.recovery.restore_all(report=lambda *_: None)
            except StoreUnverifiedError:
                await self.recovery.verify()

    async def _answer(self, sign: Exception, key: ShadowKey) -> None:
        if isinstance(sign, StoreUnverifiedError):
            await self.recovery.verify()
        else:
            with suppress(StoreUnverifiedError):
                await self.recovery.restore(key)
