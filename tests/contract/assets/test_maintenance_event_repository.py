from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from iotsphere.assets.errors import MaintenanceEventNotFoundError
from iotsphere.assets.maintenance_event import MaintenanceEvent, MaintenanceFilter, MaintenanceKind
from iotsphere.assets.ports import AssetsUnitOfWorkFactory
from iotsphere.kernel.errors import MalformedInputError
from iotsphere.kernel.identifiers import DeviceId, MaintenanceEventId, OrganisationId
from iotsphere.kernel.pagination import encode_cursor
from tests.factories.assets import FIRST_DAY, build_maintenance_event


@pytest.fixture
def ours() -> OrganisationId:
    return OrganisationId(uuid4())


async def keep(unit_of_work: AssetsUnitOfWorkFactory, *events: MaintenanceEvent) -> None:
    async with unit_of_work() as uow:
        await uow.maintenance_events.add(*events)
        await uow.commit()


async def found(
    unit_of_work: AssetsUnitOfWorkFactory, organisation_id: OrganisationId, **narrowed_to: Any
) -> list[MaintenanceEvent]:
    async with unit_of_work() as uow:
        page = await uow.maintenance_events.list(
            organisation_id, MaintenanceFilter(**narrowed_to), limit=500, cursor=None
        )
    assert page.next_cursor is None
    return page.items


@pytest.mark.parametrize("kind", MaintenanceKind)
async def test_an_event_comes_back_as_it_was_kept(
    unit_of_work: AssetsUnitOfWorkFactory, kind: MaintenanceKind
) -> None:
    event = build_maintenance_event(kind=kind, component="Ölpumpe 😀", notes="a\nb\t'; --")
    bare = build_maintenance_event(kind=kind, component=None, notes=None, cost=None)

    await keep(unit_of_work, event, bare)

    async with unit_of_work() as uow:
        assert await uow.maintenance_events.get(event.device_id, event.id) == event
        assert await uow.maintenance_events.get(bare.device_id, bare.id, for_update=True) == bare


@pytest.mark.parametrize(
    "cost",
    [0, 1, 1.0, 0.1, 120.50, 10**18, 9007199254740993, 123456789.01, 5e-324, 1 / 3, 100, 0.0, 250.0, 1e16, 1e18],
)
async def test_a_cost_is_kept_exactly(unit_of_work: AssetsUnitOfWorkFactory, cost: float) -> None:
    event = build_maintenance_event(cost=cost)

    await keep(unit_of_work, event)

    async with unit_of_work() as uow:
        kept = await uow.maintenance_events.get(event.device_id, event.id)
    assert kept.cost == cost
    assert type(kept.cost) is type(cost)


async def test_the_oldest_and_the_finest_time_is_kept(unit_of_work: AssetsUnitOfWorkFactory) -> None:
    event = build_maintenance_event(occurred_at=datetime(1900, 1, 1, 0, 0, 0, 1, tzinfo=UTC))

    await keep(unit_of_work, event)

    async with unit_of_work() as uow:
        assert (await uow.maintenance_events.get(event.device_id, event.id)).occurred_at == event.occurred_at


async def test_nothing_is_kept_without_a_commit(unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId) -> None:
    async with unit_of_work() as uow:
        await uow.maintenance_events.add(build_maintenance_event(organisation_id=ours))

    assert await found(unit_of_work, ours) == []


async def test_an_event_is_found_with_its_own_device_alone(unit_of_work: AssetsUnitOfWorkFactory) -> None:
    event = build_maintenance_event()
    await keep(unit_of_work, event)

    async with unit_of_work() as uow:
        with pytest.raises(MaintenanceEventNotFoundError):
            await uow.maintenance_events.get(DeviceId(uuid4()), event.id)
        with pytest.raises(MaintenanceEventNotFoundError):
            await uow.maintenance_events.get(event.device_id, MaintenanceEventId(uuid4()))


async def test_what_is_removed_is_gone_and_the_rest_stays(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    gone, stays = (build_maintenance_event(organisation_id=ours) for _ in range(2))
    await keep(unit_of_work, gone, stays)

    async with unit_of_work() as uow:
        await uow.maintenance_events.remove(gone)
        await uow.commit()

    assert await found(unit_of_work, ours) == [stays]


async def test_events_are_listed_by_when_they_happened_then_by_id(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    late, early = (build_maintenance_event(organisation_id=ours, occurred_at=at) for at in (FIRST_DAY, LONG_AGO))
    twins = [
        build_maintenance_event(id=UUID(int=number), organisation_id=ours, occurred_at=FIRST_DAY + timedelta(days=1))
        for number in twin_numbers()
    ]
    await keep(unit_of_work, late, *twins, early)

    listed = await found(unit_of_work, ours)

    assert listed == [early, late, *sorted(twins, key=lambda twin: twin.id)]


LONG_AGO = datetime(1950, 5, 1, tzinfo=UTC)


def twin_numbers() -> list[int]:
    """Give numbers for ids that nobody else has, not in order."""
    first = uuid4().int & ~0xF
    return [first + 2, first, first + 1]


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
async def test_pages_follow_each_other_without_gap_or_overlap(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, limit: int
) -> None:
    # Several at a time: the id, too, tells where a page ended.
    events = [
        build_maintenance_event(organisation_id=ours, occurred_at=FIRST_DAY + timedelta(days=number // 3))
        for number in range(7)
    ]
    await keep(unit_of_work, *events)

    listed: list[MaintenanceEvent] = []
    cursor: str | None = None
    while True:
        async with unit_of_work() as uow:
            page = await uow.maintenance_events.list(ours, MaintenanceFilter(), limit=limit, cursor=cursor)
        assert len(page.items) <= limit
        listed += page.items
        cursor = page.next_cursor
        if cursor is None:
            break

    assert listed == sorted(events, key=lambda event: (event.occurred_at, event.id))


async def test_a_list_is_narrowed_by_each_part_of_the_filter(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    first = build_maintenance_event(organisation_id=ours, occurred_at=FIRST_DAY, component="seal")
    changes: tuple[dict[str, Any], ...] = (
        {"kind": MaintenanceKind.FAILURE},
        {"component": "Seal"},
        {"component": None},
        {"device_id": DeviceId(uuid4())},
        {"occurred_at": FIRST_DAY + timedelta(hours=1)},
    )
    others = [replace(first, id=MaintenanceEventId(uuid4()), **change) for change in changes]
    failed, capital, whole, elsewhere, later = others
    await keep(unit_of_work, first, *others)

    async def are(expected: Collection[MaintenanceEvent], **narrowed_to: Any) -> bool:
        return {event.id for event in await found(unit_of_work, ours, **narrowed_to)} == {
            event.id for event in expected
        }

    assert await are([first, *others])
    assert await are([failed], kind=MaintenanceKind.FAILURE)
    assert await are([capital], component="Seal")
    assert await are([elsewhere], device_ids=frozenset([elsewhere.device_id]))
    assert await are([first, *others], device_ids=frozenset([elsewhere.device_id, first.device_id]))
    assert await are([], device_ids=frozenset())
    # The start belongs to it, the end does not.
    assert await are([later], start=FIRST_DAY + timedelta(hours=1))
    assert await are([first, failed, capital, whole, elsewhere], end=FIRST_DAY + timedelta(hours=1))
    assert await are([], start=FIRST_DAY, end=FIRST_DAY)
    assert await are([first], kind=first.kind, component="seal", device_ids=frozenset([first.device_id]), end=LATER)


LATER = FIRST_DAY + timedelta(minutes=1)


async def test_an_organisation_sees_its_own_events_alone(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    event = build_maintenance_event(organisation_id=ours)
    await keep(unit_of_work, event)

    theirs = OrganisationId(uuid4())
    assert await found(unit_of_work, theirs) == []
    assert await found(unit_of_work, theirs, device_ids=frozenset([event.device_id])) == []


@pytest.mark.parametrize("cursor", ["x", "", encode_cursor("a", "b"), encode_cursor(FIRST_DAY)])
async def test_a_cursor_that_no_list_gave_out_is_refused(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, cursor: str
) -> None:
    async with unit_of_work() as uow:
        with pytest.raises(MalformedInputError):
            await uow.maintenance_events.list(ours, MaintenanceFilter(), limit=1, cursor=cursor)
