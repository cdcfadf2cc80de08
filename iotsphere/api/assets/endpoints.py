"""Assets over HTTP."""

from collections.abc import Mapping
from typing import Any

from dependency_injector.wiring import Provide, inject
from quart import Blueprint

from iotsphere.api.assets.schemas import (
    AddAssetBody,
    AssetAnswer,
    AssetChangeAnswer,
    ChangeAssetBody,
)
from iotsphere.api.errors import ProblemAnswer
from iotsphere.api.fields import HistoryQuery, ThenQuery, page_schema
from iotsphere.api.operation import JSON, operation
from iotsphere.api.recording import Change
from iotsphere.assets.change import AssetChange
from iotsphere.assets.history import AssetHistoryService
from iotsphere.assets.model import Asset, AssetPatch
from iotsphere.assets.service import AssetService
from iotsphere.kernel.actor import Actor, Role
from iotsphere.kernel.identifiers import AssetId, DeviceId
from iotsphere.kernel.pagination import Page
from iotsphere.workflows.description import DescriptionWorkflow

MERGE_PATCH = "application/merge-patch+json"

blueprint = Blueprint("assets", __name__)


def _added(_: Mapping[str, Any], asset: Asset) -> Change:
    return f"asset:{asset.id}", {"asset_type": asset.asset_type, "name": asset.name} | _below(asset)


def _changed(offered: Mapping[str, Any], asset: Asset) -> Change:
    details = {"version": asset.version, "changed": sorted(offered["body"])}
    return f"asset:{asset.id}", details | (_below(asset) if "parent_id" in offered["body"] else {})


def _below(asset: Asset) -> dict[str, Any]:
    return {"parent_id": str(asset.parent_id)} if asset.parent_id else {}


def _removed(offered: Mapping[str, Any], _: None) -> Change:
    return f"asset:{offered['asset_id']}", {}


@blueprint.post("/assets")
@operation(
    "Add an asset",
    allow=Role.OPERATOR,
    body=AddAssetBody(),
    example={"asset_type": "site", "name": "Harburg", "properties": {"country": "DE", "opened": 1987}},
    answer=AssetAnswer(),
    status=201,
    versioned=True,
    creates=True,
    location="/api/v1/assets/{id}",
    audited=_added,
)
@inject
async def add_asset(
    actor: Actor,
    body: dict[str, Any],
    description: DescriptionWorkflow = Provide["workflows.description"],
) -> Asset:
    return await description.add_asset(organisation_id=actor.organisation_id, added_by=actor.name, **body)


@blueprint.get("/assets/<uuid:asset_id>")
@operation(
    "Show an asset, as it is or as it was",
    allow=Role.VIEWER,
    query=ThenQuery(),
    answer=AssetAnswer(),
    versioned=True,
)
@inject
async def get_asset(
    actor: Actor,
    asset_id: AssetId,
    query: dict[str, Any],
    assets: AssetService = Provide["assets.assets"],
    history: AssetHistoryService = Provide["assets.history"],
) -> Asset:
    which: dict[str, Any] = {"organisation_id": actor.organisation_id, "asset_id": asset_id}
    if "version" in query:
        return await history.get_version(**which, version=query["version"])
    if "at" in query:
        return await history.get_at(**which, at=query["at"])
    return await assets.get_asset(**which)


@blueprint.get("/assets/<uuid:asset_id>/history")
@operation(
    "List the changes of an asset, the newest first",
    allow=Role.VIEWER,
    query=HistoryQuery(),
    answer=page_schema(AssetChangeAnswer),
)
@inject
async def list_asset_changes(
    actor: Actor, asset_id: AssetId, query: dict[str, Any], history: AssetHistoryService = Provide["assets.history"]
) -> Page[AssetChange]:
    return await history.list_changes(organisation_id=actor.organisation_id, asset_id=asset_id, **query)


@blueprint.get("/devices/<uuid:device_id>/asset")
@operation("Show the asset of a device", allow=Role.VIEWER, device_may=True, answer=AssetAnswer(), versioned=True)
@inject
async def get_device_asset(
    actor: Actor, device_id: DeviceId, assets: AssetService = Provide["assets.assets"]
) -> Asset:
    return await assets.get_device_asset(organisation_id=actor.organisation_id, device_id=device_id)


@blueprint.patch("/assets/<uuid:asset_id>")
@operation(
    "Change an asset: a merge patch (RFC 7396)",
    allow=Role.OPERATOR,
    body=ChangeAssetBody(),
    media_types=(MERGE_PATCH, JSON),
    example={"name": "Harburg, new", "properties": {"country": "DE", "opened": None}},
    answer=AssetAnswer(),
    versioned=True,
    conditional=True,
    audited=_changed,
    also={409: ProblemAnswer()},
)
@inject
async def change_asset(
    actor: Actor,
    asset_id: AssetId,
    body: AssetPatch,
    expected_version: int | None,
    description: DescriptionWorkflow = Provide["workflows.description"],
) -> Asset:
    return await description.change_asset(
        organisation_id=actor.organisation_id,
        asset_id=asset_id,
        changed_by=actor.name,
        patch=body,
        expected_version=expected_version,
    )


@blueprint.delete("/assets/<uuid:asset_id>")
@operation(
    "Remove an asset that is not a device's, and below which is none",
    allow=Role.OPERATOR,
    status=204,
    conditional=True,
    audited=_removed,
    also={409: ProblemAnswer()},
)
@inject
async def remove_asset(
    actor: Actor, asset_id: AssetId, expected_version: int | None, assets: AssetService = Provide["assets.assets"]
) -> None:
    await assets.remove_asset(
        organisation_id=actor.organisation_id, asset_id=asset_id, expected_version=expected_version
    )
