"""Devices and their credentials over HTTP."""

from typing import Any

from dependency_injector.wiring import Provide, inject
from quart import Blueprint

from iotsphere.api.fields import PageQuery, page_schema
from iotsphere.api.operation import operation
from iotsphere.api.registry.schemas import (
    ChangeDeviceBody,
    CredentialAnswer,
    DeviceAnswer,
    DeviceListQuery,
    IssueCredentialBody,
    IssuedCredentialAnswer,
    RegisterDeviceBody,
    RotateCredentialBody,
)
from iotsphere.kernel.actor import Actor, Role
from iotsphere.kernel.audit import Attempt
from iotsphere.kernel.identifiers import CredentialId, DeviceId
from iotsphere.kernel.pagination import Page
from iotsphere.registry.credentials import CredentialService
from iotsphere.registry.model import Credential, Device, IssuedCredential
from iotsphere.registry.service import DeviceRegistryService
from iotsphere.workflows.commissioning import CommissioningWorkflow

blueprint = Blueprint("registry", __name__)


@blueprint.post("/devices")
@operation(
    "Register a device",
    allow=Role.OPERATOR,
    body=RegisterDeviceBody(),
    example={
        "serial_number": "SN-1",
        "device_type": "pump",
        "name": "Feed pump 1",
        "labels": {"site": "north"},
        "asset": {"asset_type": "pump", "properties": {"manufacturer": "Grundfos", "rated_power_kw": 5.5}},
    },
    answer=DeviceAnswer(),
    status=201,
    creates=True,
    versioned=True,
    location="/api/v1/devices/{id}",
)
@inject
async def register_device(
    attempt: Attempt,
    body: dict[str, Any],
    commissioning: CommissioningWorkflow = Provide["workflows.commissioning"],
) -> Device:
    return await commissioning.register_device(attempt=attempt, **body)


@blueprint.get("/devices")
@operation("List devices", allow=Role.VIEWER, query=DeviceListQuery(), answer=page_schema(DeviceAnswer))
@inject
async def list_devices(
    actor: Actor, query: dict[str, Any], devices: DeviceRegistryService = Provide["registry.devices"]
) -> Page[Device]:
    return await devices.list_devices(organisation_id=actor.organisation_id, **query)


@blueprint.get("/devices/<uuid:device_id>")
@operation("Show a device", allow=Role.VIEWER, device_may=True, answer=DeviceAnswer(), versioned=True)
@inject
async def get_device(
    actor: Actor, device_id: DeviceId, devices: DeviceRegistryService = Provide["registry.devices"]
) -> Device:
    return await devices.get_device(organisation_id=actor.organisation_id, device_id=device_id)


@blueprint.patch("/devices/<uuid:device_id>")
@operation(
    "Change a device: its name, its labels (merged, null deletes), whether it is suspended",
    allow=Role.OPERATOR,
    body=ChangeDeviceBody(),
    answer=DeviceAnswer(),
    versioned=True,
    conditional=True,
)
@inject
async def change_device(
    attempt: Attempt,
    device_id: DeviceId,
    body: dict[str, Any],
    expected_version: int | None,
    devices: DeviceRegistryService = Provide["registry.devices"],
) -> Device:
    return await devices.change_device(
        attempt=attempt, device_id=device_id, expected_version=expected_version, **body
    )


@blueprint.post("/devices/<uuid:device_id>/credentials")
@operation(
    "Issue an API key to a device; it is shown this once",
    allow=Role.ADMIN,
    body=IssueCredentialBody(),
    answer=IssuedCredentialAnswer(),
    status=201,
    creates=True,
    versioned=True,
)
@inject
async def issue_credential(
    attempt: Attempt,
    device_id: DeviceId,
    body: dict[str, Any],
    credentials: CredentialService = Provide["registry.credentials"],
) -> IssuedCredential:
    return await credentials.issue_credential(attempt=attempt, device_id=device_id, **body)


@blueprint.get("/devices/<uuid:device_id>/credentials")
@operation(
    "List a device's credentials, without secrets",
    allow=Role.ADMIN,
    query=PageQuery(),
    answer=page_schema(CredentialAnswer),
)
@inject
async def list_credentials(
    device_id: DeviceId, query: dict[str, Any], credentials: CredentialService = Provide["registry.credentials"]
) -> Page[Credential]:
    return await credentials.list_credentials(device_id=device_id, **query)


@blueprint.get("/devices/<uuid:device_id>/credentials/<uuid:credential_id>")
@operation("Show a credential, without its secret", allow=Role.ADMIN, answer=CredentialAnswer(), versioned=True)
@inject
async def get_credential(
    device_id: DeviceId,
    credential_id: CredentialId,
    credentials: CredentialService = Provide["registry.credentials"],
) -> Credential:
    return await credentials.get_credential(device_id=device_id, credential_id=credential_id)


@blueprint.post("/devices/<uuid:device_id>/credentials/<uuid:credential_id>/rotate")
@operation(
    "Rotate a credential: a new API key takes its place, the old one works until the grace ends",
    allow=Role.ADMIN,
    body=RotateCredentialBody(),
    answer=IssuedCredentialAnswer(),
    status=201,
    creates=True,
    versioned=True,
    conditional=True,
)
@inject
async def rotate_credential(
    attempt: Attempt,
    device_id: DeviceId,
    credential_id: CredentialId,
    body: dict[str, Any],
    expected_version: int | None,
    credentials: CredentialService = Provide["registry.credentials"],
) -> IssuedCredential:
    return await credentials.rotate_credential(
        attempt=attempt,
        device_id=device_id,
        credential_id=credential_id,
        expected_version=expected_version,
        **body,
    )


@blueprint.delete("/devices/<uuid:device_id>/credentials/<uuid:credential_id>")
@operation("Revoke a credential", allow=Role.ADMIN, status=204, conditional=True)
@inject
async def revoke_credential(
    attempt: Attempt,
    device_id: DeviceId,
    credential_id: CredentialId,
    expected_version: int | None,
    credentials: CredentialService = Provide["registry.credentials"],
) -> None:
    await credentials.revoke_credential(
        attempt=attempt, device_id=device_id, credential_id=credential_id, expected_version=expected_version
    )
