"""The audit trail over HTTP. It can be read, and nothing else."""

from typing import Any

from dependency_injector.wiring import Provide, inject
from quart import Blueprint

from iotsphere.api.audit.schemas import AuditEntryAnswer, AuditQuery
from iotsphere.api.fields import page_schema
from iotsphere.api.operation import operation
from iotsphere.audit.model import AuditRecord, AuditScope
from iotsphere.audit.service import AuditService
from iotsphere.kernel.actor import Actor, Role
from iotsphere.kernel.pagination import Page

blueprint = Blueprint("audit", __name__)


@blueprint.get("/audit")
@operation(
    "List who did what to what, when, from where, and how it ended",
    allow=Role.ADMIN,
    query=AuditQuery(),
    answer=page_schema(AuditEntryAnswer),
)
@inject
async def list_audit_entries(
    actor: Actor, query: dict[str, Any], trail: AuditService = Provide["audit.trail"]
) -> Page[AuditRecord]:
    scope = AuditScope(actor.organisation_id, with_unowned=actor.is_platform_administrator)
    return await trail.list_entries(scope=scope, **query)
