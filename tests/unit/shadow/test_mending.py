"""A journal that has fallen behind learns what the store holds, and nothing that its author is about to tell."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.shadow.journal import JournalService
from iotsphere.shadow.mending import JournalMender
from iotsphere.shadow.model import ChangeKind, Shadow, ShadowKey
from tests.fakes.journal import InMemoryJournalUnitOfWork
from tests.fakes.lives import LivingProcess, Platform
from tests.fakes.shadow import (
    DAMAGED,
    LISTED_AT_ONCE,
    InMemoryChangeStream,
    InMemoryShadowInventory,
    InMemoryShadowStore,
)

PUMP = ShadowKey(DeviceId(UUID(int=7)))
NAMED = ShadowKey(DeviceId(UUID(int=7)), "firmware")
MANY = [ShadowKey(DeviceId(UUID(int=number))) for number in range(1, 2 * LISTED_AT_ONCE + 2)]


class Interrupted(InMemoryShadowInventory):
    """Something happens between the listing of shadows and the reading of them."""

    happening: Callable[[], Awaitable[object]] | None = None

    async def find_all(self, keys: Any) -> Any:
        if self.happening is not None:
            happening, self.happening = self.happening, None
            await happening()
        return await super().find_all(keys)


class Bench:
    def __init__(self) -> None:
        self.platform = Platform()
        self.process = LivingProcess(self.platform)
        self.inventory = Interrupted(self.platform.server)
        stream = InMemoryChangeStream(InMemoryShadowStore(self.platform.server))

        def unit_of_work() -> InMemoryJournalUnitOfWork:
            return InMemoryJournalUnitOfWork(self.platform.journal)

        self.mender = JournalMender(
            inventory=self.inventory,
            journal=JournalService(unit_of_work=unit_of_work, stream=stream),
            unit_of_work=unit_of_work,
            recovery=self.process.recovery,
        )

    async def fill(self, *keys: ShadowKey) -> None:
        for key in keys:
            await self.process.write(key, on=True)
            await self.process.write(key, on=False)
        await self.platform.carry()
        await self.process.recovery.watch()

    def forget(self, *versions: tuple[ShadowKey, int]) -> None:
        """Let the journal be as it was before these were made, but for the generation, which went on at once."""
        journal = self.platform.journal
        for key, version in versions:
            del journal.changes[key, version]
            journal.heads.pop(key, None)

    async def mend(self, steps: int = 2) -> int:
        return sum([await self.mender.mend_next() for _ in range(steps)])

    def kinds(self, key: ShadowKey) -> dict[int, ChangeKind]:
        return {version: change.kind for (of, version), change in self.platform.journal.changes.items() if of == key}

    def held(self) -> dict[ShadowKey, Shadow | None]:
        return {key: shadow for key, (_, shadow) in self.platform.server.data.documents.items()}


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_shadows_that_the_journal_has_lost_come_back_and_say_so(bench: Bench) -> None:
    await bench.fill(PUMP, NAMED)
    bench.forget((PUMP, 2), (NAMED, 1), (NAMED, 2))
    assert await bench.mend() == 2
    assert bench.platform.heads() == bench.held()
    assert bench.kinds(PUMP) == {1: ChangeKind.UPDATED, 2: ChangeKind.RESTORED}
    assert bench.kinds(NAMED) == {2: ChangeKind.RESTORED}


async def test_a_journal_that_knows_everything_is_told_nothing(bench: Bench) -> None:
    await bench.fill(PUMP, NAMED)
    before = dict(bench.platform.journal.changes)
    assert await bench.mend(steps=6) == 0
    assert bench.platform.journal.changes == before


async def test_what_waits_for_the_journal_is_left_to_who_carries_it(bench: Bench) -> None:
    await bench.fill(PUMP)
    await bench.process.write(PUMP, on=True)
    assert await bench.mend(steps=4) == 0
    await bench.platform.carry()
    assert await bench.mend() == 0
    assert bench.kinds(PUMP) == dict.fromkeys((1, 2, 3), ChangeKind.UPDATED)


async def test_a_change_that_is_made_meanwhile_keeps_its_author(bench: Bench) -> None:
    await bench.fill(PUMP)
    bench.forget((PUMP, 2))
    await bench.mend(steps=1)
    await bench.process.write(PUMP, on=True)
    assert await bench.mend(steps=1) == 1
    await bench.platform.carry()
    assert bench.kinds(PUMP) == {1: ChangeKind.UPDATED, 2: ChangeKind.RESTORED, 3: ChangeKind.UPDATED}
    assert bench.platform.heads() == bench.held()


async def test_a_change_that_is_made_between_listing_and_reading_keeps_its_author(bench: Bench) -> None:
    await bench.fill(PUMP)
    bench.inventory.happening = lambda: bench.process.write(PUMP, on=True)
    assert await bench.mend(steps=3) == 0
    await bench.platform.carry()
    assert await bench.mend() == 0
    assert bench.kinds(PUMP)[3] == ChangeKind.UPDATED


async def test_every_shadow_is_come_to(bench: Bench) -> None:
    await bench.fill(*MANY)
    bench.forget(*((key, 2) for key in MANY))
    assert await bench.mend(steps=6) == len(MANY)
    assert bench.platform.heads() == bench.held()


async def test_a_journal_that_has_lost_everything_brings_back_a_store_that_is_lost_after_it(bench: Bench) -> None:
    await bench.fill(PUMP, NAMED)
    held = bench.held()
    journal = bench.platform.journal
    for lost in (journal.changes, journal.heads, journal.generations, journal.writers):
        lost.clear()
    assert await bench.mend() == 2
    bench.platform.server.flush()
    assert await bench.process.read(PUMP) == held[PUMP]
    await bench.process.rebuild()
    assert bench.held() == held


async def test_nothing_is_told_of_a_store_that_is_being_rebuilt(bench: Bench) -> None:
    await bench.fill(PUMP)
    bench.forget((PUMP, 2))
    await bench.mend(steps=1)
    bench.platform.server.data.is_rebuilding = True
    assert await bench.mend(steps=4) == 0
    assert PUMP not in bench.platform.journal.heads


async def test_what_was_seen_in_a_store_that_has_lost_it_since_is_not_told(bench: Bench) -> None:
    await bench.fill(PUMP)
    bench.forget((PUMP, 2))
    await bench.mend(steps=1)
    bench.platform.server.data.position -= 1
    assert await bench.mend(steps=1) == 0
    assert PUMP not in bench.platform.journal.heads


async def test_a_document_that_cannot_be_read_is_left_alone(bench: Bench) -> None:
    await bench.fill(PUMP, NAMED)
    bench.forget((NAMED, 2))
    bench.platform.server.data.documents[PUMP] = 1, DAMAGED
    assert await bench.mend() == 1
    assert bench.platform.heads()[PUMP].version == 2


async def test_what_could_not_be_told_is_told_when_the_journal_is_back(bench: Bench) -> None:
    await bench.fill(PUMP)
    bench.forget((PUMP, 2))
    await bench.mend(steps=1)
    bench.platform.journal.is_away = True
    with pytest.raises(UnavailableError):
        await bench.mend(steps=1)
    bench.platform.journal.is_away = False
    assert await bench.mend(steps=1) == 1
