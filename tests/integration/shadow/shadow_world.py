"""The real stores of shadows, and two processes on them, any of which a test may lose."""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self
from uuid import uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from iotsphere.kernel.clock import utc_now
from iotsphere.kernel.errors import UnavailableError
from iotsphere.shadow.errors import StoreUnverifiedError
from iotsphere.shadow.history import ShadowHistoryService
from iotsphere.shadow.journal import JournalService
from iotsphere.shadow.service import DeviceShadowService
from repositories.availability import StoreGate
from repositories.shadow.keeper import RedisShadowStoreKeeper
from repositories.shadow.shadows import RedisShadowRepository
from repositories.shadow.store import ShadowStore
from repositories.shadow.stream import RedisChangeStream
from repositories.sql import create_store_engine
from repositories.telemetry.unit_of_work import SqlAlchemyJournalUnitOfWork
from tests.factories.recovery import build_recovery
from tests.fakes.shadow_process import SettableRules
from tests.faults.shadow_store import EndangeredStore

WATCH_SECONDS = 0.1
TABLES = "shadow_generations, shadow_writers, shadow_changes, shadow_heads, shadow_requests"


class Peer:
    """One process of the platform as shadows see it: connections, services and a watch of its own."""

    def __init__(self, url: str, engine: AsyncEngine) -> None:
        self.store = ShadowStore(url, StoreGate("shadow"))
        unit_of_work = partial(SqlAlchemyJournalUnitOfWork, engine, StoreGate("telemetry"))
        stream = RedisChangeStream(self.store, claim_seconds=1.0)
        self.journal = JournalService(unit_of_work=unit_of_work, stream=stream)
        self.recovery = build_recovery(RedisShadowStoreKeeper(self.store), self.journal, unit_of_work)
        self.service = DeviceShadowService(
            shadows=RedisShadowRepository(self.store),
            recovery=self.recovery,
            rules=SettableRules(),
            journal=self.journal,
            unit_of_work=unit_of_work,
            clock=utc_now,
        )
        self.history = ShadowHistoryService(unit_of_work=unit_of_work, stream=stream, recovery=self.recovery)
        self._duties = [asyncio.create_task(self._watch()), asyncio.create_task(self._carry(uuid4().hex))]

    async def die(self) -> None:
        """Stop at once."""
        for duty in self._duties:
            duty.cancel()
        for ended in await asyncio.gather(*self._duties, return_exceptions=True):
            assert isinstance(ended, asyncio.CancelledError), ended
        if self.recovery._verifying is not None:
            self.recovery._verifying.cancel()
            await asyncio.wait([self.recovery._verifying])
        await self.store.close()

    async def leave(self) -> None:
        await self.recovery.leave()
        await self.die()

    async def rebuild(self) -> None:
        """Restore every shadow, as the worker does."""
        try:
            await self.recovery.restore_all(report=lambda *_: None)
        except StoreUnverifiedError:
            await self.recovery.verify()

    async def _watch(self) -> None:
        while True:
            with suppress(UnavailableError, StoreUnverifiedError):
                await self.recovery.watch()
            await asyncio.sleep(WATCH_SECONDS)

    async def _carry(self, consumer: str) -> None:
        while True:
            try:
                await self.journal.record_next(consumer=consumer, wait_seconds=WATCH_SECONDS)
            except UnavailableError:
                await asyncio.sleep(WATCH_SECONDS)


class ShadowWorld:
    """The stores, and two processes on them."""

    def __init__(self, telemetry_dsn: str, *, runner: asyncio.Runner) -> None:
        self._dsn = telemetry_dsn
        self._runner = runner
        self._opened = AsyncExitStack()
        self.peers: list[Peer] = []

    def __enter__(self) -> Self:
        self.run(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._opened.aclose())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(work)

    async def _open(self) -> None:
        folder = Path(self._opened.enter_context(TemporaryDirectory(prefix="isl-")))
        self.store = await EndangeredStore.start_in(folder)
        self._opened.push_async_callback(self.store.stack.stop)
        self._engine = create_store_engine(self._dsn)
        self._opened.push_async_callback(self._engine.dispose)

    async def begin_anew(self) -> None:
        """Forget all, and start two processes."""
        await self.store.empty()
        async with self._engine.begin() as connection:
            await connection.execute(text(f"TRUNCATE {TABLES}"))
        self.peers = [self.start_peer(), self.start_peer()]

    def start_peer(self) -> Peer:
        return Peer(self.store.url, self._engine)

    async def end(self) -> None:
        peers, self.peers = self.peers, []
        for peer in peers:
            await peer.die()

    async def strike(self, disaster: str) -> None:
        match disaster:
            case "emptied":
                await self.store.empty()
            case "killed":
                await self.store.kill()
            case "stopped":
                await self.store.halt(is_killed=False)
                await self.store.restart()
            case "older":
                await self.store.go_back()
