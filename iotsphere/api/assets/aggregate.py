"""Figures over assets, over HTTP."""

from collections.abc import Mapping
from typing import Any

from dependency_injector.wiring import Provide, inject
from marshmallow import Schema, ValidationError, fields, post_load, validate
from quart import Blueprint

from iotsphere.api.assets.search import AssetFilterMembers, read_filter
from iotsphere.api.errors import ProblemAnswer
from iotsphere.api.fields import text
from iotsphere.api.operation import operation
from iotsphere.assets.aggregate import (
    MAX_GROUP_BYTES,
    MAX_GROUPINGS,
    MAX_GROUPS,
    MAX_MEASURES,
    Aggregation,
    Group,
    Grouping,
    MeasureOp,
    read_grouping,
    read_measure,
)
from iotsphere.assets.aggregates import AssetAggregateService
from iotsphere.assets.search import MAX_ORDER_LENGTH, AssetFilter
from iotsphere.kernel.actor import Actor, Role
from iotsphere.kernel.errors import RuleViolationError

blueprint = Blueprint("asset_aggregate", __name__)

GROUPING = {"type": "string", "maxLength": MAX_ORDER_LENGTH, "examples": ["properties.manufacturer"]}


class AssetFilterBody(AssetFilterMembers):
    """What assets are looked for by, as in a search."""

    match = fields.Dict(
        load_default=None, metadata={"description": "What the properties contain, as JSONB's @> says."}
    )


class MeasureBody(Schema):
    op = fields.Enum(MeasureOp, by_value=True, required=True)
    of = text(
        longest=MAX_ORDER_LENGTH,
        metadata={
            "description": "properties.<path>; needed by all but count.",
            "example": "properties.rated_power_kw",
        },
    )

    @post_load
    def _make_measure(self, loaded: dict[str, Any], **_: Any) -> dict[str, Any]:
        try:
            return {"said": loaded, "measure": read_measure(loaded["op"], loaded.get("of"))}
        except RuleViolationError as error:
            raise ValidationError(error.errors["of"], "of") from error


class Groupings(fields.Field[Grouping | list[Grouping]]):
    """One, or a list of them."""

    def _deserialize(
        self,
        value: Any,
        attr: str | None,  # noqa: ARG002  # marshmallow's signature
        data: Mapping[str, Any] | None,  # noqa: ARG002
        **_: Any,
    ) -> Grouping | list[Grouping]:
        said = value if isinstance(value, list) else [value]
        if not all(isinstance(each, str) for each in said) or len(said) > MAX_GROUPINGS:
            raise ValidationError(f"Must be a text, or a list of {MAX_GROUPINGS} at the most.")
        if len(set(said)) < len(said):
            raise ValidationError("Each of them once.")
        try:
            groupings = [read_grouping(each) for each in said]
        except RuleViolationError as error:
            raise ValidationError(error.errors["group_by"]) from error
        return groupings if isinstance(value, list) else groupings[0]


class AggregateBody(Schema):
    group_by = Groupings(
        metadata={
            "oneOf": [GROUPING, {"type": "array", "items": GROUPING, "maxItems": MAX_GROUPINGS}],
            "description": "asset_type, parent_id, ancestor.<asset type> or properties.<path>, or several of them. "
            "Without it, all assets are one group.",
        },
    )
    measures = fields.List(fields.Nested(MeasureBody), required=True, validate=validate.Length(1, MAX_MEASURES))
    filter = fields.Nested(AssetFilterBody, metadata={"description": "The assets that count; without it, all."})

    @post_load
    def _make_aggregation(self, loaded: dict[str, Any], **_: Any) -> dict[str, Any]:
        by = loaded.get("group_by")
        groupings = (by,) if isinstance(by, Grouping) else tuple(by or ())
        measures = tuple(each["measure"] for each in loaded["measures"])
        asked = Aggregation(groupings, measures, _read_filter(loaded.get("filter")))
        return {"asked": asked, "group_by": by, "said": [each["said"] for each in loaded["measures"]]}


def _read_filter(loaded: Mapping[str, Any] | None) -> AssetFilter:
    try:
        return AssetFilter() if loaded is None else read_filter(loaded)
    except ValidationError as error:
        raise ValidationError({"filter": {error.field_name: error.messages}}) from error
    except RuleViolationError as error:
        error.errors = {f"filter.{field}": messages for field, messages in error.errors.items()}
        raise


class FigureAnswer(Schema):
    op = fields.Enum(MeasureOp, by_value=True)
    of = fields.String(metadata={"description": "Where it was said.", "optional": True})
    value = fields.Raw(
        metadata={"type": ["number", "null"], "description": "Null where no asset of the group has a number there."}
    )


class GroupAnswer(Schema):
    group = fields.Raw(
        metadata={
            "type": ["string", "number", "boolean", "null", "array"],
            "items": {},
            "description": "What the assets have in common, null where they have nothing there; a list of such where "
            "group_by is a list. Not there without group_by.",
            "optional": True,
        }
    )
    group_name = fields.Raw(
        metadata={
            "type": ["string", "null", "array"],
            "items": {"type": ["string", "null"]},
            "description": "What the asset is called whose id the group is, by parent_id or ancestor; a list where "
            "group is one, null where that is no asset.",
            "optional": True,
        }
    )
    measures = fields.List(
        fields.Nested(FigureAnswer), metadata={"description": "In the order in which they were asked for."}
    )


class AggregateAnswer(Schema):
    groups = fields.List(
        fields.Nested(GroupAnswer),
        metadata={
            "description": f"The largest first, {MAX_GROUPS} at the most, with {MAX_GROUP_BYTES} bytes of texts in "
            "common at the most."
        },
    )
    total_groups = fields.Integer(metadata={"description": "How many groups there are in all."})


@blueprint.post("/assets/aggregate")
@operation(
    "Work out figures over assets, by groups of them",
    allow=Role.VIEWER,
    body=AggregateBody(),
    example={
        "group_by": "properties.manufacturer",
        "measures": [{"op": "count"}, {"op": "avg", "of": "properties.rated_power_kw"}],
        "filter": {"asset_type": "pump"},
    },
    answer=AggregateAnswer(),
    also={404: ProblemAnswer()},
)
@inject
async def aggregate_assets(
    actor: Actor, body: dict[str, Any], aggregates: AssetAggregateService = Provide["assets.aggregates"]
) -> dict[str, Any]:
    found = await aggregates.aggregate_assets(organisation_id=actor.organisation_id, asked=body["asked"])
    return {"groups": [_shown(group, body) for group in found.groups], "total_groups": found.total}


def _shown(group: Group, body: Mapping[str, Any]) -> dict[str, Any]:
    """Say what was asked beside what was found."""
    figures = [said | {"value": figure} for said, figure in zip(body["said"], group.figures, strict=True)]
    by = body["group_by"]
    if by is None:
        return {"measures": figures}
    is_one = isinstance(by, Grouping)
    key: dict[str, Any] = {"group": group.key[0] if is_one else list(group.key)}
    if group.names:
        key["group_name"] = group.names[0] if is_one else list(group.names)
    return key | {"measures": figures}
