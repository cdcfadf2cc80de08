"""Devices by the thousand over HTTP."""

from functools import partial
from typing import Any

from dependency_injector.wiring import Provide, inject
from quart import Blueprint, Response

from iotsphere.api.bulk import MAX_IMPORT_BYTES, MAX_IMPORT_LINES, ImportedLineAnswer, export_file, import_spool
from iotsphere.api.operation import CSV, NDJSON, Admission, operation
from iotsphere.api.registry.lines import DEVICE_LINES, ImportDeviceBody
from iotsphere.api.registry.schemas import DeviceAnswer, DeviceFilterQuery
from iotsphere.api.spool import Spool
from iotsphere.kernel.actor import Actor, Role
from iotsphere.kernel.audit import Attempt
from iotsphere.kernel.errors import DomainError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.registry.model import DeviceDraft
from iotsphere.registry.service import DeviceRegistryService
from iotsphere.workflows.commissioning import CommissioningWorkflow

FLEETS = {
    NDJSON: '{"serial_number": "SN-2", "device_type": "pump", "labels": {"site": "north"}}\n'
    '{"serial_number": "SN-3", "device_type": "pump", "asset": {"properties": {"rated_power_kw": 1.5}}}\n',
    CSV: "serial_number,device_type,name,label.site\nSN-4,pump,Pump 4,north\nSN-5,pump,,\n",
}

blueprint = Blueprint("bulk", __name__)


@blueprint.post("/devices/import")
@operation(
    "Register the devices of a file; every line is answered for, and a bad one costs no other",
    allow=Role.OPERATOR,
    body=ImportDeviceBody(),
    media_types=(NDJSON, CSV),
    examples=FLEETS,
    max_body_bytes=MAX_IMPORT_BYTES,
    max_lines=MAX_IMPORT_LINES,
    answer=ImportedLineAnswer(),
    answer_types=(NDJSON,),
    creates=True,
)
@inject
async def import_devices(
    attempt: Attempt,
    admission: Admission,
    spool: Spool,
    commissioning: CommissioningWorkflow = Provide["workflows.commissioning"],
) -> Response:
    async def register(drafts: list[DeviceDraft]) -> list[DeviceId | DomainError]:
        return await commissioning.register_devices(attempt=attempt, drafts=drafts)

    return import_spool(spool, DEVICE_LINES, find_refusal=admission.find_refusal, settle=register)


@blueprint.get("/devices/export")
@operation(
    "Export devices, as lines of JSON or as CSV; a file that imports again",
    allow=Role.OPERATOR,
    query=DeviceFilterQuery(),
    answer=DeviceAnswer(),
    answer_types=(NDJSON, CSV),
)
@inject
async def export_devices(
    actor: Actor, query: dict[str, Any], devices: DeviceRegistryService = Provide["registry.devices"]
) -> Response:
    listing = partial(devices.list_devices, organisation_id=actor.organisation_id, **query)
    return await export_file(listing, DEVICE_LINES, name="devices")
