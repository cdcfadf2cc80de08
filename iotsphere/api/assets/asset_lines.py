"""Assets as lines of a file."""

from typing import Any, cast

from marshmallow import ValidationError, fields, post_load, pre_dump, pre_load, validates_schema

from iotsphere.api.assets.schemas import AssetAnswer, ChangeAssetBody
from iotsphere.api.fields import VISIBLE, text
from iotsphere.api.json_body import JsonMalformedError, decode_storable_json, encode_json
from iotsphere.api.lines import LineForm
from iotsphere.assets.asset_line import MAX_KEY_LENGTH, AssetLine
from iotsphere.assets.documents import MAX_DEPTH, refusal
from iotsphere.assets.model import AssetPatch
from iotsphere.workflows.asset_files import ListedAsset

READ_ONLY = frozenset({"created_at", "updated_at", "version"})
KEYS = ("key", "parent_key")
DOCUMENTS = ("properties", "capabilities")
PROPERTY = "properties."
NULL = "null"
DESCRIBED = tuple(AssetAnswer().fields)


class ImportAssetBody(ChangeAssetBody):
    """An asset to add, or, with an id or a device, a merge patch; also as an export gives it."""

    id = fields.UUID(metadata={"description": "Of the asset that is changed."})
    device_id = fields.UUID(metadata={"description": "Of the device whose asset is changed."})
    serial_number = fields.String(validate=VISIBLE, metadata={"description": "Likewise, if there is no id."})
    key = text(longest=MAX_KEY_LENGTH, metadata={"description": "What lines further down call it."})
    parent_key = text(
        longest=MAX_KEY_LENGTH, metadata={"description": "What a line further up calls what it is part of."}
    )

    @pre_load
    def _leave_out_read_only(self, given: Any, **_: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {name: value for name, value in given.items() if name not in READ_ONLY}

    @validates_schema
    def _check_parent(self, loaded: dict[str, Any], **_: Any) -> None:
        if "parent_id" in loaded and "parent_key" in loaded:
            raise ValidationError("Name the parent either by parent_id or by parent_key.", "parent_key")

    @post_load
    def _make_line(self, loaded: dict[str, Any], **_: Any) -> AssetLine:
        names = {name: loaded.pop(name, None) for name in (*KEYS, "device_id", "serial_number")}
        return AssetLine(asset_id=loaded.pop("id", None), patch=cast("AssetPatch", loaded), **names)


class AssetLineAnswer(AssetAnswer):
    serial_number = fields.String(metadata={"description": "Of the asset of a device alone.", "optional": True})

    @pre_dump
    def _join(self, listed: ListedAsset, **_: Any) -> dict[str, Any]:
        members = {name: getattr(listed.asset, name) for name in DESCRIBED}
        return members | {"serial_number": listed.serial_number}


def _is_further_column(column: str) -> bool:
    steps = column.removeprefix(PROPERTY).split(".")
    return column in KEYS or (_is_property(column) and all(steps) and len(steps) < MAX_DEPTH)


def _from_cells(cells: dict[str, str]) -> dict[str, Any]:
    given: dict[str, Any] = {column: cell for column, cell in cells.items() if not _is_property(column)}
    for column in DOCUMENTS:
        if column in given:
            given[column] = _document(column, given[column])
    if given.get("parent_id") == NULL:
        given["parent_id"] = None
    # What is within an object comes after that one, however the columns stand: it would be lost.
    for column in sorted(filter(_is_property, cells), key=_depth):
        _put(given, column, _value(cells[column]))
    return given


def _is_property(column: str) -> bool:
    return column.startswith(PROPERTY)


def _depth(column: str) -> int:
    return column.count(".")


def _document(column: str, cell: str) -> Any:
    try:
        return decode_storable_json(cell.encode())
    except JsonMalformedError as error:
        raise refusal(column, "Must be JSON.") from error


def _value(cell: str) -> Any:
    """Read JSON where it is some: ``1.5``, ``true``, ``null``, ``["a"]``, ``"17"``. All else is a text."""
    try:
        return decode_storable_json(cell.encode())
    except JsonMalformedError:
        return cell


def _put(given: dict[str, Any], column: str, value: Any) -> None:
    place, *steps = column.split(".")
    within = given
    for step in steps:
        within = within.setdefault(place, {})
        if not isinstance(within, dict):
            raise refusal(column, "Another column says that this is within no object.")
        place = step
    within[place] = value


def _to_cells(asset: dict[str, Any]) -> dict[str, Any]:
    return asset | {column: encode_json(asset[column]).decode() for column in DOCUMENTS}


ASSET_LINES: LineForm[AssetLine] = LineForm(
    body=ImportAssetBody(),
    answers=AssetLineAnswer(many=True),
    required=(),
    read_only=READ_ONLY,
    is_further_column=_is_further_column,
    from_cells=_from_cells,
    to_cells=_to_cells,
)
