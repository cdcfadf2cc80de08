"""Things as lines of a file, in JSON or CSV: of each line that comes in a draft of one, or why it is none."""

import codecs
import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from marshmallow import Schema

from iotsphere.api.errors import LineTooLongError
from iotsphere.api.json_body import decode_storable_json, encode_json
from iotsphere.api.operation import load
from iotsphere.api.spool import MAX_LINE_BYTES, is_too_long
from iotsphere.kernel.errors import DomainError, MalformedInputError, RuleViolationError

# A spreadsheet takes a cell that begins so for a formula, and an apostrophe before it for the sign that it is none.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "'")  # noqa: RUF001  # those too
# Columns that a file may choose may be many, and every row pays for every one of them.
MAX_COLUMNS = 1000
SHOWN_ERRORS = 8
SHOWN_LENGTH = 128

D = TypeVar("D")


class LineMalformedError(MalformedInputError):
    code = "request.line.malformed"


@dataclass(frozen=True, slots=True)
class Entry(Generic[D]):
    """A line of an import, or the lines of a CSV record: the number of the first, the bytes of all."""

    number: int
    size: int
    draft: D | DomainError


class TextLines:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class LineForm(Generic[D]):
    """How things of one kind stand in lines.

    ``body`` makes a draft of what a line says, and ``answers`` writes things that are there. A table written has the
    columns of ``answers``. One that is read must have those that are ``required``; cells of those that are
    ``read_only`` are ignored, and columns that are none of these are taken if ``is_further_column`` says so.
    ``from_cells`` makes of the cells of a row, which are texts by column, what ``body`` takes, and ``to_cells`` of
    what ``answers`` writes the cells of a row.
    """

    body: Schema
    answers: Schema
    required: tuple[str, ...]
    read_only: frozenset[str]
    is_further_column: Callable[[str], bool]
    from_cells: Callable[[dict[str, str]], dict[str, Any]]
    to_cells: Callable[[dict[str, Any]], dict[str, Any]] = dict

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.answers.fields)

    @property
    def csv_header(self) -> bytes:
        return (",".join(self.columns) + "\r\n").encode()

    def read_ndjson(self, lines: Iterable[bytes]) -> Iterator[Entry[D]]:
        """Read lines of JSON; blank ones are passed over."""
        for number, line in enumerate(lines, start=1):
            text = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
            if text.strip():
                yield Entry(number, len(line), self._draft_of(text))

    def _draft_of(self, line: bytes) -> D | DomainError:
        if is_too_long(line):
            return LineTooLongError(MAX_LINE_BYTES)
        try:
            draft: D = load(self.body, decode_storable_json(line))
        except DomainError as error:
            return error
        return draft

    def read_csv(self, lines: Iterable[bytes]) -> Iterator[Entry[D]]:
        """Read CSV of which the first line names the columns; blank lines are passed over.

        :raises RuleViolationError: a column is missing, unknown or there twice, or there are too many.
        :raises LineMalformedError: the first line cannot be read.
        :raises LineTooLongError: it is too long.
        """
        texts = TextLines(lines)
        records = csv.reader(texts, strict=True)
        columns = [column.strip() for column in _next_record(texts, records) or []]
        self._check_columns(columns)
        return self._entries(texts, records, columns)

    def _check_columns(self, columns: Sequence[str]) -> None:
        if len(columns) > MAX_COLUMNS:
            message = f"There may be {MAX_COLUMNS} columns at the most."
            raise RuleViolationError("The first line names too many columns.", {"columns": [message]})
        errors = {column: ["Missing column."] for column in self.required if column not in columns}
        for column in columns:
            if column not in self.columns and not self.is_further_column(column):
                errors[column] = ["Unknown column."]
            elif columns.count(column) > 1:
                errors[column] = ["There more than once."]
        if errors:
            raise RuleViolationError("The first line must name the columns. See errors.", short(errors))

    def _entries(self, texts: TextLines, records: Iterator[list[str]], columns: Sequence[str]) -> Iterator[Entry[D]]:
        while True:
            first = texts.count + 1
            draft: D | DomainError
            try:
                record = _next_record(texts, records)
                if record is None:
                    return
                if not record:
                    continue
                draft = load(self.body, self.from_cells(self._cells(columns, record)))
            except DomainError as error:
                draft = error
            yield Entry(first, texts.record_size, draft)

    def _cells(self, columns: Sequence[str], record: Sequence[str]) -> dict[str, str]:
        """Give the cells that say something, by their columns, in the order of those; an empty one says nothing."""
        if len(record) != len(columns):
            raise LineMalformedError(
                f"The line has {len(record)} cells; the first line names {len(columns)} columns."
            )
        given = {
            column: _plain(cell)
            for column, cell in zip(columns, record, strict=True)
            if cell and column not in self.read_only
        }
        for column, cell in given.items():
            if "\0" in cell:
                errors = {column: ["Must not contain the character U+0000."]}
                raise RuleViolationError("A cell holds U+0000.", errors)
        return given

    def write_ndjson(self, things: Sequence[Any]) -> bytes:
        return b"".join(encode_json(thing) + b"\n" for thing in self.answers.dump(things))

    def write_csv(self, things: Sequence[Any]) -> bytes:
        """Write CSV (RFC 4180) in which no cell is a formula; ``read_csv`` reads the things as they were."""
        written = io.StringIO()
        writer = csv.writer(written)
        columns = self.columns
        for thing in self.answers.dump(things):
            cells = self.to_cells(thing)
            writer.writerow([_inert(cells.get(column)) for column in columns])
        return written.getvalue().encode()


def _next_record(texts: TextLines, records: Iterator[list[str]]) -> list[str] | None:
    """Give the cells of the next record, none of a blank line, and None at the end."""
    texts.begin_record()
    try:
        return next(records, None)
    except csv.Error as error:
        raise LineMalformedError(f"The line is not CSV: {error}.") from error


def _plain(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(FORMULA_STARTS) else cell


def _inert(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_STARTS) else cell


def short(errors: dict[str, list[str]]) -> dict[str, list[str]]:
    """Cut what is said of one line's mistakes, which may be as many and as long as the line allows."""
    shown = list(errors.items())[:SHOWN_ERRORS]
    return {path[:SHOWN_LENGTH]: [message[:SHOWN_LENGTH] for message in messages] for path, messages in shown}
