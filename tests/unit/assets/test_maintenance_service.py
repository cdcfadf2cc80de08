from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from iotsphere.assets.errors import MaintenanceEventNotFoundError
from iotsphere.assets.maintenance import MaintenanceService
from iotsphere.assets.maintenance_event import MaintenanceDraft, MaintenanceEvent, MaintenanceFilter, MaintenanceKind
from iotsphere.kernel.errors import PreconditionFailedError, RuleViolationError
from iotsphere.kernel.identifiers import DeviceId, MaintenanceEventId, OrganisationId
from tests.factories.assets import FIRST_DAY
from tests.fakes.assets import InMemoryAssetsUnitOfWork, MaintenanceEvents

OURS, THEIRS = OrganisationId(uuid4()), OrganisationId(uuid4())
DEVICE, OTHER = DeviceId(uuid4()), DeviceId(uuid4())


def draft(**given: Any) -> MaintenanceDraft:
    said: dict[str, Any] = {"kind": MaintenanceKind.FAILURE, "occurred_at": FIRST_DAY} | given
    return MaintenanceDraft(**said)


@dataclass
class Logbook:
    """The service on a store in memory."""

    now: datetime = FIRST_DAY
    stored: MaintenanceEvents = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.service = MaintenanceService(
            unit_of_work=lambda: InMemoryAssetsUnitOfWork({}, {}, {}, self.stored),
            clock=lambda: self.now,
            new_id=uuid4,
        )

    async def record(self, said: MaintenanceDraft, device_id: DeviceId = DEVICE) -> MaintenanceEvent:
        return await self.service.record_event(
            organisation_id=OURS, device_id=device_id, recorded_by="user:1", draft=said
        )

    async def all(self, organisation_id: OrganisationId = OURS, **narrowed_to: Any) -> list[MaintenanceEvent]:
        page = await self.service.list_events(
            organisation_id=organisation_id, narrowed_to=MaintenanceFilter(**narrowed_to), limit=50, cursor=None
        )
        return page.items


@pytest.fixture
def logbook() -> Logbook:
    return Logbook()


async def test_what_is_recorded_says_by_whom_and_when(logbook: Logbook) -> None:
    logbook.now = FIRST_DAY + timedelta(days=3)

    event = await logbook.record(draft(component="seal", notes="Leaking.", cost=0.1))

    assert await logbook.service.get_event(device_id=DEVICE, event_id=event.id) == event
    assert (event.organisation_id, event.device_id, event.kind) == (OURS, DEVICE, MaintenanceKind.FAILURE)
    assert (event.component, event.notes, event.cost) == ("seal", "Leaking.", 0.1)
    assert (event.occurred_at, event.recorded_at, event.recorded_by) == (FIRST_DAY, logbook.now, "user:1")


async def test_nothing_is_recorded_that_is_yet_to_happen(logbook: Logbook) -> None:
    with pytest.raises(RuleViolationError) as refused:
        await logbook.record(draft(occurred_at=FIRST_DAY + timedelta(minutes=6)))

    assert list(refused.value.errors) == ["occurred_at"]
    assert logbook.stored == {}


async def test_of_many_each_is_answered_for(logbook: Logbook) -> None:
    drafts = [
        (DEVICE, draft()),
        (DEVICE, draft(occurred_at=FIRST_DAY + timedelta(days=1))),
        (OTHER, draft(component="seal")),
    ]

    outcomes = await logbook.service.record_events(organisation_id=OURS, recorded_by="user:1", drafts=drafts)

    kept, refused, also_kept = outcomes
    assert isinstance(refused, RuleViolationError)
    assert list(logbook.stored.values()) == [kept, also_kept]


async def test_of_none_nothing_is_asked_of_the_store() -> None:
    def no_store() -> InMemoryAssetsUnitOfWork:
        raise AssertionError("there is nothing to be stored")

    service = MaintenanceService(unit_of_work=no_store, clock=lambda: FIRST_DAY, new_id=uuid4)

    assert await service.record_events(organisation_id=OURS, recorded_by="user:1", drafts=[]) == []


async def test_the_log_of_one_organisation_shows_nothing_of_another(logbook: Logbook) -> None:
    event = await logbook.record(draft())

    assert await logbook.all() == [event]
    assert await logbook.all(THEIRS) == []


async def test_an_event_is_found_with_its_own_device_alone(logbook: Logbook) -> None:
    event = await logbook.record(draft())

    with pytest.raises(MaintenanceEventNotFoundError):
        await logbook.service.get_event(device_id=OTHER, event_id=event.id)
    with pytest.raises(MaintenanceEventNotFoundError):
        await logbook.service.remove_event(device_id=OTHER, event_id=event.id, expected_version=None)
    assert logbook.stored == {event.id: event}


async def test_an_event_that_is_removed_is_gone(logbook: Logbook) -> None:
    event, other = await logbook.record(draft()), await logbook.record(draft())

    assert await logbook.service.remove_event(device_id=DEVICE, event_id=event.id, expected_version=1) == event

    assert await logbook.all() == [other]
    with pytest.raises(MaintenanceEventNotFoundError):
        await logbook.service.remove_event(device_id=DEVICE, event_id=event.id, expected_version=None)


async def test_an_event_that_is_expected_to_be_another_stays(logbook: Logbook) -> None:
    event = await logbook.record(draft())

    with pytest.raises(PreconditionFailedError):
        await logbook.service.remove_event(device_id=DEVICE, event_id=event.id, expected_version=2)

    assert await logbook.all() == [event]


async def test_no_event_is_found_that_was_never_recorded(logbook: Logbook) -> None:
    with pytest.raises(MaintenanceEventNotFoundError):
        await logbook.service.get_event(device_id=DEVICE, event_id=MaintenanceEventId(uuid4()))
