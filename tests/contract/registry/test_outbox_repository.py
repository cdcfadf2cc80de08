from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from iotsphere.kernel.identifiers import EventId
from iotsphere.registry.model import OutboxEvent
from tests.contract.registry.stores import RegistryStore
from tests.factories.registry import build_event

NOW = datetime(2027, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
UNTIL = NOW + 5 * SECOND


async def claim(store: RegistryStore, *, now: datetime = NOW, limit: int = 100) -> list[OutboxEvent]:
    async with store.unit_of_work() as uow:
        claimed = await uow.outbox.claim_due(now=now, until=now + 5 * SECOND, limit=limit)
        await uow.commit()
    return claimed


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"name": "Pümpe 😀", "properties": {"a": [1, 1.5, None, True, {}, []]}, "capabilities": [{"name": "c"}]},
        {"deep": {"er": [[[["est"]]]]}, "": 2**70},
    ],
)
async def test_an_event_comes_back_with_every_field(store: RegistryStore, payload: dict[str, Any]) -> None:
    event = build_event(payload=payload, due_at=NOW, attempts=3, correlation_id="!~")
    await store.add_events(event)

    assert await claim(store) == [replace(event, due_at=UNTIL)]


async def test_events_are_claimed_oldest_first_and_no_more_than_asked(store: RegistryStore) -> None:
    events = [build_event() for _ in range(5)]
    await store.add_events(*reversed(events))

    assert [event.id for event in await claim(store, limit=3)] == [event.id for event in events[:3]]
    assert [event.id for event in await claim(store, limit=3)] == [event.id for event in events[3:]]
    assert await claim(store) == []


async def test_what_is_not_due_is_left(store: RegistryStore) -> None:
    due, later = build_event(due_at=NOW), build_event(due_at=NOW + timedelta(microseconds=1))
    await store.add_events(due, later)

    assert [event.id for event in await claim(store)] == [due.id]
    assert [event.id for event in await claim(store, now=NOW + SECOND)] == [later.id]


async def test_a_claim_that_runs_out_frees_the_event(store: RegistryStore) -> None:
    event = build_event()
    await store.add_events(event)
    await claim(store)

    assert await claim(store, now=UNTIL - SECOND) == []
    assert [again.id for again in await claim(store, now=UNTIL)] == [event.id]


async def test_a_claim_that_is_not_committed_takes_nothing(store: RegistryStore) -> None:
    event = build_event()
    await store.add_events(event)

    async with store.unit_of_work() as uow:
        assert len(await uow.outbox.claim_due(now=NOW, until=UNTIL, limit=1)) == 1

    assert [again.id for again in await claim(store)] == [event.id]


async def test_a_postponed_event_is_due_when_it_was_put_off_to_and_counts_the_attempt(store: RegistryStore) -> None:
    event = build_event()
    await store.add_events(event)

    for attempt in (1, 2):
        async with store.unit_of_work() as uow:
            await uow.outbox.postpone(event.id, due_at=NOW + attempt * SECOND)
            await uow.commit()

    assert await claim(store, now=NOW + SECOND) == []
    claimed = await claim(store, now=NOW + 2 * SECOND)
    assert claimed == [replace(event, attempts=2, due_at=NOW + 7 * SECOND)]


async def test_a_removed_event_is_gone_and_the_others_stay(store: RegistryStore) -> None:
    removed, kept = build_event(), build_event()
    await store.add_events(removed, kept)

    async with store.unit_of_work() as uow:
        await uow.outbox.remove(removed.id)
        await uow.commit()

    assert [event.id for event in await claim(store)] == [kept.id]


async def test_what_is_settled_already_may_be_postponed_or_removed_once_more(store: RegistryStore) -> None:
    async with store.unit_of_work() as uow:
        await uow.outbox.postpone(EventId(uuid4()), due_at=NOW)
        await uow.outbox.remove(EventId(uuid4()))
        await uow.commit()

    assert await claim(store) == []


async def test_events_are_added_put_off_and_removed_together(store: RegistryStore) -> None:
    events = [build_event(due_at=NOW) for _ in range(4)]
    async with store.unit_of_work() as uow:
        await uow.outbox.add(*events)
        await uow.outbox.remove(events[0].id, events[1].id, EventId(uuid4()))
        await uow.outbox.postpone(events[2].id, EventId(uuid4()), due_at=NOW + SECOND)
        await uow.commit()

    assert await claim(store) == [replace(events[3], due_at=UNTIL)]
    [later] = await claim(store, now=NOW + SECOND)
    assert (later.id, later.attempts) == (events[2].id, 1)
