from typing import Any

from marshmallow import Schema, fields, post_dump, post_load

from iotsphere.api.assets.schemas import JsonNumber
from iotsphere.api.fields import PageQuery, Timestamp, page_schema, text
from iotsphere.assets.maintenance_event import (
    MAX_COMPONENT_LENGTH,
    MAX_COST,
    MAX_NOTES_BYTES,
    MaintenanceDraft,
    MaintenanceFilter,
    MaintenanceKind,
)

COST = {"type": "number", "minimum": 0, "maximum": MAX_COST}


class RecordMaintenanceBody(Schema):
    """What has happened to a device; without a component, to the whole of it."""

    kind = fields.Enum(MaintenanceKind, by_value=True, required=True)
    component = text(longest=MAX_COMPONENT_LENGTH)
    occurred_at = Timestamp(required=True)
    notes = text(longest=MAX_NOTES_BYTES, metadata={"description": f"{MAX_NOTES_BYTES} bytes at the most."})
    cost = JsonNumber(metadata=COST)

    @post_load
    def _make_draft(self, loaded: dict[str, Any], **_: Any) -> Any:
        return MaintenanceDraft(**loaded)


class MaintenanceFilterQuery(Schema):
    kind = fields.Enum(MaintenanceKind, by_value=True, load_default=None)
    component = text(longest=MAX_COMPONENT_LENGTH, load_default=None)
    start = Timestamp(load_default=None, metadata={"description": "The first moment that counts."})
    end = Timestamp(load_default=None, metadata={"description": "The first moment that counts no more."})

    @post_load
    def _make_filter(self, loaded: dict[str, Any], **_: Any) -> dict[str, Any]:
        page = {name: loaded.pop(name) for name in ("limit", "cursor") if name in loaded}
        device_id = loaded.pop("device_id", None)
        device_ids = None if device_id is None else frozenset([device_id])
        return page | {"narrowed_to": MaintenanceFilter(device_ids=device_ids, **loaded)}


class MaintenanceListQuery(MaintenanceFilterQuery, PageQuery):
    pass


class FleetMaintenanceFilterQuery(MaintenanceFilterQuery):
    device_id = fields.UUID(load_default=None)


class FleetMaintenanceListQuery(FleetMaintenanceFilterQuery, PageQuery):
    pass


class MaintenanceEventAnswer(Schema):
    id = fields.UUID()
    device_id = fields.UUID()
    kind = fields.Enum(MaintenanceKind, by_value=True)
    component = fields.String(metadata={"description": "Absent where it is the whole device.", "optional": True})
    occurred_at = Timestamp()
    notes = fields.String(metadata={"optional": True})
    cost = JsonNumber(metadata=COST | {"optional": True})
    recorded_by = fields.String(metadata={"description": "<kind>:<id> of the actor, as in the audit trail."})
    recorded_at = Timestamp()

    @post_dump
    def _leave_out_what_was_not_said(self, written: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {key: value for key, value in written.items() if value is not None}


# One for both lists, which the document would give two names otherwise.
MAINTENANCE_EVENT_PAGE = page_schema(MaintenanceEventAnswer)
