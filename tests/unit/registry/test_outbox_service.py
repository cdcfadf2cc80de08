from datetime import timedelta
from functools import partial

import pytest

from iotsphere.registry.model import OutboxEvent
from iotsphere.registry.service import CLAIM, LONGEST_DELAY, OutboxService
from tests.factories.registry import build_event
from tests.fakes.identity import ManualClock
from tests.fakes.registry import InMemoryRegistryUnitOfWork, RegistryTables


class Bench:
    def __init__(self) -> None:
        self.tables = RegistryTables()
        self.clock = ManualClock()
        self.service = OutboxService(unit_of_work=partial(InMemoryRegistryUnitOfWork, self.tables), clock=self.clock)

    def add(self) -> OutboxEvent:
        event = build_event(created_at=self.clock.now)
        self.tables.outbox[event.id] = event
        return event


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_who_claims_an_event_has_it_for_a_while(bench: Bench) -> None:
    event = bench.add()

    assert [claimed.id for claimed in await bench.service.claim_due_events(limit=10)] == [event.id]
    bench.clock.now += CLAIM - timedelta(microseconds=1)
    assert await bench.service.claim_due_events(limit=10) == []
    bench.clock.advance(microseconds=1)
    assert len(await bench.service.claim_due_events(limit=10)) == 1


async def test_a_settled_event_is_gone(bench: Bench) -> None:
    event, other, kept = bench.add(), bench.add(), bench.add()

    await bench.service.settle_events(events=[event])
    await bench.service.settle_events(events=[event, other])

    assert list(bench.tables.outbox) == [kept.id]


async def test_a_postponed_event_waits_longer_every_time_but_never_over_a_second(bench: Bench) -> None:
    event = bench.add()
    delays = []

    for _ in range(2_000):
        await bench.service.postpone_events(events=[event])
        event = bench.tables.outbox[event.id]
        delays.append(event.due_at - bench.clock.now)

    assert event.attempts == 2_000
    assert [delay.total_seconds() for delay in delays[:5]] == [0.1, 0.2, 0.4, 0.8, 1.0]
    assert max(delays) == LONGEST_DELAY
