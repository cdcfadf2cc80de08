"""Device types over HTTP."""

from collections.abc import Mapping
from typing import Any

from dependency_injector.wiring import Provide, inject
from quart import Blueprint

from iotsphere.api.assets.schemas import DefineDeviceTypeBody, DeviceTypeAnswer
from iotsphere.api.errors import ProblemAnswer
from iotsphere.api.fields import PageQuery, page_schema
from iotsphere.api.operation import operation
from iotsphere.api.recording import Change
from iotsphere.assets.device_type import DeviceType, DeviceTypeDefinition
from iotsphere.assets.device_types import DeviceTypeService
from iotsphere.assets.model import ASSET_TYPE
from iotsphere.kernel.actor import Actor, Role
from iotsphere.kernel.pagination import Page

PATH = {"device_type": {"pattern": f"^{ASSET_TYPE.pattern}$"}}

BOILER = {
    "metrics": [{"name": "flow_temperature_c", "unit": "°C", "type": "number", "min": -10, "max": 99.5}],
    "capabilities": [{"name": "heating", "max_kw": 24}],
    "shadow_schema": {"properties": {"set_point_c": {"type": "number", "maximum": 80}}},
    "properties_schema": {"properties": {"volume_l": {"type": "number", "minimum": 0}}},
    "maintenance": {
        "tasks": [{"name": "check-anode", "component": "anode", "every_days": 730}],
        "components": [{"name": "anode", "weight": 1, "expected_life_hours": 40000}],
    },
}

blueprint = Blueprint("device_types", __name__)


def _defined(offered: Mapping[str, Any], device_type: DeviceType) -> Change:
    return f"device_type:{device_type.name}", {"version": device_type.version, "defined": sorted(offered["body"])}


def _removed(offered: Mapping[str, Any], _: None) -> Change:
    return f"device_type:{offered['device_type']}", {}


@blueprint.get("/device-types")
@operation("List device types by name", allow=Role.VIEWER, query=PageQuery(), answer=page_schema(DeviceTypeAnswer))
@inject
async def list_device_types(
    actor: Actor, query: dict[str, Any], device_types: DeviceTypeService = Provide["assets.device_types"]
) -> Page[DeviceType]:
    return await device_types.list_device_types(organisation_id=actor.organisation_id, **query)


@blueprint.get("/device-types/<device_type>")
@operation("Show a device type", allow=Role.VIEWER, answer=DeviceTypeAnswer(), versioned=True, path=PATH)
@inject
async def get_device_type(
    actor: Actor, device_type: str, device_types: DeviceTypeService = Provide["assets.device_types"]
) -> DeviceType:
    return await device_types.get_device_type(organisation_id=actor.organisation_id, name=device_type)


@blueprint.put("/device-types/<device_type>")
@operation(
    "Define a device type, or replace all that was said of it",
    allow=Role.OPERATOR,
    body=DefineDeviceTypeBody(),
    example=BOILER,
    answer=DeviceTypeAnswer(),
    versioned=True,
    conditional=True,
    location="/api/v1/device-types/{name}",
    is_new=lambda device_type: device_type.is_new,
    audited=_defined,
    path=PATH,
)
@inject
async def define_device_type(
    actor: Actor,
    device_type: str,
    body: dict[str, Any],
    expected_version: int | None,
    device_types: DeviceTypeService = Provide["assets.device_types"],
) -> DeviceType:
    return await device_types.define_device_type(
        organisation_id=actor.organisation_id,
        name=device_type,
        definition=DeviceTypeDefinition(**body),
        expected_version=expected_version,
    )


@blueprint.delete("/device-types/<device_type>")
@operation(
    "Take back what was said of a device type: then there is none, or the shipped one",
    allow=Role.OPERATOR,
    status=204,
    conditional=True,
    audited=_removed,
    also={409: ProblemAnswer()},
    path=PATH,
)
@inject
async def remove_device_type(
    actor: Actor,
    device_type: str,
    expected_version: int | None,
    device_types: DeviceTypeService = Provide["assets.device_types"],
) -> None:
    await device_types.remove_device_type(
        organisation_id=actor.organisation_id, name=device_type, expected_version=expected_version
    )
