"""The maintenance log as lines of a file."""

from typing import Any

from marshmallow import ValidationError, fields, post_load, pre_load, validates_schema

from iotsphere.api.assets.maintenance_schemas import MaintenanceEventAnswer, RecordMaintenanceBody
from iotsphere.api.fields import VISIBLE
from iotsphere.api.json_body import JsonMalformedError, decode_json
from iotsphere.api.lines import LineForm
from iotsphere.assets.maintenance_event import MaintenanceDraft
from iotsphere.workflows.maintenance_log import LogLine

SERIAL_NUMBER = "serial_number"
READ_ONLY = frozenset({"id", "recorded_by", "recorded_at"})


class ImportMaintenanceBody(RecordMaintenanceBody):
    """An event as it is recorded or as an export gives it; what only the platform can know is ignored."""

    device_id = fields.UUID(metadata={"description": "Or else the serial number."})
    serial_number = fields.String(validate=VISIBLE)

    @pre_load
    def _leave_out_read_only(self, given: Any, **_: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {name: value for name, value in given.items() if name not in READ_ONLY}

    @validates_schema
    def _check_device(self, loaded: dict[str, Any], **_: Any) -> None:
        if ("device_id" in loaded) == (SERIAL_NUMBER in loaded):
            raise ValidationError("Name the device, either by device_id or by serial_number.", "device_id")

    @post_load
    def _make_draft(self, loaded: dict[str, Any], **_: Any) -> LogLine:
        named = {name: loaded.pop(name) for name in ("device_id", SERIAL_NUMBER) if name in loaded}
        (device,) = named.values()
        return LogLine(device, MaintenanceDraft(**loaded))


def _from_cells(cells: dict[str, str]) -> dict[str, Any]:
    return cells | ({"cost": _number(cells["cost"])} if "cost" in cells else {})


def _number(cell: str) -> Any:
    """Read a number as JSON has them. What is none is left to the schema to judge."""
    try:
        return decode_json(cell.encode())
    except JsonMalformedError:
        return cell


MAINTENANCE_LINES: LineForm[LogLine] = LineForm(
    body=ImportMaintenanceBody(),
    answers=MaintenanceEventAnswer(many=True),
    required=("kind", "occurred_at"),
    read_only=READ_ONLY,
    is_further_column=lambda column: column == SERIAL_NUMBER,
    from_cells=_from_cells,
)
