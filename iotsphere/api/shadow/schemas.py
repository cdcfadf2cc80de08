from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields, post_dump, post_load, validate, validates_schema

from iotsphere.api.fields import PageQuery, ThenQuery, Timestamp
from iotsphere.shadow.limits import MAX_ERRORS, MAX_INTEGER
from iotsphere.shadow.model import ChangeKind, DesiredRefusal, RequestState, ShadowPatch

POINTER = "A JSON pointer (RFC 6901) into what is desired."


class ShadowStateBody(Schema):
    """The sections to merge; null clears one. What was sent of the delta is dropped: it follows from the others."""

    desired = fields.Dict(allow_none=True)
    reported = fields.Dict(allow_none=True)
    delta = fields.Raw(allow_none=True, metadata={"description": "Dropped."})

    @post_load
    def _drop_delta(self, loaded: dict[str, Any], **_: Any) -> dict[str, Any]:
        loaded.pop("delta", None)
        return loaded


class RefusalBody(Schema):
    code = fields.String(required=True, metadata={"description": "For programs, up to 64 bytes."})
    detail = fields.String(metadata={"description": "For people, up to 512 bytes."})

    @post_load
    def _make_refusal(self, loaded: dict[str, Any], **_: Any) -> DesiredRefusal:
        return DesiredRefusal(**loaded)


class Refusals(fields.Dict):
    """An object of refusals, in which what is wrong is told at ``refusals.<pointer>``."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any
    ) -> dict[str, DesiredRefusal]:
        loaded: dict[str, DesiredRefusal] = {}
        errors: dict[str, Any] = {}
        given = super()._deserialize(value, attr, data, **options)  # type: ignore[no-untyped-call]  # marshmallow's
        for pointer, refusal in given.items():
            try:
                loaded[pointer] = RefusalBody().load(refusal)
            except ValidationError as error:
                errors[pointer] = error.messages
                if len(errors) == MAX_ERRORS:
                    break
        if errors:
            raise ValidationError(errors)
        return loaded


class UpdateShadowBody(Schema):
    state = fields.Nested(
        ShadowStateBody,
        allow_none=True,
        metadata={"description": "Null clears both sections. A device that refuses need not send it."},
    )
    version = fields.Integer(strict=True, metadata={"description": "The version that the shadow must have."})
    client_token = fields.String(metadata={"description": "Up to 64 bytes, given back in the answer."})
    refusals = Refusals(
        keys=fields.String(),
        metadata={"description": f"Why a device does not do what is desired, by place. {POINTER}"},
    )

    @validates_schema
    def _check_something_is_said(self, loaded: dict[str, Any], **_: Any) -> None:
        if "state" not in loaded and not loaded.get("refusals"):
            raise ValidationError("Missing data for required field.", "state")

    @post_load
    def _make_patch(self, loaded: dict[str, Any], **_: Any) -> ShadowPatch:
        return ShadowPatch(**({"state": {}} | loaded))


class ShadowQuery(ThenQuery):
    """Without either, the shadow as it is. Version 0 is that of an unnamed one that nobody has written yet."""

    version = fields.Integer(
        validate=validate.Range(0, MAX_INTEGER), metadata={"description": "As it was at this version."}
    )


class ConvergenceQuery(PageQuery):
    state = fields.Enum(RequestState, by_value=True, load_default=None)


class ViolationAnswer(Schema):
    path = fields.String()
    message = fields.String()


VIOLATIONS: Any = {
    "keys": fields.String(),
    "values": fields.List(fields.Nested(ViolationAnswer)),
    "metadata": {"description": "Where the reported state breaks the schema of its type.", "optional": True},
}


class DesiredRefusalAnswer(Schema):
    code = fields.String()
    detail = fields.String()


class SparseAnswer(Schema):
    """An answer from which what is empty is left out, of the fields that may be absent."""

    @post_dump
    def _leave_out(self, answer: dict[str, Any], **_: Any) -> dict[str, Any]:
        optional = [name for name, given in self.fields.items() if given.metadata.get("optional")]
        return {name: value for name, value in answer.items() if name not in optional or value not in (None, {})}


class ShadowAnswer(SparseAnswer):
    state = fields.Dict(metadata={"description": "desired, reported and delta, each where it is not empty."})
    metadata = fields.Dict(metadata={"description": "The shape of the state, a timestamp at every leaf."})
    version = fields.Integer()
    versions = fields.Dict(keys=fields.String(), values=fields.Integer())
    timestamp = fields.Integer(
        metadata={"description": "When this was answered, or when that version was made, in epoch seconds."}
    )
    violations = fields.Dict(**VIOLATIONS)


class ShadowChangeAnswer(SparseAnswer):
    state = fields.Dict(attribute="patch.state", allow_none=True, metadata={"description": "The part that was sent."})
    metadata = fields.Dict(metadata={"description": "Of the part that was sent."})
    version = fields.Integer()
    timestamp = fields.Integer(metadata={"description": "When it was changed, in epoch seconds."})
    client_token = fields.String(
        attribute="patch.client_token", metadata={"description": "Where one was sent.", "optional": True}
    )
    refusals = fields.Dict(
        attribute="patch.refusals",
        keys=fields.String(),
        values=fields.Nested(DesiredRefusalAnswer),
        metadata={"description": "Where some were sent.", "optional": True},
    )
    violations = fields.Dict(**VIOLATIONS)


class DeletedShadowAnswer(Schema):
    version = fields.Integer(metadata={"description": "It goes on if the shadow is written again."})
    timestamp = fields.Integer(metadata={"description": "In epoch seconds."})


class NamedShadowAnswer(Schema):
    name = fields.String()
    version = fields.Integer()


class ShadowPatchAnswer(SparseAnswer):
    state = fields.Dict(allow_none=True)
    refusals = fields.Dict(
        keys=fields.String(),
        values=fields.Nested(DesiredRefusalAnswer),
        metadata={"description": "Where some were sent.", "optional": True},
    )


class RecordedChangeAnswer(Schema):
    version = fields.Integer()
    kind = fields.Enum(ChangeKind, by_value=True)
    actor = fields.String(metadata={"description": "<kind>:<id>, or platform for a shadow that was restored."})
    at = Timestamp()
    patch = fields.Nested(
        ShadowPatchAnswer, allow_none=True, metadata={"description": "As it was sent; null where kind says all."}
    )
    correlation_id = fields.String()


class DesiredRequestAnswer(SparseAnswer):
    path = fields.String(metadata={"description": POINTER})
    value = fields.Raw()
    requested_by = fields.String()
    requested_at = Timestamp()
    requested_version = fields.Integer()
    state = fields.Enum(RequestState, by_value=True)
    settled_at = Timestamp(allow_none=True)
    settled_version = fields.Integer(metadata={"description": "Once it is settled.", "optional": True})
    refusal = fields.Nested(DesiredRefusalAnswer, metadata={"description": "Where it was refused.", "optional": True})
