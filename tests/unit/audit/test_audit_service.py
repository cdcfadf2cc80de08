from dataclasses import replace
from datetime import timedelta
from functools import partial
from uuid import UUID, uuid4

import pytest

from iotsphere.audit.allowance import MINUTE_SECONDS, MOST_NAMES, RefusalAllowance
from iotsphere.audit.model import ChainFaultKind, ChainHead, Waiting
from iotsphere.audit.service import (
    REFUSALS_OF_A_CALLER,
    REFUSALS_OF_A_STRANGER,
    REFUSALS_OF_STRANGERS,
    WALKED_AT_ONCE,
    AuditService,
    SealingService,
)
from iotsphere.kernel.audit import Attempt, AuditEntry, AuditOutcome
from iotsphere.kernel.errors import NotFoundError
from iotsphere.kernel.identifiers import OrganisationId
from tests.factories.audit import build_entry
from tests.factories.identity import build_attempt
from tests.fakes.identity import ManualClock
from tests.fakes.registry import InMemoryRegistryUnitOfWork, RegistryTables

SECRET_KEY = "a secret of more than thirty-two characters"
NEXT_SECRET_KEY = "the secret by which that one was replaced"
STRANGER = Attempt(None, "log_in", "192.0.2.1", "request-1")


class Bench:
    def __init__(self) -> None:
        self.tables = RegistryTables()
        self.unit_of_work = partial(InMemoryRegistryUnitOfWork, self.tables)
        self.seconds = 0.0
        allowance = RefusalAllowance(monotonic=lambda: self.seconds)
        self.clock = ManualClock()
        self.trail = AuditService(unit_of_work=self.unit_of_work, clock=self.clock, allowance=allowance)
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


class NoSuchThingError(NotFoundError):
    code = "some.thing.not_found"


async def refuse(bench: Bench, attempt: Attempt, *, source: str = "192.0.2.1") -> bool:
    error = NoSuchThingError("There is none.")
    return await bench.trail.record_refusal(attempt=attempt, error=error, target="thing:1", source=source)


async def test_a_change_elsewhere_is_kept_with_all_that_is_known_of_it(bench: Bench) -> None:
    attempt = build_attempt()

    await bench.trail.record_change(attempt=attempt, target="asset:1", details={"version": 2})

    [entry] = bench.tables.audit.values()
    assert replace(entry, id=UUID(int=0)) == AuditEntry(
        id=UUID(int=0),
        at=bench.clock.now,
        organisation_id=attempt.organisation_id,
        actor=attempt.actor.name if attempt.actor else "",
        action="do_something",
        target="asset:1",
        address="192.0.2.1",
        correlation_id="request-1",
        outcome=AuditOutcome.DONE,
        details={"version": 2},
    )


async def test_a_refusal_is_kept_with_its_code_and_target(bench: Bench) -> None:
    assert await refuse(bench, build_attempt())

    [entry] = bench.tables.audit.values()
    assert (entry.outcome, entry.code, entry.target) == (AuditOutcome.REFUSED, "some.thing.not_found", "thing:1")
    assert entry.details == {}


async def test_a_strangers_refusal_belongs_to_whom_the_tried_thing_belongs(bench: Bench) -> None:
    error = NoSuchThingError("There is none.")
    error.organisation_id = OrganisationId(uuid4())

    await bench.trail.record_refusal(attempt=STRANGER, error=error, target=None, source="192.0.2.1")
    await refuse(bench, STRANGER)

    assert [entry.organisation_id for entry in bench.tables.audit.values()] == [error.organisation_id, None]


async def test_a_stranger_cannot_flood_the_trail(bench: Bench) -> None:
    kept = [await refuse(bench, STRANGER) for _ in range(REFUSALS_OF_A_STRANGER + 7)]
    assert kept == [True] * REFUSALS_OF_A_STRANGER + [False] * 7
    assert await refuse(bench, STRANGER, source="192.0.2.2")

    bench.seconds += MINUTE_SECONDS
    assert await refuse(bench, STRANGER)
    assert await refuse(bench, STRANGER)

    assert [entry.details for entry in list(bench.tables.audit.values())[-2:]] == [{"unrecorded_before": 7}, {}]


async def test_a_stranger_of_many_addresses_cannot_either(bench: Bench) -> None:
    kept = [await refuse(bench, STRANGER, source=f"source {n}") for n in range(REFUSALS_OF_STRANGERS + 5)]

    assert kept.count(True) == len(bench.tables.audit) == REFUSALS_OF_STRANGERS
    assert await refuse(bench, build_attempt(), source="user:1")


async def test_a_caller_has_more_and_is_counted_apart(bench: Bench) -> None:
    known = build_attempt()
    kept = [await refuse(bench, known, source="user:1") for _ in range(REFUSALS_OF_A_CALLER + 1)]

    assert kept == [True] * REFUSALS_OF_A_CALLER + [False]
    assert await refuse(bench, known, source="user:2")


def test_the_counts_of_many_strangers_take_no_more_room_than_those_of_some() -> None:
    allowance = RefusalAllowance(monotonic=lambda: 0.0)
    assert allowance.take("first", limit=1) == 0
    assert allowance.take("first", limit=1) is None

    for number in range(MOST_NAMES):
        assert allowance.take(str(number), limit=1) == 0

    assert allowance.take("first", limit=1) == 0


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
