from typing import Any

from marshmallow import Schema, fields, post_dump, post_load

from iotsphere.shadow.model import ShadowPatch


class ShadowStateBody(Schema):
    """The sections to merge; null clears one. What was sent of the delta is dropped: it follows from the others."""

    desired = fields.Dict(allow_none=True)
    reported = fields.Dict(allow_none=True)
    delta = fields.Raw(allow_none=True, metadata={"description": "Dropped."})

    @post_load
    def _drop_delta(self, loaded: dict[str, Any], **_: Any) -> dict[str, Any]:
        loaded.pop("delta", None)
        return loaded


class UpdateShadowBody(Schema):
    state = fields.Nested(
        ShadowStateBody, required=True, allow_none=True, metadata={"description": "Null clears both sections."}
    )
    version = fields.Integer(strict=True, metadata={"description": "The version that the shadow must have."})
    client_token = fields.String(metadata={"description": "Up to 64 bytes, given back in the answer."})

    @post_load
    def _make_patch(self, loaded: dict[str, Any], **_: Any) -> ShadowPatch:
        return ShadowPatch(**loaded)


class ShadowAnswer(Schema):
    state = fields.Dict(metadata={"description": "desired, reported and delta, each where it is not empty."})
    metadata = fields.Dict(metadata={"description": "The shape of the state, a timestamp at every leaf."})
    version = fields.Integer()
    versions = fields.Dict(keys=fields.String(), values=fields.Integer())
    timestamp = fields.Integer(metadata={"description": "When this was answered, in epoch seconds."})


class ShadowChangeAnswer(Schema):
    state = fields.Dict(attribute="patch.state", allow_none=True, metadata={"description": "The part that was sent."})
    metadata = fields.Dict(metadata={"description": "Of the part that was sent."})
    version = fields.Integer()
    timestamp = fields.Integer(metadata={"description": "When it was changed, in epoch seconds."})
    client_token = fields.String(
        attribute="patch.client_token", metadata={"description": "Where one was sent.", "optional": True}
    )

    @post_dump
    def _leave_out_no_token(self, answer: dict[str, Any], **_: Any) -> dict[str, Any]:
        if answer["client_token"] is None:
            del answer["client_token"]
        return answer


class DeletedShadowAnswer(Schema):
    version = fields.Integer(metadata={"description": "It goes on if the shadow is written again."})
    timestamp = fields.Integer(metadata={"description": "In epoch seconds."})


class NamedShadowAnswer(Schema):
    name = fields.String()
    version = fields.Integer()
