"""One process of the platform as shadows see it: its services, on a store and a journal in memory."""

from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from iotsphere.kernel.clock import Clock
from iotsphere.shadow.history import ShadowHistoryService
from iotsphere.shadow.journal import JournalService
from iotsphere.shadow.model import Shadow, ShadowChange, ShadowKey, Violation
from iotsphere.shadow.service import DeviceShadowService
from tests.fakes.journal import InMemoryJournalUnitOfWork, JournalData
from tests.fakes.shadow import (
    InMemoryChangeStream,
    InMemoryShadowRepository,
    InMemoryShadowStore,
    InMemoryShadowStoreKeeper,
)


class SettableRules:
    """Device types that find in every shadow what a test has laid down."""

    def __init__(self) -> None:
        self.violations: list[Violation] = []

    async def check(self, key: ShadowKey, shadow: Shadow, *, sections: Collection[str]) -> list[Violation]:
        return [one for one in self.violations if one.path.split(".")[1] in sections]


class ObedientRecovery:
    """Takes the store as it is, puts back what the journal knows, and keeps what it is told."""

    def __init__(self, store: InMemoryShadowStore, journal: JournalData) -> None:
        self._store = store
        self._journal = journal
        self.remembered: list[ShadowChange] = []
        self.doubts = 0

    @property
    def generation(self) -> int | None:
        return self._store.generation

    async def verify(self) -> None:
        data = self._store.server.data
        if data.generation is None:
            data.generation, data.is_rebuilding = self._store.generation + 1, True
        self._store.session = (self._store.server.run, data.generation)

    async def restore(self, key: ShadowKey) -> None:
        keeper = InMemoryShadowStoreKeeper(self._store)
        await keeper.restore([self._journal.heads[key]], generation=self._store.generation)

    def attempt(self) -> AbstractContextManager[None]:
        return nullcontext()

    def remember(self, change: ShadowChange) -> None:
        self.remembered.append(change)

    def doubt(self) -> None:
        self.doubts += 1


class ShadowProcess:
    def __init__(self, clock: Clock, *, beside: "ShadowProcess | None" = None) -> None:
        self.store = InMemoryShadowStore.begun()
        if beside is not None:
            self.store.server = beside.store.server
        self.journal_data: JournalData = beside.journal_data if beside is not None else JournalData()
        self.shadows = InMemoryShadowRepository(self.store)
        self.recovery = ObedientRecovery(self.store, self.journal_data)
        self.rules = SettableRules()
        self.unit_of_work = partial(InMemoryJournalUnitOfWork, self.journal_data)
        stream = InMemoryChangeStream(self.store)
        self.journal = JournalService(unit_of_work=self.unit_of_work, stream=stream)
        self.service = DeviceShadowService(
            shadows=self.shadows,
            recovery=self.recovery,
            rules=self.rules,
            journal=self.journal,
            unit_of_work=self.unit_of_work,
            clock=clock,
        )
        self.history = ShadowHistoryService(unit_of_work=self.unit_of_work, stream=stream, recovery=self.recovery)

    async def journal_all(self) -> None:
        """Bring every change into the journal, as the worker does all the time."""
        while await self.journal.record_next(consumer="test", wait_seconds=0):
            pass
