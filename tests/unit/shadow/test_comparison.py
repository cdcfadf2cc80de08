"""What a comparison of store and journal finds: all that is wrong, and nothing that is only under way."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.shadow.comparison import (
    CATCH_UP_SECONDS,
    COMPARED_AT_ONCE,
    DRIFTS_TO_NAME,
    POLL_SECONDS,
    ComparisonReport,
    DriftKind,
    ShadowComparison,
    ShadowDrift,
)
from iotsphere.shadow.model import Section, Shadow, ShadowKey
from tests.fakes.journal import InMemoryJournalUnitOfWork
from tests.fakes.lives import LivingProcess, Platform
from tests.fakes.shadow import DAMAGED, InMemoryShadowInventory

PUMP = ShadowKey(DeviceId(UUID(int=7)))
NAMED = ShadowKey(DeviceId(UUID(int=7)), "firmware")
OTHER = ShadowKey(DeviceId(UUID(int=8)), "other")


class Bench:
    """A platform with shadows at version 2; whoever waits for the journal lets the worker carry."""

    def __init__(self) -> None:
        self.platform = Platform()
        self.process = LivingProcess(self.platform)
        self.waits = 0
        self.inventory: Any = InMemoryShadowInventory(self.platform.server)
        self.sleep: Callable[[float], Awaitable[None]] = self.carry
        self.heard: list[float] = []

    async def fill(self, *keys: ShadowKey) -> None:
        for key in keys:
            await self.process.write(key, on=True, ratio=1)
            await self.process.write(key, on=False)
        await self.platform.carry()

    async def carry(self, _: float) -> None:
        self.waits += 1
        await self.platform.carry()

    async def wait_in_vain(self, _: float) -> None:
        self.waits += 1

    async def compare(self) -> ComparisonReport:
        comparison = ShadowComparison(
            inventory=self.inventory,
            unit_of_work=lambda: InMemoryJournalUnitOfWork(self.platform.journal),
            sleep=self.sleep,
        )
        return await comparison.compare(tell=self.heard.append)

    @property
    def documents(self) -> dict[ShadowKey, tuple[int, Shadow | None]]:
        return self.platform.server.data.documents

    def change(self, key: ShadowKey, **changed: Any) -> None:
        """Change a document behind the platform's back."""
        generation, shadow = self.documents[key]
        assert shadow is not None
        self.documents[key] = generation, replace(shadow, **changed)

    def alter(self, key: ShadowKey, **values: Any) -> None:
        _, shadow = self.documents[key]
        assert shadow is not None
        state = shadow.reported.state | values
        self.change(key, reported=replace(shadow.reported, state=state))


@pytest.fixture
async def bench() -> Bench:
    bench = Bench()
    await bench.fill(PUMP, NAMED, OTHER)
    return bench


def judged(report: ComparisonReport) -> tuple[int, int, int]:
    return report.drift_count, report.unrestored, report.unjournalled


async def test_what_the_journal_has_as_the_store_does_is_no_drift(bench: Bench) -> None:
    report = await bench.compare()

    assert judged(report) == (0, 0, 0)
    assert (report.compared, report.restored, report.refused) == (3, 3, 0)
    assert report.both.are_agreed
    assert bench.waits == 0


async def test_shadows_of_many_batches_are_all_compared_and_the_share_only_grows(bench: Bench) -> None:
    count = 2 * COMPARED_AT_ONCE + 1
    await bench.fill(*(ShadowKey(DeviceId(UUID(int=number << 96))) for number in range(1, count - 2)))

    report = await bench.compare()

    assert (report.compared, report.restored) == (count, count)
    assert judged(report) == (0, 0, 0)
    assert bench.heard == sorted(bench.heard)
    assert bench.heard[-1] == 1.0


async def remove(bench: Bench) -> None:
    del bench.documents[NAMED]


async def damage(bench: Bench) -> None:
    bench.documents[NAMED] = 1, DAMAGED


async def set_back(bench: Bench) -> None:
    bench.change(NAMED, version=1)


async def alter(bench: Bench) -> None:
    bench.alter(NAMED, ratio=2)


async def alter_the_kind_of_a_number(bench: Bench) -> None:
    bench.alter(NAMED, ratio=1.0)


async def alter_a_stamp(bench: Bench) -> None:
    bench.change(NAMED, reported=Section({"on": False, "ratio": 1}, {"on": 1, "ratio": 1}, 2))


async def advance(bench: Bench) -> None:
    bench.change(NAMED, version=9)


async def cut_off_in_the_journal(bench: Bench) -> None:
    head = bench.platform.journal.heads[NAMED]
    bench.platform.journal.heads[NAMED] = replace(head, shadow=replace(head.shadow, version=1))


async def forget_in_the_journal(bench: Bench) -> None:
    del bench.platform.journal.heads[NAMED]


@pytest.mark.parametrize(
    ("tamper", "expected"),
    [
        (remove, ShadowDrift(NAMED, DriftKind.MISSING, None, 2)),
        (damage, ShadowDrift(NAMED, DriftKind.DAMAGED, None, 2)),
        (set_back, ShadowDrift(NAMED, DriftKind.OLDER, 1, 2)),
        (alter, ShadowDrift(NAMED, DriftKind.ALTERED, 2, 2)),
        (alter_the_kind_of_a_number, ShadowDrift(NAMED, DriftKind.ALTERED, 2, 2)),
        (alter_a_stamp, ShadowDrift(NAMED, DriftKind.ALTERED, 2, 2)),
        (advance, ShadowDrift(NAMED, DriftKind.NEWER, 9, 2)),
        (cut_off_in_the_journal, ShadowDrift(NAMED, DriftKind.NEWER, 2, 1)),
        (forget_in_the_journal, ShadowDrift(NAMED, DriftKind.UNKNOWN, 2, None)),
    ],
)
@pytest.mark.parametrize("is_busy", [False, True], ids=["quiet", "busy"])
async def test_what_was_tampered_with_is_named_and_nothing_else(
    bench: Bench, tamper: Callable[[Bench], Awaitable[None]], expected: ShadowDrift, is_busy: bool
) -> None:
    await tamper(bench)
    if is_busy:
        bench.inventory = Busy(bench, seed=1)

    report = await bench.compare()

    assert report.drifts == [expected]
    assert judged(report) == (1, 0, 0)


class Busy:
    """An inventory before and behind every look at which something is written, and sometimes journalled."""

    def __init__(self, bench: Bench, *, seed: int) -> None:
        self._bench = bench
        self._inventory = InMemoryShadowInventory(bench.platform.server)
        self._random = random.Random(seed)  # noqa: S311  # repeatable, not secret
        self.written = 0

    def __getattr__(self, name: str) -> Any:
        async def look(*arguments: Any, **named: Any) -> Any:
            await self._go_on()
            found = await getattr(self._inventory, name)(*arguments, **named)
            await self._go_on()
            return found

        return look

    async def _go_on(self) -> None:
        for _ in range(self._random.randrange(4)):
            if self._random.random() < 0.3:
                await self._bench.platform.carry(limit=self._random.randrange(1, 4))
            else:
                number = self._random.choice([7, 8, 9, self.written + 100])
                await self._bench.process.write(ShadowKey(DeviceId(UUID(int=number))), count=self.written)
                self.written += 1


@pytest.mark.parametrize("seed", range(40))
async def test_nothing_that_is_only_under_way_is_a_drift(bench: Bench, seed: int) -> None:
    busy = bench.inventory = Busy(bench, seed=seed)

    report = await bench.compare()

    assert judged(report) == (0, 0, 0)
    assert busy.written


async def test_where_nobody_carries_changes_it_is_waited_once_and_nothing_is_judged_by_them(bench: Bench) -> None:
    bench.sleep = bench.wait_in_vain
    keys = [ShadowKey(DeviceId(UUID(int=number << 120))) for number in range(1, 6)]
    for key in [PUMP, *keys]:
        await bench.process.write(key, on=True)
    bench.alter(OTHER, ratio=2)

    report = await bench.compare()

    assert judged(report) == (1, 0, 6)
    assert report.drifts[0].key == OTHER
    assert bench.waits == round(CATCH_UP_SECONDS / POLL_SECONDS)


async def test_a_change_that_can_not_be_read_is_missing_in_the_journal(bench: Bench) -> None:
    change = await bench.process.write(PUMP, on=True)
    del bench.platform.server.data.waiting[change.position]
    bench.platform.server.data.unreadable = 1

    report = await bench.compare()

    assert report.drifts == [ShadowDrift(PUMP, DriftKind.NEWER, 3, 2)]
    assert report.both.survey.unreadable == 1


async def test_of_many_drifts_the_first_are_named_and_the_rest_counted(bench: Bench) -> None:
    keys = [ShadowKey(DeviceId(UUID(int=number))) for number in range(100, 105 + DRIFTS_TO_NAME)]
    await bench.fill(*keys)
    for key in keys:
        del bench.documents[key]

    report = await bench.compare()

    assert [drift.key for drift in report.drifts] == keys[:DRIFTS_TO_NAME]
    assert report.drift_count == len(keys)


async def test_an_emptied_store_is_one_thing_and_not_as_many_as_there_are_shadows(bench: Bench) -> None:
    bench.platform.server.flush()

    report = await bench.compare()

    assert judged(report) == (0, 3, 0)
    assert not report.both.are_agreed
    assert report.both.survey.generation is None


async def test_while_the_store_is_rebuilt_it_is_told_how_far_that_is(bench: Bench) -> None:
    bench.platform.server.flush()
    await bench.process.read(NAMED)

    report = await bench.compare()

    assert judged(report) == (0, 2, 0)
    assert (report.compared, report.restored) == (3, 1)
    assert report.both.survey.is_rebuilding

    await bench.process.rebuild()
    report = await bench.compare()

    assert judged(report) == (0, 0, 0)
    assert (report.compared, report.restored) == (3, 3)
    assert report.both.are_agreed


async def test_a_store_that_is_rebuilt_during_the_comparison_is_not_wrong(bench: Bench) -> None:
    class Rebuilding(InMemoryShadowInventory):
        async def find_all(self, keys: Any) -> Any:
            found = await super().find_all(keys)
            await bench.process.rebuild()
            return found

    bench.platform.server.flush()
    await bench.process.read(NAMED)
    bench.inventory = Rebuilding(bench.platform.server)

    report = await bench.compare()

    assert judged(report) == (0, 0, 0)
    assert report.both.are_agreed


async def test_what_is_lost_during_the_comparison_is_not_called_missing(bench: Bench) -> None:
    class Losing(InMemoryShadowInventory):
        looks = 0

        async def find_all(self, keys: Any) -> Any:
            self.looks += 1
            if self.looks == 2:
                bench.platform.server.flush()
            return await super().find_all(keys)

    await bench.process.write(PUMP, on=True)
    bench.inventory = Losing(bench.platform.server)

    assert judged(await bench.compare()) == (0, 1, 0)


async def test_what_is_altered_is_named_though_the_store_is_being_rebuilt(bench: Bench) -> None:
    bench.platform.server.flush()
    await bench.process.read(NAMED)
    bench.alter(NAMED, ratio=2)

    report = await bench.compare()

    assert [drift.kind for drift in report.drifts] == [DriftKind.ALTERED]
