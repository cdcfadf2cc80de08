from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields, post_dump, validate

from iotsphere.api.fields import TYPE_NAME, Timestamp, text
from iotsphere.assets.change import AssetChangeKind
from iotsphere.assets.device_type import MAX_DESCRIPTION_LENGTH, MAX_UNIT_LENGTH, METRIC_NAME, METRIC_TYPES
from iotsphere.assets.model import MAX_NAME_LENGTH


class AddAssetBody(Schema):
    asset_type = fields.String(required=True, validate=TYPE_NAME)
    name = text(longest=MAX_NAME_LENGTH, required=True)
    device_id = fields.UUID()
    parent_id = fields.UUID(metadata={"description": "The asset that it is part of."})
    properties = fields.Dict()
    capabilities = fields.List(fields.Dict(), metadata={"description": "Each with a name."})


class ChangeAssetBody(Schema):
    """A merge patch (RFC 7396). Null empties the properties or the capabilities, and makes the asset a root."""

    asset_type = fields.String(validate=TYPE_NAME)
    name = text(longest=MAX_NAME_LENGTH)
    parent_id = fields.UUID(
        allow_none=True, metadata={"description": "Moves the asset with all that is below it; null makes it a root."}
    )
    properties = fields.Dict(allow_none=True)
    capabilities = fields.List(fields.Dict(), allow_none=True)


class AssetAnswer(Schema):
    id = fields.UUID()
    asset_type = fields.String()
    name = fields.String()
    device_id = fields.UUID(metadata={"description": "Of the asset of a device alone.", "optional": True})
    parent_id = fields.UUID(metadata={"description": "Of what is part of another asset.", "optional": True})
    properties = fields.Dict()
    capabilities = fields.List(fields.Dict())
    created_at = Timestamp()
    updated_at = Timestamp()
    version = fields.Integer()

    @post_dump
    def _leave_out_what_is_not_there(self, written: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {key: value for key, value in written.items() if value is not None}


class AssetChangeAnswer(Schema):
    version = fields.Integer()
    kind = fields.Enum(
        AssetChangeKind, by_value=True, metadata={"description": "Found, if it was there before it had a history."}
    )
    actor = fields.String(metadata={"description": "<kind>:<id>; unknown of what was found."})
    at = Timestamp()
    patch = fields.Dict(
        attribute="content",
        metadata={"description": "Makes it of the version before (RFC 7396); unless kind is changed, of nothing."},
    )


class JsonNumber(fields.Field[int | float]):
    """A number of JSON, kept exactly as it was given."""

    def _deserialize(
        self,
        value: Any,
        attr: str | None,  # noqa: ARG002  # marshmallow's signature
        data: Mapping[str, Any] | None,  # noqa: ARG002
        **_: Any,
    ) -> int | float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise ValidationError("Not a valid number.")
        return value


class MetricBody(Schema):
    name = fields.String(
        required=True,
        validate=validate.Regexp(
            rf"{METRIC_NAME.pattern}\Z", error="Must be a letter or '_', then up to 127 letters, digits and '_.:-'."
        ),
    )
    unit = text(longest=MAX_UNIT_LENGTH, shortest=0, required=True, metadata={"description": "Empty if it has none."})
    type = fields.String(required=True, validate=validate.OneOf(METRIC_TYPES))
    min = JsonNumber(metadata={"description": "Of a number alone, like max."})
    max = JsonNumber()
    description = text(longest=MAX_DESCRIPTION_LENGTH, shortest=0)


class DefineDeviceTypeBody(Schema):
    """All that is said of a device type; what is left out is empty."""

    metrics = fields.List(fields.Nested(MetricBody), metadata={"description": "Each name once."})
    capabilities = fields.List(fields.Dict(), metadata={"description": "Each with a name."})
    shadow_schema = fields.Dict(
        metadata={"description": "A JSON Schema (2020-12) of the state in the unnamed shadow."}
    )
    maintenance = fields.Dict()
    properties_schema = fields.Dict(
        metadata={"description": "A JSON Schema (2020-12) of the properties of a device's asset."}
    )


class MetricAnswer(Schema):
    name = fields.String()
    unit = fields.String()
    type = fields.String()
    min = JsonNumber(metadata={"optional": True})
    max = JsonNumber(metadata={"optional": True})
    description = fields.String(metadata={"optional": True})


class DeviceTypeAnswer(Schema):
    name = fields.String()
    metrics = fields.List(fields.Nested(MetricAnswer))
    capabilities = fields.List(fields.Dict())
    shadow_schema = fields.Dict(metadata={"description": "Where there is one.", "optional": True})
    maintenance = fields.Dict()
    properties_schema = fields.Dict(metadata={"description": "Where there is one.", "optional": True})
    is_shipped = fields.Boolean(metadata={"description": "It came with the platform and is as it came."})
    created_at = Timestamp()
    updated_at = Timestamp()
    version = fields.Integer()

    @post_dump
    def _leave_out_no_schema(self, written: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {key: value for key, value in written.items() if value is not None}
