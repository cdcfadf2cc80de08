from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from iotsphere.audit.model import ChainFaultKind, ChainHead, Waiting
from iotsphere.audit.service import WALKED_AT_ONCE, AuditService, SealingService
from iotsphere.kernel.audit import AuditEntry
from tests.factories.audit import build_entry
from tests.fakes.registry import InMemoryRegistryUnitOfWork, RegistryTables

SECRET_KEY = "a secret of more than thirty-two characters"
NEXT_SECRET_KEY = "the secret by which that one was replaced"


class Bench:
    def __init__(self) -> None:
        self.tables = RegistryTables()
        self.unit_of_work = partial(InMemoryRegistryUnitOfWork, self.tables)
        self.trail = AuditService(unit_of_work=self.unit_of_work)
        self.sealing = SealingService(unit_of_work=self.unit_of_work, secret_key=SECRET_KEY)

    def add(self, count: int = 1) -> list[AuditEntry]:
        entries = [build_entry() for _ in range(count)]
        self.tables.audit.update({entry.id: entry for entry in entries})
        return entries

    def position_of(self, entry: AuditEntry) -> int:
        return self.tables.places[entry.id].position


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_an_entry_of_its_own_is_kept(bench: Bench) -> None:
    entry = build_entry()

    await bench.trail.record_entry(entry=entry)

    assert bench.tables.audit == {entry.id: entry}


async def test_entries_are_sealed_by_time_and_no_more_at_once_than_asked(bench: Bench) -> None:
    first, second, third = bench.add(3)

    assert [record.entry for record in await bench.sealing.seal_entries(limit=2)] == [first, second]
    assert [record.entry for record in await bench.sealing.seal_entries(limit=2)] == [third]
    assert await bench.sealing.seal_entries() == []
    assert [bench.position_of(entry) for entry in (first, second, third)] == [1, 2, 3]


async def test_an_entry_that_comes_late_gets_a_later_place(bench: Bench) -> None:
    [entry] = bench.add()
    await bench.sealing.seal_entries()
    late = replace(build_entry(), at=entry.at - timedelta(days=1))
    bench.tables.audit[late.id] = late

    await bench.sealing.seal_entries()

    assert bench.position_of(late) == 2
    assert (await bench.sealing.walk_chain()).faults == []


async def test_a_walk_tells_how_far_it_is_and_what_it_found(bench: Bench) -> None:
    entries = bench.add(WALKED_AT_ONCE + 1)
    await bench.sealing.seal_entries(limit=2 * WALKED_AT_ONCE)
    bench.tables.audit[entries[6].id] = replace(entries[6], actor="user:somebody else")
    told: list[int] = []

    report = await bench.sealing.walk_chain(tell=told.append)

    assert told == [WALKED_AT_ONCE, WALKED_AT_ONCE + 1]
    assert [(fault.kind, fault.position, fault.entry_id) for fault in report.faults] == [
        (ChainFaultKind.ALTERED, 7, entries[6].id)
    ]
    assert (report.sealed, report.head) == (WALKED_AT_ONCE + 1, await bench.sealing.find_head())


async def test_a_noted_head_shows_that_the_end_was_cut_off(bench: Bench) -> None:
    entries = bench.add(3)
    await bench.sealing.seal_entries()
    noted = await bench.sealing.find_head()
    assert noted is not None
    bench.add(2)
    await bench.sealing.seal_entries()
    assert await bench.sealing.holds_head(head=noted)

    for entry_id in [entry_id for entry_id, place in bench.tables.places.items() if place.position >= 3]:
        del bench.tables.places[entry_id], bench.tables.audit[entry_id]

    assert (await bench.sealing.walk_chain()).faults == []
    assert not await bench.sealing.holds_head(head=noted)
    bench.tables.places[entries[0].id] = ChainHead(3, bytes(32))
    assert not await bench.sealing.holds_head(head=noted)


async def test_what_waits_is_counted(bench: Bench) -> None:
    assert await bench.sealing.count_waiting() == Waiting(0, None)
    first, _ = bench.add(2)
    assert await bench.sealing.count_waiting() == Waiting(2, first.at)
    await bench.sealing.seal_entries(limit=1)
    assert (await bench.sealing.count_waiting()).count == 1


async def test_a_chain_outlives_the_secret_key_that_it_was_begun_under(bench: Bench) -> None:
    bench.add(2)
    await bench.sealing.seal_entries()
    bench.add()
    renewed = SealingService(
        unit_of_work=bench.unit_of_work, secret_key=NEXT_SECRET_KEY, previous_secret_keys=[SECRET_KEY]
    )
    await renewed.seal_entries()

    assert (await renewed.walk_chain()).faults == []
    forgetful = SealingService(unit_of_work=bench.unit_of_work, secret_key=NEXT_SECRET_KEY)
    assert [fault.position for fault in (await forgetful.walk_chain()).faults] == [1, 2]
