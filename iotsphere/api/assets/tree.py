"""What is below what, over HTTP."""

from typing import Any

from dependency_injector.wiring import Provide, inject
from marshmallow import fields, validate
from quart import Blueprint

from iotsphere.api.assets.schemas import AssetAnswer
from iotsphere.api.fields import PageQuery, page_schema
from iotsphere.api.operation import operation
from iotsphere.assets.model import Asset
from iotsphere.assets.place import MAX_LEVELS
from iotsphere.assets.service import AssetService
from iotsphere.kernel.actor import Actor, Role
from iotsphere.kernel.identifiers import AssetId
from iotsphere.kernel.pagination import Page

blueprint = Blueprint("tree", __name__)


class DescendantsQuery(PageQuery):
    depth = fields.Integer(
        load_default=MAX_LEVELS,
        validate=validate.Range(1, MAX_LEVELS),
        metadata={"description": "How many levels down; 1 gives the children."},
    )


@blueprint.get("/assets/<uuid:asset_id>/ancestors")
@operation(
    "List what an asset is part of, from the root down to its parent",
    allow=Role.VIEWER,
    query=PageQuery(),
    answer=page_schema(AssetAnswer),
)
@inject
async def list_ancestors(
    actor: Actor, asset_id: AssetId, query: dict[str, Any], assets: AssetService = Provide["assets.assets"]
) -> Page[Asset]:
    return await assets.list_ancestors(organisation_id=actor.organisation_id, asset_id=asset_id, **query)


@blueprint.get("/assets/<uuid:asset_id>/descendants")
@operation(
    "List what is below an asset, each before what is below it",
    allow=Role.VIEWER,
    query=DescendantsQuery(),
    answer=page_schema(AssetAnswer),
)
@inject
async def list_descendants(
    actor: Actor, asset_id: AssetId, query: dict[str, Any], assets: AssetService = Provide["assets.assets"]
) -> Page[Asset]:
    return await assets.list_descendants(organisation_id=actor.organisation_id, asset_id=asset_id, **query)
