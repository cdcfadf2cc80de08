"""Devices as lines of a file, in JSON or CSV: of each line that comes in a draft of a device, or why it is none."""

import codecs
import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from marshmallow import fields, post_load, pre_load, validate

from iotsphere.api.errors import LineTooLongError
from iotsphere.api.json_body import JsonMalformedError, decode_storable_json, encode_json
from iotsphere.api.operation import load
from iotsphere.api.registry.schemas import DeviceAnswer, RegisterDeviceBody
from iotsphere.api.spool import MAX_LINE_BYTES, is_too_long
from iotsphere.kernel.errors import DomainError, MalformedInputError, RuleViolationError
from iotsphere.registry.model import Device, DeviceDraft, DeviceStatus

WRITABLE = ("serial_number", "device_type", "name", "labels", "status")
IMPORTABLE = [status.value for status in DeviceStatus if status is not DeviceStatus.RETIRED]
COLUMNS = tuple(DeviceAnswer().fields)
READ_ONLY = frozenset(COLUMNS).difference(WRITABLE)
# A spreadsheet takes a cell that begins so for a formula, and an apostrophe before it for the sign that it is none.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "'")  # noqa: RUF001  # those too
# Columns of labels may be many, for each device has others; every row pays for every one of them.
MAX_COLUMNS = 1000
SHOWN_ERRORS = 8
SHOWN_LENGTH = 128


class LineMalformedError(MalformedInputError):
    code = "request.line.malformed"


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


BODY = ImportDeviceBody()
ANSWERS = DeviceAnswer(many=True)


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of an import, or the lines of a CSV record: the number of the first, the bytes of all."""

    number: int
    size: int
    draft: DeviceDraft | DomainError


def read_ndjson(lines: Iterable[bytes]) -> Iterator[Entry]:
    """Read lines of JSON; blank ones are passed over."""
    for number, line in enumerate(lines, start=1):
        text = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        if text.strip():
            yield Entry(number, len(line), _draft_of(text))


def _draft_of(line: bytes) -> DeviceDraft | DomainError:
    if is_too_long(line):
        return LineTooLongError(MAX_LINE_BYTES)
    try:
        draft: DeviceDraft = load(BODY, decode_storable_json(line))
    except DomainError as error:
        return error
    return draft


class _TextLines:
    """Lines as text. Of one that is none, the error is raised, and those behind it can still be asked for.

    The lines of a record, which ``begin_record`` begins, are together no longer than one may be.
    """

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = iter(lines)
        self.count = self.record_size = 0

    def begin_record(self) -> None:
        self.record_size = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.count += 1
        is_continued = self.record_size > 0
        self.record_size += len(line)
        if is_too_long(line) or (is_continued and self.record_size > MAX_LINE_BYTES):
            raise LineTooLongError(MAX_LINE_BYTES)
        try:
            return (line.removeprefix(codecs.BOM_UTF8) if self.count == 1 else line).decode()
        except UnicodeDecodeError as error:
            raise LineMalformedError("The line is not in UTF-8.") from error


def read_csv(lines: Iterable[bytes]) -> Iterator[Entry]:
    """Read CSV of which the first line names the columns; blank lines are passed over.

    :raises RuleViolationError: a column is missing, unknown or there twice, or there are too many.
    :raises LineMalformedError: the first line cannot be read.
    :raises LineTooLongError: it is too long.
    """
    texts = _TextLines(lines)
    records = csv.reader(texts, strict=True)
    columns = [column.strip() for column in _next_record(texts, records) or []]
    _check_columns(columns)
    return _entries(texts, records, columns)


def _entries(texts: _TextLines, records: Iterator[list[str]], columns: list[str]) -> Iterator[Entry]:
    while True:
        first = texts.count + 1
        draft: DeviceDraft | DomainError
        try:
            record = _next_record(texts, records)
            if record is None:
                return
            if not record:
                continue
            draft = load(BODY, _from_record(columns, record))
        except DomainError as error:
            draft = error
        yield Entry(first, texts.record_size, draft)


def _next_record(texts: _TextLines, records: Iterator[list[str]]) -> list[str] | None:
    """Give the cells of the next record, none of a blank line, and None at the end."""
    texts.begin_record()
    try:
        return next(records, None)
    except csv.Error as error:
        raise LineMalformedError(f"The line is not CSV: {error}.") from error


def _check_columns(columns: Sequence[str]) -> None:
    if len(columns) > MAX_COLUMNS:
        message = f"There may be {MAX_COLUMNS} columns at the most. Put labels into the column 'labels'."
        raise RuleViolationError("The first line names too many columns.", {"columns": [message]})
    errors = {column: ["Missing column."] for column in ("serial_number", "device_type") if column not in columns}
    for column in columns:
        if column not in COLUMNS and not column.startswith("label."):
            errors[column] = ["Unknown column."]
        elif columns.count(column) > 1:
            errors[column] = ["There more than once."]
    if errors:
        raise RuleViolationError("The first line must name the columns. See errors.", short(errors))


def _from_record(columns: Sequence[str], record: Sequence[str]) -> dict[str, Any]:
    """Give what ``ImportDeviceBody`` takes; an empty cell says nothing."""
    if len(record) != len(columns):
        raise LineMalformedError(f"The line has {len(record)} cells; the first line names {len(columns)} columns.")
    given: dict[str, Any] = {
        column: _plain(cell) for column, cell in zip(columns, record, strict=True) if cell and column not in READ_ONLY
    }
    for column, cell in given.items():
        if "\0" in cell:
            raise RuleViolationError("A cell holds U+0000.", {column: ["Must not contain the character U+0000."]})
    labels = {column: given.pop(column) for column in columns if column.startswith("label.") and column in given}
    if "labels" in given:
        given["labels"] = _labels(given["labels"])
    if labels and isinstance(given.setdefault("labels", {}), dict):
        given["labels"] |= {column.removeprefix("label."): cell for column, cell in labels.items()}
    return given


def _labels(cell: str) -> Any:
    try:
        return decode_storable_json(cell.encode())
    except JsonMalformedError as error:
        raise RuleViolationError("The labels are not JSON.", {"labels": ["Must be a JSON object."]}) from error


def _plain(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(FORMULA_STARTS) else cell


def _inert(cell: str) -> str:
    return f"'{cell}" if cell.startswith(FORMULA_STARTS) else cell


def short(errors: dict[str, list[str]]) -> dict[str, list[str]]:
    """Cut what is said of one line's mistakes, which may be as many and as long as the line allows."""
    shown = list(errors.items())[:SHOWN_ERRORS]
    return {path[:SHOWN_LENGTH]: [message[:SHOWN_LENGTH] for message in messages] for path, messages in shown}


def write_ndjson(devices: Sequence[Device]) -> bytes:
    return b"".join(encode_json(device) + b"\n" for device in ANSWERS.dump(devices))


def write_csv(devices: Sequence[Device]) -> bytes:
    """Write devices as CSV (RFC 4180), in which no cell is a formula; ``read_csv`` reads them as they were."""
    written = io.StringIO()
    writer = csv.writer(written)
    for device in ANSWERS.dump(devices):
        texts = device | {"labels": encode_json(device["labels"]).decode()}
        writer.writerow([_inert(cell) if isinstance(cell := texts[column], str) else cell for column in COLUMNS])
    return written.getvalue().encode()


CSV_HEADER = (",".join(COLUMNS) + "\r\n").encode()
