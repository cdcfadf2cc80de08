"""Relationships between assets over HTTP."""

from collections.abc import Mapping
from typing import Any

from dependency_injector.wiring import Provide, inject
from marshmallow import Schema, fields
from quart import Blueprint

from iotsphere.api.errors import ProblemAnswer
from iotsphere.api.fields import TYPE_NAME, PageQuery, Timestamp, page_schema
from iotsphere.api.operation import operation
from iotsphere.api.recording import Change
from iotsphere.assets.model import ASSET_TYPE
from iotsphere.assets.relationship import Direction, Link, Relationship, RelationshipFilter
from iotsphere.assets.relationships import RelationshipService
from iotsphere.kernel.actor import Actor, Role
from iotsphere.kernel.identifiers import AssetId
from iotsphere.kernel.pagination import Page

PATH = {"relationship_type": {"pattern": f"^{ASSET_TYPE.pattern}$"}}
ONE = "/assets/<uuid:asset_id>/relationships/<relationship_type>/<uuid:other_id>"

blueprint = Blueprint("relationships", __name__)


class RelateBody(Schema):
    properties = fields.Dict(metadata={"description": "16 KiB at the most. They replace what was said before."})


class RelationshipListQuery(PageQuery):
    type = fields.String(load_default=None, validate=TYPE_NAME)
    direction = fields.Enum(
        Direction,
        by_value=True,
        load_default=Direction.OUT,
        metadata={"description": "Those that lead from the asset, or those that lead to it."},
    )


class RelationshipAnswer(Schema):
    asset_id = fields.UUID(attribute="link.asset_id", metadata={"description": "From which asset it leads."})
    type = fields.String(attribute="link.type")
    other_id = fields.UUID(attribute="link.other_id", metadata={"description": "And to which."})
    properties = fields.Dict()
    created_at = Timestamp()
    updated_at = Timestamp()
    version = fields.Integer()


def _related(_: Mapping[str, Any], relationship: Relationship) -> Change:
    link = relationship.link
    return f"asset:{link.asset_id}", _details(link.type, link.other_id) | {"version": relationship.version}


def _unrelated(offered: Mapping[str, Any], _: None) -> Change:
    return f"asset:{offered['asset_id']}", _details(offered["relationship_type"], offered["other_id"])


def _details(type_name: str, other_id: AssetId) -> dict[str, Any]:
    return {"relationship": type_name, "other": f"asset:{other_id}"}


@blueprint.put(ONE)
@operation(
    "Relate an asset to another one, or replace what was said of that",
    allow=Role.OPERATOR,
    body=RelateBody(),
    example={"properties": {"bar": 4}},
    answer=RelationshipAnswer(),
    versioned=True,
    conditional=True,
    location="/api/v1/assets/{asset_id}/relationships/{type}/{other_id}",
    is_new=lambda relationship: relationship.is_new,
    audited=_related,
    path=PATH,
    also={409: ProblemAnswer()},
)
@inject
async def relate_assets(
    actor: Actor,
    asset_id: AssetId,
    relationship_type: str,
    other_id: AssetId,
    body: dict[str, Any],
    expected_version: int | None,
    relationships: RelationshipService = Provide["assets.relationships"],
) -> Relationship:
    link = Link(actor.organisation_id, asset_id, relationship_type, other_id)
    return await relationships.relate_assets(link=link, expected_version=expected_version, **body)


@blueprint.get(ONE)
@operation("Show a relationship", allow=Role.VIEWER, answer=RelationshipAnswer(), versioned=True, path=PATH)
@inject
async def get_relationship(
    actor: Actor,
    asset_id: AssetId,
    relationship_type: str,
    other_id: AssetId,
    relationships: RelationshipService = Provide["assets.relationships"],
) -> Relationship:
    link = Link(actor.organisation_id, asset_id, relationship_type, other_id)
    return await relationships.get_relationship(link=link)


@blueprint.delete(ONE)
@operation("End a relationship", allow=Role.OPERATOR, status=204, conditional=True, audited=_unrelated, path=PATH)
@inject
async def unrelate_assets(
    actor: Actor,
    asset_id: AssetId,
    relationship_type: str,
    other_id: AssetId,
    expected_version: int | None,
    relationships: RelationshipService = Provide["assets.relationships"],
) -> None:
    link = Link(actor.organisation_id, asset_id, relationship_type, other_id)
    await relationships.unrelate_assets(link=link, expected_version=expected_version)


@blueprint.get("/assets/<uuid:asset_id>/relationships")
@operation(
    "List the relationships of an asset by type",
    allow=Role.VIEWER,
    query=RelationshipListQuery(),
    answer=page_schema(RelationshipAnswer),
)
@inject
async def list_relationships(
    actor: Actor,
    asset_id: AssetId,
    query: dict[str, Any],
    relationships: RelationshipService = Provide["assets.relationships"],
) -> Page[Relationship]:
    narrowed_to = RelationshipFilter(asset_id, query["direction"], query["type"])
    return await relationships.list_relationships(
        organisation_id=actor.organisation_id,
        narrowed_to=narrowed_to,
        limit=query["limit"],
        cursor=query["cursor"],
    )
