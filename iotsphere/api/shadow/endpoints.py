"""Device shadows over HTTP: the unnamed one and the named ones, which behave alike."""

from collections.abc import Mapping
from typing import Any

from dependency_injector.wiring import Provide, inject
from quart import Blueprint

from iotsphere.api.errors import ProblemAnswer
from iotsphere.api.fields import HistoryQuery, PageQuery, page_schema
from iotsphere.api.operation import operation
from iotsphere.api.recording import Change
from iotsphere.api.shadow.compiled import decode_patch, encode_change, encode_document
from iotsphere.api.shadow.schemas import (
    ConvergenceQuery,
    DeletedShadowAnswer,
    DesiredRequestAnswer,
    NamedShadowAnswer,
    RecordedChangeAnswer,
    ShadowAnswer,
    ShadowChangeAnswer,
    ShadowQuery,
    UpdateShadowBody,
)
from iotsphere.kernel.actor import ActorKind, Role
from iotsphere.kernel.audit import Attempt
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.kernel.pagination import Page
from iotsphere.shadow.history import ShadowHistoryService
from iotsphere.shadow.model import (
    NAME,
    DesiredRequest,
    NamedShadow,
    ShadowChange,
    ShadowDocument,
    ShadowKey,
    ShadowPatch,
)
from iotsphere.shadow.service import DeviceShadowService

UNNAMED = "/devices/<uuid:device_id>/shadow"
NAMED = "/devices/<uuid:device_id>/shadows/<name>"
# Room for the largest state with generous white space; what is kept is measured as compact JSON.
MAX_BODY_BYTES = 256 * 1024
PATH = {"name": {"pattern": f"^{NAME.pattern}$"}}

blueprint = Blueprint("shadow", __name__)


def _updated(offered: Mapping[str, Any], change: ShadowChange) -> Change | None:
    """Tell of what people write; what a device reports of itself is its data."""
    if offered["actor"].kind is ActorKind.DEVICE:
        return None
    changed = sorted(offered["body"].sections)
    return f"device:{offered['device_id']}", {
        "shadow": offered.get("name"),
        "version": change.version,
        "changed": changed,
    }


def _deleted(offered: Mapping[str, Any], change: ShadowChange) -> Change:
    return f"device:{offered['device_id']}", {"shadow": offered.get("name"), "version": change.version}


@blueprint.get(UNNAMED)
@blueprint.get(NAMED, endpoint="get_named_shadow")
@operation(
    "Show a shadow, as it is or as it was",
    allow=Role.VIEWER,
    device_may=True,
    query=ShadowQuery(),
    answer=ShadowAnswer(),
    encode=encode_document,
    versioned=True,
    path=PATH,
)
@inject
async def get_shadow(
    device_id: DeviceId,
    query: dict[str, Any],
    name: str | None = None,
    shadows: DeviceShadowService = Provide["shadow.shadows"],
    history: ShadowHistoryService = Provide["shadow.history"],
) -> ShadowDocument:
    key = ShadowKey(device_id, name)
    if "version" in query:
        return (await history.get_version(key=key, version=query["version"])).show_then()
    if "at" in query:
        return (await history.get_at(key=key, at=query["at"])).show_then()
    return await shadows.get_shadow(key=key)


@blueprint.patch(UNNAMED)
@blueprint.patch(NAMED, endpoint="update_named_shadow")
@operation(
    "Merge into a shadow; a device may write what it reports",
    allow=Role.OPERATOR,
    device_may=True,
    body=UpdateShadowBody(),
    max_body_bytes=MAX_BODY_BYTES,
    decode=decode_patch,
    answer=ShadowChangeAnswer(),
    encode=encode_change,
    versioned=True,
    conditional=True,
    audited=_updated,
    path=PATH,
    also={409: ProblemAnswer()},
)
@inject
async def update_shadow(
    attempt: Attempt,
    device_id: DeviceId,
    body: ShadowPatch,
    expected_version: int | None,
    name: str | None = None,
    shadows: DeviceShadowService = Provide["shadow.shadows"],
) -> ShadowChange:
    return await shadows.update_shadow(
        attempt=attempt, key=ShadowKey(device_id, name), patch=body, expected_version=expected_version
    )


@blueprint.delete(UNNAMED)
@blueprint.delete(NAMED, endpoint="delete_named_shadow")
@operation(
    "Delete a shadow",
    allow=Role.OPERATOR,
    answer=DeletedShadowAnswer(),
    conditional=True,
    audited=_deleted,
    path=PATH,
)
@inject
async def delete_shadow(
    attempt: Attempt,
    device_id: DeviceId,
    expected_version: int | None,
    name: str | None = None,
    shadows: DeviceShadowService = Provide["shadow.shadows"],
) -> ShadowChange:
    return await shadows.delete_shadow(
        attempt=attempt, key=ShadowKey(device_id, name), expected_version=expected_version
    )


@blueprint.get(f"{UNNAMED}/history")
@blueprint.get(f"{NAMED}/history", endpoint="list_named_shadow_changes")
@operation(
    "List the changes of a shadow, the newest first",
    allow=Role.VIEWER,
    device_may=True,
    query=HistoryQuery(),
    answer=page_schema(RecordedChangeAnswer),
    path=PATH,
)
@inject
async def list_shadow_changes(
    device_id: DeviceId,
    query: dict[str, Any],
    name: str | None = None,
    history: ShadowHistoryService = Provide["shadow.history"],
) -> Page[ShadowChange]:
    return await history.list_changes(key=ShadowKey(device_id, name), **query)


@blueprint.get(f"{UNNAMED}/convergence")
@blueprint.get(f"{NAMED}/convergence", endpoint="list_named_shadow_requests")
@operation(
    "Tell what became of all that was desired, the newest first",
    allow=Role.VIEWER,
    device_may=True,
    query=ConvergenceQuery(),
    answer=page_schema(DesiredRequestAnswer),
    path=PATH,
)
@inject
async def list_shadow_requests(
    device_id: DeviceId,
    query: dict[str, Any],
    name: str | None = None,
    history: ShadowHistoryService = Provide["shadow.history"],
) -> Page[DesiredRequest]:
    return await history.list_requests(key=ShadowKey(device_id, name), **query)


@blueprint.get("/devices/<uuid:device_id>/shadows")
@operation(
    "List the named shadows of a device",
    allow=Role.VIEWER,
    device_may=True,
    query=PageQuery(),
    answer=page_schema(NamedShadowAnswer),
)
@inject
async def list_named_shadows(
    device_id: DeviceId, query: dict[str, Any], shadows: DeviceShadowService = Provide["shadow.shadows"]
) -> Page[NamedShadow]:
    return await shadows.list_named_shadows(device_id=device_id, **query)
