"""Provisioning keys over HTTP, and the devices that let themselves in with one."""

from typing import Any

from dependency_injector.wiring import Provide, inject
from quart import Blueprint

from iotsphere.api.fields import PageQuery, page_schema
from iotsphere.api.operation import operation
from iotsphere.api.registry.schemas import (
    IssuedProvisioningKeyAnswer,
    IssueProvisioningKeyBody,
    ProvisionDeviceBody,
    ProvisionedDeviceAnswer,
    ProvisioningKeyAnswer,
)
from iotsphere.kernel.actor import Actor, Role
from iotsphere.kernel.audit import Attempt
from iotsphere.kernel.identifiers import ProvisioningKeyId
from iotsphere.kernel.pagination import Page
from iotsphere.registry.model import IssuedProvisioningKey, ProvisionedDevice, ProvisioningKey
from iotsphere.registry.provisioning import ProvisioningKeyService
from iotsphere.workflows.commissioning import CommissioningWorkflow

blueprint = Blueprint("provisioning", __name__)


@blueprint.post("/provisioning-keys")
@operation(
    "Issue a provisioning key, for so many devices of a type until a moment; it is shown this once",
    allow=Role.ADMIN,
    body=IssueProvisioningKeyBody(),
    answer=IssuedProvisioningKeyAnswer(),
    status=201,
    creates=True,
    versioned=True,
    location="/api/v1/provisioning-keys/{id}",
)
@inject
async def issue_provisioning_key(
    attempt: Attempt,
    body: dict[str, Any],
    keys: ProvisioningKeyService = Provide["registry.provisioning_keys"],
) -> IssuedProvisioningKey:
    return await keys.issue_key(attempt=attempt, **body)


@blueprint.get("/provisioning-keys")
@operation(
    "List the provisioning keys, without secrets",
    allow=Role.ADMIN,
    query=PageQuery(),
    answer=page_schema(ProvisioningKeyAnswer),
)
@inject
async def list_provisioning_keys(
    actor: Actor,
    query: dict[str, Any],
    keys: ProvisioningKeyService = Provide["registry.provisioning_keys"],
) -> Page[ProvisioningKey]:
    return await keys.list_keys(organisation_id=actor.organisation_id, **query)


@blueprint.get("/provisioning-keys/<uuid:provisioning_key_id>")
@operation(
    "Show a provisioning key, without its secret", allow=Role.ADMIN, answer=ProvisioningKeyAnswer(), versioned=True
)
@inject
async def get_provisioning_key(
    actor: Actor,
    provisioning_key_id: ProvisioningKeyId,
    keys: ProvisioningKeyService = Provide["registry.provisioning_keys"],
) -> ProvisioningKey:
    return await keys.get_key(organisation_id=actor.organisation_id, key_id=provisioning_key_id)


@blueprint.delete("/provisioning-keys/<uuid:provisioning_key_id>")
@operation("Revoke a provisioning key; the devices that it made stay", allow=Role.ADMIN, status=204, conditional=True)
@inject
async def revoke_provisioning_key(
    attempt: Attempt,
    provisioning_key_id: ProvisioningKeyId,
    expected_version: int | None,
    keys: ProvisioningKeyService = Provide["registry.provisioning_keys"],
) -> None:
    await keys.revoke_key(attempt=attempt, key_id=provisioning_key_id, expected_version=expected_version)


@blueprint.post("/provision")
@operation(
    "Let a device in that holds a provisioning key; its API key is shown this once",
    allow=None,
    provisioning=True,
    body=ProvisionDeviceBody(),
    answer=ProvisionedDeviceAnswer(),
    status=201,
    creates=True,
    location="/api/v1/devices/{device[id]}",
)
@inject
async def provision_device(
    actor: Actor,
    attempt: Attempt,
    body: dict[str, Any],
    commissioning: CommissioningWorkflow = Provide["workflows.commissioning"],
) -> ProvisionedDevice:
    return await commissioning.provision_device(attempt=attempt, key_id=ProvisioningKeyId(actor.id), **body)
