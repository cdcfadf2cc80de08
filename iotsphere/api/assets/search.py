"""The search for assets over HTTP."""

from collections.abc import Mapping
from typing import Any

from dependency_injector.wiring import Provide, inject
from marshmallow import Schema, ValidationError, fields, post_load
from quart import Blueprint

from iotsphere.api.assets.schemas import AssetAnswer
from iotsphere.api.errors import ProblemAnswer
from iotsphere.api.fields import TYPE_NAME, PageQuery, page_schema, text
from iotsphere.api.json_body import JsonMalformedError, decode_json
from iotsphere.api.operation import operation
from iotsphere.assets.model import Asset
from iotsphere.assets.predicate import MAX_BYTES, read_predicate
from iotsphere.assets.relationship import Direction
from iotsphere.assets.search import (
    BY_CREATION,
    MAX_MATCH_BYTES,
    MAX_ORDER_LENGTH,
    MAX_WORDS_LENGTH,
    AssetFilter,
    RelatedTo,
    read_order,
)
from iotsphere.assets.searching import AssetSearchService
from iotsphere.kernel.actor import Actor, Role
from iotsphere.kernel.pagination import Page

blueprint = Blueprint("asset_search", __name__)


class AssetFilterMembers(Schema):
    """What assets are looked for by. ``read_filter`` makes a filter of it, and of ``match`` beside it."""

    asset_type = fields.String(load_default=None, validate=TYPE_NAME)
    device_id = fields.UUID(load_default=None)
    parent_id = fields.UUID(load_default=None, metadata={"description": "What is directly below this asset."})
    ancestor = fields.UUID(load_default=None, metadata={"description": "What is below this asset, at any depth."})
    related_to = fields.UUID(
        load_default=None, metadata={"description": "What has a relationship that leads to this asset."}
    )
    relationship = fields.String(
        load_default=None, validate=TYPE_NAME, metadata={"description": "Of this type; beside related_to alone."}
    )
    direction = fields.Enum(
        Direction,
        by_value=True,
        load_default=None,
        metadata={
            "description": "in: the relationship leads from the asset in related_to to what is looked for, and not"
            " the other way round (out). Beside related_to alone."
        },
    )
    path = text(
        longest=MAX_BYTES,
        load_default=None,
        metadata={
            "description": "A predicate that is true of the properties, in a part of the SQL/JSON path language:"
            " paths of members, [*], [n] and filters, compared with literals; starts with, like_regex, exists, !, &&"
            " and ||. A refusal names the character, and what may stand there.",
            "examples": ['$.manufacturer == "Grundfos" && $.rated_power_kw > 5'],
        },
    )
    q = text(
        longest=MAX_WORDS_LENGTH,
        load_default=None,
        metadata={"description": "Every word of it begins a word of the name.", "examples": ["feed pu"]},
    )


class AssetFilterQuery(AssetFilterMembers):
    """Loads as ``narrowed_to``, beside what pages are asked for by."""

    match = text(
        longest=MAX_MATCH_BYTES,
        load_default=None,
        metadata={
            "description": "A JSON object that the properties contain, as JSONB's @> says.",
            "examples": ['{"manufacturer": "Grundfos"}'],
        },
    )

    @post_load
    def _make_question(self, loaded: dict[str, Any], **_: Any) -> dict[str, Any]:
        order = {"order": read_order(loaded["sort"])} if "sort" in loaded else {}
        page = {name: loaded[name] for name in ("limit", "cursor") if name in loaded}
        return {"narrowed_to": read_filter(loaded)} | order | page


def read_filter(loaded: Mapping[str, Any]) -> AssetFilter:
    """Make a filter of what ``AssetFilterMembers`` have loaded.

    :raises ValidationError: something is there without what it goes with.
    :raises RuleViolationError: nothing can be looked for by this; ``errors`` names the member.
    """
    if loaded["related_to"] is None:
        for member in ("relationship", "direction"):
            if loaded[member] is not None:
                raise ValidationError("Goes with related_to, which is missing.", member)
    return AssetFilter(
        asset_type=loaded["asset_type"],
        device_id=loaded["device_id"],
        parent_id=loaded["parent_id"],
        ancestor=loaded["ancestor"],
        related_to=_read_relation(loaded),
        match=_read_match(loaded["match"]),
        path=None if loaded["path"] is None else read_predicate(loaded["path"]),
        words=loaded["q"],
    )


def _read_match(match: str | dict[str, Any] | None) -> dict[str, Any] | None:
    if match is None or isinstance(match, dict):
        return match
    try:
        sought = decode_json(match.encode())
    except (JsonMalformedError, UnicodeEncodeError) as error:
        raise ValidationError("Not valid JSON.", "match") from error
    if not isinstance(sought, dict):
        raise ValidationError('Must be a JSON object, such as {"manufacturer": "Grundfos"}.', "match")
    return sought


def _read_relation(loaded: Mapping[str, Any]) -> RelatedTo | None:
    if loaded["related_to"] is None:
        return None
    return RelatedTo(loaded["related_to"], loaded["relationship"], loaded["direction"] or Direction.OUT)


class AssetListQuery(AssetFilterQuery, PageQuery):
    sort = text(
        longest=MAX_ORDER_LENGTH,
        load_default=BY_CREATION.by,
        metadata={
            "description": "created_at, name or properties.<path>; with a - in front the other way round.",
            "examples": ["-properties.rated_power_kw"],
        },
    )


@blueprint.get("/assets")
@operation(
    "Search for assets",
    allow=Role.VIEWER,
    query=AssetListQuery(),
    answer=page_schema(AssetAnswer),
    also={404: ProblemAnswer()},
)
@inject
async def list_assets(
    actor: Actor, query: dict[str, Any], search: AssetSearchService = Provide["assets.search"]
) -> Page[Asset]:
    return await search.search_assets(organisation_id=actor.organisation_id, **query)
