"""The maintenance log over HTTP."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dependency_injector.wiring import Provide, inject
from quart import Blueprint

from iotsphere.api.assets.maintenance_schemas import (
    MAINTENANCE_EVENT_PAGE,
    FleetMaintenanceListQuery,
    MaintenanceEventAnswer,
    MaintenanceListQuery,
    RecordMaintenanceBody,
)
from iotsphere.api.operation import operation
from iotsphere.api.recording import Change
from iotsphere.assets.maintenance import MaintenanceService
from iotsphere.assets.maintenance_event import MaintenanceDraft, MaintenanceEvent
from iotsphere.kernel.actor import Actor, Role
from iotsphere.kernel.identifiers import DeviceId, MaintenanceEventId
from iotsphere.kernel.pagination import Page
from iotsphere.kernel.times import format_time

blueprint = Blueprint("maintenance", __name__)


def change_by(event: MaintenanceEvent) -> Change:
    """Tell the trail which event was added to a device's log, or taken out of it."""
    details = {
        "maintenance_event": str(event.id),
        "kind": event.kind.value,
        "component": event.component,
        "occurred_at": format_time(event.occurred_at),
    }
    return f"device:{event.device_id}", {name: said for name, said in details.items() if said is not None}


def _changed(_: Mapping[str, Any], event: MaintenanceEvent) -> Change:
    return change_by(event)


@blueprint.post("/devices/<uuid:device_id>/maintenance-events")
@operation(
    "Record what has happened to a device: a failure, a repair, a replacement, an inspection, an installation",
    allow=Role.ENGINEER,
    body=RecordMaintenanceBody(),
    example={
        "kind": "repair",
        "component": "seal",
        "occurred_at": "2024-05-17T08:00:00Z",
        "notes": "Leaking; faces polished.",
        "cost": 120.5,
    },
    answer=MaintenanceEventAnswer(),
    status=201,
    versioned=True,
    creates=True,
    location="/api/v1/devices/{device_id}/maintenance-events/{id}",
    audited=_changed,
)
@inject
async def record_maintenance_event(
    actor: Actor,
    device_id: DeviceId,
    body: MaintenanceDraft,
    maintenance: MaintenanceService = Provide["assets.maintenance"],
) -> MaintenanceEvent:
    return await maintenance.record_event(
        organisation_id=actor.organisation_id, device_id=device_id, recorded_by=actor.name, draft=body
    )


@blueprint.get("/devices/<uuid:device_id>/maintenance-events")
@operation(
    "List what has happened to a device, the oldest first",
    allow=Role.VIEWER,
    query=MaintenanceListQuery(),
    answer=MAINTENANCE_EVENT_PAGE,
)
@inject
async def list_device_maintenance_events(
    actor: Actor,
    device_id: DeviceId,
    query: dict[str, Any],
    maintenance: MaintenanceService = Provide["assets.maintenance"],
) -> Page[MaintenanceEvent]:
    narrowed_to = replace(query["narrowed_to"], device_ids=frozenset([device_id]))
    return await maintenance.list_events(
        organisation_id=actor.organisation_id, **query | {"narrowed_to": narrowed_to}
    )


@blueprint.get("/devices/<uuid:device_id>/maintenance-events/<uuid:event_id>")
@operation("Show an event of a device's log", allow=Role.VIEWER, answer=MaintenanceEventAnswer(), versioned=True)
@inject
async def get_maintenance_event(
    device_id: DeviceId, event_id: MaintenanceEventId, maintenance: MaintenanceService = Provide["assets.maintenance"]
) -> MaintenanceEvent:
    return await maintenance.get_event(device_id=device_id, event_id=event_id)


@blueprint.delete("/devices/<uuid:device_id>/maintenance-events/<uuid:event_id>")
@operation(
    "Remove an event that was recorded by mistake; what is right is recorded anew",
    allow=Role.ENGINEER,
    status=204,
    conditional=True,
    audited=_changed,
)
@inject
async def remove_maintenance_event(
    device_id: DeviceId,
    event_id: MaintenanceEventId,
    expected_version: int | None,
    maintenance: MaintenanceService = Provide["assets.maintenance"],
) -> MaintenanceEvent:
    return await maintenance.remove_event(device_id=device_id, event_id=event_id, expected_version=expected_version)


@blueprint.get("/maintenance-events")
@operation(
    "List what has happened to all devices, the oldest first",
    allow=Role.VIEWER,
    query=FleetMaintenanceListQuery(),
    answer=MAINTENANCE_EVENT_PAGE,
)
@inject
async def list_maintenance_events(
    actor: Actor, query: dict[str, Any], maintenance: MaintenanceService = Provide["assets.maintenance"]
) -> Page[MaintenanceEvent]:
    return await maintenance.list_events(organisation_id=actor.organisation_id, **query)
