from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from iotsphere.audit.model import AuditFilter, AuditRecord, AuditScope, ChainHead, Waiting
from iotsphere.kernel.audit import AuditEntry, AuditOutcome
from iotsphere.kernel.identifiers import OrganisationId
from iotsphere.kernel.pagination import CursorMalformedError
from tests.contract.registry.stores import RegistryStore
from tests.factories.audit import build_entry

OURS, THEIRS = OrganisationId(uuid4()), OrganisationId(uuid4())
ALL = AuditFilter()
MICROSECOND = timedelta(microseconds=1)
ONE, OTHER = str(uuid4()), str(uuid4())


async def add(store: RegistryStore, *entries: AuditEntry) -> None:
    async with store.unit_of_work() as uow:
        await uow.trail.add(*entries)
        await uow.commit()


async def entries(store: RegistryStore, narrowed_to: AuditFilter = ALL, **scope: Any) -> list[AuditEntry]:
    async with store.unit_of_work() as uow:
        page = await uow.trail.list(AuditScope(OURS, **scope), narrowed_to, limit=500, cursor=None)
    assert page.next_cursor is None
    return [record.entry for record in page.items]


async def place(store: RegistryStore, *placed: tuple[AuditEntry, ChainHead]) -> None:
    async with store.unit_of_work() as uow:
        await uow.trail.save_places([AuditRecord(entry, head) for entry, head in placed])
        await uow.commit()


def head(position: int) -> ChainHead:
    return ChainHead(position, bytes([position]) * 32)


def ours(**given: Any) -> AuditEntry:
    return build_entry(organisation_id=OURS, **given)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"outcome": AuditOutcome.REFUSED, "code": "registry.device.not_found", "target": f"device:{ONE}"},
        {"actor": f"user:{ONE}", "address": "2001:db8::1", "correlation_id": "!~" * 64},
        {"details": {"name": "Pümpe 😀", "deep": {"er": [1, 1.5, None, True, {}, []]}, "": 2**70}},
    ],
)
async def test_an_entry_comes_back_with_every_field(store: RegistryStore, given: dict[str, Any]) -> None:
    entry = ours(**given)
    await add(store, entry)

    assert await entries(store) == [entry]


async def test_the_entries_of_others_are_not_seen(store: RegistryStore) -> None:
    mine, nobodys = ours(), build_entry()
    await add(store, mine, nobodys, build_entry(organisation_id=THEIRS))

    assert await entries(store) == [mine]
    assert await entries(store, with_unowned=True) == [mine, nobodys]


async def test_entries_are_listed_by_time_then_id_on_any_pages(store: RegistryStore) -> None:
    at = ours().at
    twins = [ours(at=at, id=UUID(int=number)) for number in (1, 2, 3)]
    added = [*twins, build_entry(at=at + MICROSECOND), ours(at=at + 2 * MICROSECOND)]
    await add(store, *reversed(added))
    seen: list[AuditEntry] = []
    cursor = None

    while True:
        async with store.unit_of_work() as uow:
            page = await uow.trail.list(AuditScope(OURS, with_unowned=True), ALL, limit=2, cursor=cursor)
        seen += [record.entry for record in page.items]
        if (cursor := page.next_cursor) is None:
            break

    assert seen == added


async def test_a_cursor_of_another_list_is_refused(store: RegistryStore) -> None:
    async with store.unit_of_work() as uow:
        with pytest.raises(CursorMalformedError):
            await uow.trail.list(AuditScope(OURS), ALL, limit=2, cursor="WyJhIl0")


@pytest.mark.parametrize(
    ("narrowed_to", "found"),
    [
        (AuditFilter(actor=f"user:{ONE}"), [0]),
        (AuditFilter(actor=ONE), [0, 1]),
        (AuditFilter(actor=f"integration:{OTHER}"), []),
        (AuditFilter(actor="anonymous"), [2]),
        (AuditFilter(actor="anonymous:"), []),
        (AuditFilter(actor=":"), []),
        (AuditFilter(actor=""), []),
        (AuditFilter(actor="anonym%"), []),
        (AuditFilter(target=f"device:{OTHER}"), [0, 1]),
        (AuditFilter(target=OTHER), [0, 1]),
        (AuditFilter(target=f"user:{OTHER}"), []),
        (AuditFilter(action="register_device"), [0]),
        (AuditFilter(action="register"), []),
        (AuditFilter(outcome=AuditOutcome.REFUSED), [1, 2]),
        (AuditFilter(correlation_id="request-2"), [2]),
        (AuditFilter(actor=ONE, target=OTHER, outcome=AuditOutcome.DONE), [0]),
    ],
)
async def test_a_list_is_narrowed(store: RegistryStore, narrowed_to: AuditFilter, found: list[int]) -> None:
    refused = {"outcome": AuditOutcome.REFUSED, "code": "a.b.c"}
    added = [
        ours(actor=f"user:{ONE}", target=f"device:{OTHER}", action="register_device"),
        ours(actor=f"integration:{ONE}", target=f"device:{OTHER}", **refused),
        ours(correlation_id="request-2", **refused),
    ]
    await add(store, *added, build_entry(organisation_id=THEIRS, actor=f"user:{ONE}", target=f"device:{OTHER}"))

    assert await entries(store, narrowed_to) == [added[number] for number in found]


async def test_the_start_counts_and_the_end_does_not(store: RegistryStore) -> None:
    first, second, third = [ours() for _ in range(3)]
    await add(store, first, second, third)

    assert await entries(store, AuditFilter(start=second.at)) == [second, third]
    assert await entries(store, AuditFilter(start=second.at + MICROSECOND)) == [third]
    assert await entries(store, AuditFilter(end=second.at)) == [first]
    assert await entries(store, AuditFilter(start=first.at, end=second.at + MICROSECOND)) == [first, second]
    assert await entries(store, AuditFilter(start=third.at, end=first.at)) == []


async def test_what_has_no_place_is_listed_by_time_whoever_it_belongs_to(store: RegistryStore) -> None:
    first, second, third = ours(), build_entry(organisation_id=THEIRS), build_entry()
    await add(store, third, second, first)

    async with store.unit_of_work() as uow:
        assert await uow.trail.list_unsealed(limit=2) == [first, second]
        assert await uow.trail.count_unsealed() == Waiting(3, first.at)
        assert await uow.trail.find_head() is None
    await place(store, (first, head(1)))
    async with store.unit_of_work() as uow:
        assert await uow.trail.list_unsealed(limit=5) == [second, third]
        assert await uow.trail.count_unsealed() == Waiting(2, second.at)


async def test_the_chain_is_listed_in_its_own_order(store: RegistryStore) -> None:
    first, second, third = ours(), ours(), ours()
    await add(store, first, second, third)
    await place(store, (third, head(1)), (first, head(2)), (second, head(3)))

    async with store.unit_of_work() as uow:
        chain = await uow.trail.list_sealed(after=None, limit=9)
        assert await uow.trail.list_sealed(after=1, limit=1) == chain[1:2]
        assert await uow.trail.list_sealed(after=3, limit=9) == []
        assert await uow.trail.find_head(for_sealing=True) == head(3)
        assert await uow.trail.find_place(2) == head(2)
        assert await uow.trail.find_place(4) is None
        assert await uow.trail.count_unsealed() == Waiting(0, None)
    assert [(record.entry, record.place) for record in chain] == [
        (third, head(1)),
        (first, head(2)),
        (second, head(3)),
    ]


async def test_a_list_shows_the_places(store: RegistryStore) -> None:
    sealed, unsealed = ours(), ours()
    await add(store, sealed, unsealed)
    await place(store, (sealed, head(1)))

    async with store.unit_of_work() as uow:
        page = await uow.trail.list(AuditScope(OURS), ALL, limit=5, cursor=None)
    assert page.items == [AuditRecord(sealed, head(1)), AuditRecord(unsealed, None)]


async def test_without_a_commit_nothing_is_kept(store: RegistryStore) -> None:
    async with store.unit_of_work() as uow:
        await uow.trail.add(replace(ours(), code="a.b.c"))

    assert await entries(store) == []
