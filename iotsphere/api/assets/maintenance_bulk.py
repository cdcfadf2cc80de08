"""The maintenance log by the file over HTTP."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID

from dependency_injector.wiring import Provide, inject
from quart import Blueprint, Response

from iotsphere.api.assets.maintenance import change_by
from iotsphere.api.assets.maintenance_lines import MAINTENANCE_LINES, ImportMaintenanceBody
from iotsphere.api.assets.maintenance_schemas import FleetMaintenanceFilterQuery, MaintenanceEventAnswer
from iotsphere.api.bulk import MAX_IMPORT_BYTES, MAX_IMPORT_LINES, ImportedLineAnswer, export_file, import_spool
from iotsphere.api.operation import CSV, NDJSON, Admission, operation
from iotsphere.api.recording import record_change, to_its_end
from iotsphere.api.spool import Spool
from iotsphere.assets.maintenance import MaintenanceService
from iotsphere.assets.maintenance_event import MaintenanceEvent
from iotsphere.kernel.actor import Actor, Role
from iotsphere.kernel.audit import Attempt
from iotsphere.kernel.errors import DomainError
from iotsphere.workflows.maintenance_log import LogLine, MaintenanceLogWorkflow

LOGS = {
    NDJSON: '{"serial_number": "SN-1", "kind": "failure", "component": "seal", "occurred_at": 1772352000000}\n'
    '{"serial_number": "SN-1", "kind": "repair", "component": "seal", "occurred_at": "2026-03-02T08:00:00Z"}\n',
    CSV: "serial_number,kind,component,occurred_at,cost\nSN-1,inspection,seal,2026-03-03T08:00:00Z,120.5\n",
}

blueprint = Blueprint("maintenance_bulk", __name__)


@blueprint.post("/maintenance-events/import")
@operation(
    "Record the events of a file; every line is answered for, and a bad one costs no other",
    allow=Role.OPERATOR,
    body=ImportMaintenanceBody(),
    media_types=(NDJSON, CSV),
    examples=LOGS,
    max_body_bytes=MAX_IMPORT_BYTES,
    max_lines=MAX_IMPORT_LINES,
    answer=ImportedLineAnswer(),
    answer_types=(NDJSON,),
    creates=True,
)
@inject
async def import_maintenance_events(
    attempt: Attempt,
    admission: Admission,
    spool: Spool,
    log: MaintenanceLogWorkflow = Provide["workflows.maintenance_log"],
) -> Response:
    async def record(lines: list[LogLine]) -> Sequence[UUID | DomainError]:
        return await to_its_end(_record(attempt, log, lines))

    return import_spool(spool, MAINTENANCE_LINES, find_refusal=admission.find_refusal, settle=record)


async def _record(
    attempt: Attempt, log: MaintenanceLogWorkflow, lines: Sequence[LogLine]
) -> Sequence[UUID | DomainError]:
    outcomes = await log.record_lines(attempt=attempt, lines=lines)
    recorded = [outcome for outcome in outcomes if isinstance(outcome, MaintenanceEvent)]
    # Together, so that the trail takes them in as one.
    await asyncio.gather(*(record_change(attempt, change_by(event)) for event in recorded))
    return [outcome.id if isinstance(outcome, MaintenanceEvent) else outcome for outcome in outcomes]


@blueprint.get("/maintenance-events/export")
@operation(
    "Export the maintenance log, as lines of JSON or as CSV; a file that imports again",
    allow=Role.OPERATOR,
    query=FleetMaintenanceFilterQuery(),
    answer=MaintenanceEventAnswer(),
    answer_types=(NDJSON, CSV),
)
@inject
async def export_maintenance_events(
    actor: Actor, query: dict[str, Any], maintenance: MaintenanceService = Provide["assets.maintenance"]
) -> Response:
    listing = partial(maintenance.list_events, organisation_id=actor.organisation_id, **query)
    return await export_file(listing, MAINTENANCE_LINES, name="maintenance-events")
