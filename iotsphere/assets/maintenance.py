"""The maintenance log: failures, repairs, replacements, inspections and installations, by device and component.

What is counted and fitted from it, such as the time between failures, is others' business, who read it from here.
"""

from collections.abc import Sequence

from iotsphere.assets.maintenance_event import (
    MaintenanceDraft,
    MaintenanceEvent,
    MaintenanceFilter,
    MaintenanceOutcome,
)
from iotsphere.assets.ports import AssetsUnitOfWorkFactory
from iotsphere.kernel.clock import Clock
from iotsphere.kernel.errors import PreconditionFailedError, RuleViolationError
from iotsphere.kernel.identifiers import DeviceId, IdSource, MaintenanceEventId, OrganisationId
from iotsphere.kernel.pagination import Page

Drafted = tuple[DeviceId, MaintenanceDraft]


class MaintenanceService:
    """Keeps the log. That a device is the organisation's, the caller has seen to."""

    def __init__(self, *, unit_of_work: AssetsUnitOfWorkFactory, clock: Clock, new_id: IdSource) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._new_id = new_id

    async def record_event(
        self, *, organisation_id: OrganisationId, device_id: DeviceId, recorded_by: str, draft: MaintenanceDraft
    ) -> MaintenanceEvent:
        """Add what has happened to a device.

        :raises RuleViolationError: it is said to happen in the future.
        """
        (outcome,) = await self.record_events(
            organisation_id=organisation_id, recorded_by=recorded_by, drafts=[(device_id, draft)]
        )
        if isinstance(outcome, RuleViolationError):
            raise outcome
        return outcome

    async def record_events(
        self,
        *,
        organisation_id: OrganisationId,
        recorded_by: str,
        drafts: Sequence[tuple[DeviceId, MaintenanceDraft]],
    ) -> list[MaintenanceOutcome]:
        """Add what has happened to many devices, in one transaction.

        Give for each draft the event, or why there is none: it is said to happen in the future.
        """
        outcomes = [self._outcome(organisation_id, recorded_by, *drafted) for drafted in drafts]
        events = [outcome for outcome in outcomes if isinstance(outcome, MaintenanceEvent)]
        if events:
            async with self._unit_of_work() as uow:
                await uow.maintenance_events.add(*events)
                await uow.commit()
        return outcomes

    async def get_event(self, *, device_id: DeviceId, event_id: MaintenanceEventId) -> MaintenanceEvent:
        """:raises MaintenanceEventNotFoundError: the device has none of that id."""
        async with self._unit_of_work() as uow:
            return await uow.maintenance_events.get(device_id, event_id)

    async def list_events(
        self, *, organisation_id: OrganisationId, narrowed_to: MaintenanceFilter, limit: int, cursor: str | None
    ) -> Page[MaintenanceEvent]:
        """List what happened to the devices of an organisation, the oldest first."""
        async with self._unit_of_work() as uow:
            return await uow.maintenance_events.list(organisation_id, narrowed_to, limit=limit, cursor=cursor)

    async def remove_event(
        self, *, device_id: DeviceId, event_id: MaintenanceEventId, expected_version: int | None
    ) -> MaintenanceEvent:
        """Take an event out of the log that should not be there, and give what it was.

        :raises MaintenanceEventNotFoundError: the device has none of that id.
        :raises PreconditionFailedError: it has another version than the expected one.
        """
        async with self._unit_of_work() as uow:
            event = await uow.maintenance_events.get(device_id, event_id, for_update=True)
            if expected_version not in {None, event.version}:
                raise PreconditionFailedError(f"The event is at version {event.version}.")
            await uow.maintenance_events.remove(event)
            await uow.commit()
        return event

    def _outcome(
        self, organisation_id: OrganisationId, recorded_by: str, device_id: DeviceId, draft: MaintenanceDraft
    ) -> MaintenanceOutcome:
        now = self._clock()
        try:
            draft.check_past(now)
        except RuleViolationError as error:
            return error
        return MaintenanceEvent(
            id=MaintenanceEventId(self._new_id()),
            organisation_id=organisation_id,
            device_id=device_id,
            kind=draft.kind,
            component=draft.component,
            occurred_at=draft.occurred_at,
            notes=draft.notes,
            cost=draft.cost,
            recorded_by=recorded_by,
            recorded_at=now,
        )
