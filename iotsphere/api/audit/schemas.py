from typing import Any

from marshmallow import Schema, fields, post_load, pre_dump

from iotsphere.api.fields import VISIBLE, PageQuery, Timestamp, text
from iotsphere.audit.model import AuditFilter, AuditRecord
from iotsphere.kernel.audit import AuditOutcome

WHO = "<kind>:<id>, or the id alone."


class AuditQuery(PageQuery):
    actor = text(longest=256, load_default=None, metadata={"description": f"Who did it: {WHO}"})
    action = text(longest=128, load_default=None, metadata={"description": "The operation, as in operationId."})
    target = text(longest=256, load_default=None, metadata={"description": f"What it was done to: {WHO}"})
    outcome = fields.Enum(AuditOutcome, by_value=True, load_default=None)
    correlation_id = fields.String(load_default=None, validate=VISIBLE)
    start = Timestamp(load_default=None, metadata={"description": "The first moment that counts."})
    end = Timestamp(load_default=None, metadata={"description": "The first moment that counts no more."})

    @post_load
    def _make_filter(self, loaded: dict[str, Any], **_: Any) -> dict[str, Any]:
        page = {name: loaded.pop(name) for name in ("limit", "cursor")}
        return page | {"narrowed_to": AuditFilter(**loaded)}


class AuditEntryAnswer(Schema):
    id = fields.UUID()
    at = Timestamp()
    actor = fields.String(metadata={"description": "<kind>:<id>, or anonymous where nobody was recognised."})
    action = fields.String(metadata={"description": "The operation, as in operationId."})
    target = fields.String(allow_none=True, metadata={"description": "<kind>:<id>"})
    address = fields.String(metadata={"description": "Where the request came from."})
    correlation_id = fields.String()
    outcome = fields.Enum(AuditOutcome, by_value=True)
    code = fields.String(metadata={"description": "Why it was refused.", "optional": True})
    details = fields.Dict(keys=fields.String())
    position = fields.Integer(
        metadata={"description": "The place in the chain; absent until the entry is sealed.", "optional": True}
    )
    seal = fields.String(
        metadata={"description": "The seal in the chain, in hexadecimal; likewise.", "optional": True}
    )

    @pre_dump
    def _flatten(self, record: AuditRecord, **_: Any) -> dict[str, Any]:
        entry, place = record.entry, record.place
        names = ("id", "at", "actor", "action", "target", "address", "correlation_id", "outcome", "details")
        shown = {name: getattr(entry, name) for name in names}
        if entry.code is not None:
            shown["code"] = entry.code
        if place is not None:
            shown |= {"position": place.position, "seal": place.seal.hex()}
        return shown
