"""Devices as lines of a file."""

from typing import Any

from marshmallow import fields, post_load, pre_load, validate

from iotsphere.api.json_body import JsonMalformedError, decode_storable_json, encode_json
from iotsphere.api.lines import LineForm
from iotsphere.api.registry.schemas import DeviceAnswer, RegisterDeviceBody
from iotsphere.kernel.errors import RuleViolationError
from iotsphere.registry.model import DeviceDraft, DeviceStatus

WRITABLE = ("serial_number", "device_type", "name", "labels", "status")
IMPORTABLE = [status.value for status in DeviceStatus if status is not DeviceStatus.RETIRED]
READ_ONLY = frozenset(DeviceAnswer().fields).difference(WRITABLE)
LABEL = "label."
PARENT = "asset.parent_id"


class ImportDeviceBody(RegisterDeviceBody):
    """A device as it is registered or as an export gives it; what only the platform can know is ignored."""

    status = fields.String(validate=validate.OneOf(IMPORTABLE), load_default=DeviceStatus.PROVISIONED.value)

    @pre_load
    def _leave_out_read_only(self, given: Any, **_: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {name: value for name, value in given.items() if name not in READ_ONLY}

    @post_load
    def _make_draft(self, loaded: dict[str, Any], **_: Any) -> DeviceDraft:
        return DeviceDraft(**loaded | {"status": DeviceStatus(loaded["status"])})


def _from_cells(cells: dict[str, str]) -> dict[str, Any]:
    given: dict[str, Any] = {column: cell for column, cell in cells.items() if not column.startswith(LABEL)}
    labels = {column.removeprefix(LABEL): cell for column, cell in cells.items() if column.startswith(LABEL)}
    if PARENT in given:
        given["asset"] = {"parent_id": given.pop(PARENT)}
    if "labels" in given:
        given["labels"] = _labels(given["labels"])
    if labels and isinstance(given.setdefault("labels", {}), dict):
        given["labels"] |= labels
    return given


def _labels(cell: str) -> Any:
    try:
        return decode_storable_json(cell.encode())
    except JsonMalformedError as error:
        raise RuleViolationError("The labels are not JSON.", {"labels": ["Must be a JSON object."]}) from error


def _to_cells(device: dict[str, Any]) -> dict[str, Any]:
    return device | {"labels": encode_json(device["labels"]).decode()}


DEVICE_LINES: LineForm[DeviceDraft] = LineForm(
    body=ImportDeviceBody(),
    answers=DeviceAnswer(many=True),
    required=("serial_number", "device_type"),
    read_only=READ_ONLY,
    is_further_column=lambda column: column.startswith(LABEL) or column == PARENT,
    from_cells=_from_cells,
    to_cells=_to_cells,
)
