"""Changes come into the journal, whatever is in their way."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.shadow import journal as journal_module
from iotsphere.shadow.journal import JournalService
from iotsphere.shadow.model import ShadowChange, ShadowKey
from tests.factories.journal import make_history, reporting, wanting
from tests.fakes.journal import InMemoryJournalUnitOfWork, JournalData
from tests.fakes.shadow import InMemoryChangeStream, InMemoryShadowRepository, InMemoryShadowStore

KEY = ShadowKey(DeviceId(uuid4()))
AWAY = UnavailableError("shadow", "The shadow store does not answer.")


class UnsteadyStream(InMemoryChangeStream):
    """A stream whose store may be away when it is time to settle."""

    is_away = False

    async def settle(self, changes: Sequence[ShadowChange]) -> None:
        if self.is_away:
            raise AWAY
        await super().settle(changes)


class CountingUnitOfWork(InMemoryJournalUnitOfWork):
    """Lets others go first, and counts what was committed."""

    commits = 0

    async def commit(self) -> None:
        await asyncio.sleep(0)
        CountingUnitOfWork.commits += 1
        await super().commit()


class Bench:
    """A journal, a store with changes that wait, and one process between them."""

    def __init__(self) -> None:
        CountingUnitOfWork.commits = 0
        self.data = JournalData()
        self.store = InMemoryShadowStore.begun()
        self.stream = UnsteadyStream(self.store)
        self.service = JournalService(unit_of_work=partial(CountingUnitOfWork, self.data), stream=self.stream)

    async def write(self, changes: list[ShadowChange]) -> list[ShadowChange]:
        shadows = InMemoryShadowRepository(self.store)
        stored = [await shadows.save(change, replacing=change.version - 1, fsynced=False) for change in changes]
        assert None not in stored
        return [change for change in stored if change]

    async def record(self, consumer: str = "worker-1") -> int:
        return await self.service.record_next(consumer=consumer, wait_seconds=0)

    @property
    def versions(self) -> list[int]:
        return sorted(version for _, version in self.data.changes)


async def test_what_waits_is_brought_into_the_journal_and_waits_no_more() -> None:
    bench = Bench()
    await bench.write(make_history(KEY, [reporting({"a": number}) for number in range(3)]))

    assert await bench.record() == 3
    assert await bench.record() == 0

    assert bench.versions == [1, 2, 3]
    assert (await bench.stream.measure()).length == 0


async def test_with_the_journal_away_what_was_taken_is_held_and_brought_when_it_is_back() -> None:
    bench = Bench()
    await bench.write(make_history(KEY, [reporting({})] * 3))
    bench.data.is_away = True

    for _ in range(2):
        with pytest.raises(UnavailableError, match="telemetry"):
            await bench.record()
    assert (await bench.stream.measure()).length == 3
    bench.data.is_away = False

    assert await bench.record() == 3
    assert bench.versions == [1, 2, 3]
    assert (await bench.stream.measure()).length == 0


async def test_with_the_store_away_before_it_could_be_settled_it_is_brought_again() -> None:
    bench = Bench()
    await bench.write(make_history(KEY, [reporting({})] * 3))
    bench.stream.is_away = True

    with pytest.raises(UnavailableError, match="shadow"):
        await bench.record()
    assert bench.versions == [1, 2, 3]
    bench.stream.is_away = False

    assert await bench.record() == 3
    assert bench.versions == [1, 2, 3]
    assert (await bench.stream.measure()).length == 0


@pytest.mark.parametrize("poisoned", [{0}, {6}, {3}, {0, 1, 5}, set(range(7))])
async def test_what_the_journal_never_takes_is_put_aside_and_stops_nothing(poisoned: set[int]) -> None:
    bench = Bench()
    changes = make_history(KEY, [reporting({})] * 7)
    await bench.write(
        [
            replace(change, correlation_id="\0") if place in poisoned else change
            for place, change in enumerate(changes)
        ]
    )

    with capture_logs() as logs:
        assert await bench.record() == 7

    assert bench.versions == [place + 1 for place in range(7) if place not in poisoned]
    assert sorted(version for _, version in bench.data.refused) == [place + 1 for place in sorted(poisoned)]
    assert [line["version"] for line in logs if line["event"] == "shadow.change.refused"] == [
        place + 1 for place in sorted(poisoned)
    ]
    assert (await bench.stream.measure()).length == 0


async def test_changes_that_ask_for_very_much_are_written_a_few_at_a_time() -> None:
    bench = Bench()
    much = wanting({f"leaf{number}": 1 for number in range(journal_module.NOTES_AT_ONCE // 4)})
    await bench.write(make_history(KEY, [much] * 6 + [reporting({})] * 3))

    assert await bench.record() == 9

    assert bench.versions == list(range(1, 10))
    # The first asks for a quarter of what is good at once, and each other asks for as much and settles as much.
    assert CountingUnitOfWork.commits == 3


async def test_so_are_those_that_are_handed_over() -> None:
    bench = Bench()
    much = wanting({f"leaf{number}": 1 for number in range(journal_module.NOTES_AT_ONCE // 4)})

    await bench.service.record(make_history(KEY, [much] * 6 + [reporting({})] * 3))

    assert bench.versions == list(range(1, 10))
    assert CountingUnitOfWork.commits == 3


async def test_several_workers_share_what_waits() -> None:
    bench = Bench()
    other = JournalService(unit_of_work=partial(InMemoryJournalUnitOfWork, bench.data), stream=bench.stream)
    await bench.write(make_history(KEY, [reporting({})] * 9))

    recorded = await asyncio.gather(bench.record(), other.record_next(consumer="worker-2", wait_seconds=0))

    assert sum(recorded) == 9
    assert bench.versions == list(range(1, 10))


async def test_what_has_to_be_there_at_once_is_there_and_comes_from_the_stream_besides() -> None:
    bench = Bench()
    stored = await bench.write(make_history(KEY, [reporting({})]))

    await bench.service.append_now(changes=stored)
    assert bench.versions == [1]
    assert (await bench.stream.measure()).length == 1
    await bench.record()

    assert bench.versions == [1]


async def test_many_who_want_it_at_once_go_together() -> None:
    bench = Bench()
    changes = make_history(KEY, [reporting({})] * 20)

    await asyncio.gather(*(bench.service.append_now(changes=[change]) for change in changes))

    assert bench.versions == list(range(1, 21))
    # All that came before the first had its turn, whose own is one of them.
    assert CountingUnitOfWork.commits <= 2


async def test_each_of_many_is_told_that_the_journal_is_away() -> None:
    bench = Bench()
    changes = make_history(KEY, [reporting({})] * 5)
    bench.data.is_away = True

    outcomes = await asyncio.gather(
        *(bench.service.append_now(changes=[change]) for change in changes), return_exceptions=True
    )

    assert [type(outcome) for outcome in outcomes] == [UnavailableError] * 5
    bench.data.is_away = False
    await bench.service.append_now(changes=changes)
    assert bench.versions == [1, 2, 3, 4, 5]


async def test_nobody_waits_long_for_a_journal_that_is_slow() -> None:
    class FrozenUnitOfWork(InMemoryJournalUnitOfWork):
        async def commit(self) -> None:
            await asyncio.Event().wait()

    service = JournalService(unit_of_work=partial(FrozenUnitOfWork, JournalData()), stream=Bench().stream)
    changes = make_history(KEY, [reporting({})] * 3)

    async with asyncio.timeout(10 * journal_module.APPEND_SECONDS):
        outcomes = await asyncio.gather(
            *(service.append_now(changes=[change]) for change in changes), return_exceptions=True
        )

    assert [type(outcome) for outcome in outcomes] == [UnavailableError] * 3


async def test_what_cannot_be_taken_is_put_aside_also_when_it_was_wanted_at_once() -> None:
    bench = Bench()
    fine, poison = make_history(KEY, [reporting({})] * 2)

    await bench.service.append_now(changes=[fine, replace(poison, correlation_id="\0")])

    assert bench.versions == [1]
    assert [version for _, version in bench.data.refused] == [2]
