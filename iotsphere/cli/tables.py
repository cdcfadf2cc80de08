"""Files of points, CSV or Parquet, read as readings. Memory does not grow with the file.

A long file has a row for each point: device, time, metric, value. A wide one has a row for each reading: a time, and
a column for each metric.
"""

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from iotsphere.cli.cells import MISSING, NUMBER, read_number, read_time
from iotsphere.cli.errors import CommandError
from iotsphere.cli.metric_names import metric_name
from iotsphere.cli.point_pages import METRIC, OTHER, VALUE
from iotsphere.cli.recordings import TIME_TITLES
from iotsphere.telemetry.model import is_metric_name

ROWS_AT_ONCE = 5_000
DEVICE_TITLES = ("serial_number", "device_id", "device")
# More than the platform takes of a line, which then says so.
MAX_CELL = 16 * 1024 * 1024
OTHER_SEPARATORS = ";\t|"
# No value is as long as that; of what is longer so much is sent as is too long still, and no other cell pays for it.
LONGEST_VALUE, SENT_OF_LONGER = 1024 * 1024, 10_000
# A number that exceeds the largest double, as it is written: the platform is to say that it cannot be kept.
BEYOND = msgspec.Raw(b"1e999")
INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
NO_JSON = (msgspec.DecodeError, RecursionError)


class TableFormat(StrEnum):
    CSV = "csv"
    PARQUET = "parquet"


class TableError(CommandError):
    """The file cannot be imported, or is none that can be written; the sentence says where and why."""


ENDINGS = {".csv": TableFormat.CSV, ".parquet": TableFormat.PARQUET, ".pq": TableFormat.PARQUET}
FormatOption = Annotated[
    TableFormat | None, typer.Option("--format", help="(default: as the file's name ends: .csv, .parquet or .pq)")
]


def format_of(path: Path) -> TableFormat:
    """Tell by its name what a file is.

    :raises TableError: the name does not tell.
    """
    known = ENDINGS.get(path.suffix.lower())
    if known is None:
        raise TableError(
            f"{path}: the name of the file ends neither in .csv nor in .parquet or .pq. Say with --format what it is."
        )
    return known


@dataclass(frozen=True, slots=True)
class TableReading:
    """``row`` is the last one that belongs to it, counted from 1 behind the titles, and ``first`` the first."""

    row: int
    device: str
    ts: datetime
    values: dict[str, Any]
    first: int


@dataclass(frozen=True, slots=True)
class UnreadableRow:
    """A row, counted likewise, of which no reading can be made, and why."""

    row: int
    reason: str


@dataclass(frozen=True, slots=True)
class TableLayout:
    """How to understand the columns; None is guessed. ``device`` is whose a file without a column for it is."""

    device: str | None = None
    time_column: str | None = None
    device_column: str | None = None


@dataclass(slots=True)
class TableFile:
    """``total`` and ``done`` are bytes of CSV, and rows of Parquet."""

    path: Path
    format: TableFormat
    total: int = 0
    done: int = 0

    def readings(self, layout: TableLayout, *, skip: int = 0) -> Iterator[TableReading | UnreadableRow]:
        """Read the file from behind so many rows on; a row that is bad costs no other.

        :raises TableError: it cannot be read, from a certain row on or at all.
        """
        rows = self._parquet_rows() if self.format is TableFormat.PARQUET else self._csv_rows()
        number = 0
        try:
            with _closing(rows):
                read = _row_reader(next(rows, []), layout)
                for number, row in enumerate(rows, start=1):
                    if number > skip and (found := _read_row(read, number, row)) is not None:
                        yield found
        except (OSError, ValueError, NotImplementedError, csv.Error) as error:
            behind = f", behind row {number:,}" if number else ""
            raise TableError(f"{self.path}{behind}: {error}") from error

    def _csv_rows(self) -> Iterator[list[Any]]:
        with self.path.open("rb") as file, io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
            self.total = self.path.stat().st_size
            usual = csv.field_size_limit(MAX_CELL)
            try:
                for row in csv.reader(text, strict=True):
                    self.done = file.tell()
                    yield row
            finally:
                csv.field_size_limit(usual)

    def _parquet_rows(self) -> Iterator[list[Any]]:
        # Loading it takes longer than most commands do.
        import pyarrow as pa  # noqa: PLC0415
        from pyarrow import parquet  # noqa: PLC0415

        with parquet.ParquetFile(self.path) as file:
            self.total = file.metadata.num_rows
            yield file.schema_arrow.names
            for batch in file.iter_batches(batch_size=ROWS_AT_ONCE):
                for row in zip(*(_plain(pa, column).to_pylist() for column in batch.columns), strict=True):
                    self.done += 1
                    yield list(row)


def _plain(pa: Any, column: Any) -> Any:
    """Make of a column of Parquet what JSON has."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        # Nanoseconds are more than Python's times have.
        return column.cast(pa.timestamp("us", kind.tz), safe=False)
    if pa.types.is_decimal(kind):
        return column.cast(pa.float64())
    # Many a writer does not say that its texts are texts.
    return column.cast(pa.string()) if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) else column


@contextmanager
def _closing(rows: Iterator[Any]) -> Iterator[None]:
    try:
        yield
    finally:
        rows.close()  # type: ignore[attr-defined]  # it is a generator


RowReader = Callable[[int, list[Any]], TableReading | None]


def _read_row(read: RowReader, number: int, row: list[Any]) -> TableReading | UnreadableRow | None:
    try:
        return read(number, row)
    except ValueError as error:
        return UnreadableRow(number, str(error))


def _row_reader(titles: Sequence[str], layout: TableLayout) -> RowReader:
    """Make what reads the rows below these titles; it gives nothing of a row without a value."""
    _expect_titles(titles)
    time = _column(titles, layout.time_column, TIME_TITLES, "the time", "--time-column")
    assert time is not None  # noqa: S101  # for the type checker
    device = _device_column(titles, layout)
    read_values = _values_reader(titles, {time, device})

    def read(number: int, row: list[Any]) -> TableReading | None:
        if not row:
            return None
        if len(row) != len(titles):
            raise ValueError(f"{len(row)} columns where {len(titles)} are expected.")
        values = read_values(row)
        if not values:
            return None
        name = layout.device if device is None else row[device]
        if not name:
            raise ValueError("names no device.")
        return TableReading(number, str(name), _moment(row[time]), values, number)

    return read


def _expect_titles(titles: Sequence[str]) -> None:
    if not titles:
        raise ValueError("there are no titles of columns in its first line, or nothing at all.")
    if len(titles) == 1 and any(separator in titles[0] for separator in OTHER_SEPARATORS):
        raise ValueError(f"its columns are not parted by commas: {titles[0]}")
    twice = [title for title, count in Counter(titles).items() if count > 1]
    if twice:
        raise ValueError(f"several columns are called {twice[0]!r}.")


def _device_column(titles: Sequence[str], layout: TableLayout) -> int | None:
    if layout.device is not None:
        return _column(titles, layout.device_column, (), "", "--device-column") if layout.device_column else None
    return _column(titles, layout.device_column, DEVICE_TITLES, "the device", "--device-column or --device")


def _column(titles: Sequence[str], chosen: str | None, known: Any, meaning: str, option: str) -> int:
    found = [n for n, title in enumerate(titles) if (title == chosen if chosen else title.lower() in known)]
    if len(found) != 1:
        what = (
            f"there is no single column {chosen!r}" if chosen else f"which column is {meaning}? Say it with {option}"
        )
        raise ValueError(f"{what}: {', '.join(map(str, titles))}.")
    return found[0]


def _values_reader(titles: Sequence[str], taken: set[int | None]) -> Callable[[list[Any]], dict[str, Any]]:
    columns = {title: n for n, title in enumerate(titles)}
    if METRIC in columns and VALUE in columns:
        other = columns.get(OTHER)
        return lambda row: _of_one(
            row[columns[METRIC]], read_cell(row[columns[VALUE]]), None if other is None else row[other]
        )
    metrics = [(n, _metric(title)) for n, title in enumerate(titles) if n not in taken and title not in DEVICE_TITLES]
    if len({name for _, name in metrics}) < len(metrics) or not metrics:
        raise ValueError(f"there is no column of values, or several are of one metric: {', '.join(titles)}.")
    return lambda row: {name: value for n, name in metrics if (value := read_cell(row[n])) is not None}


def _metric(title: str) -> str:
    return title if is_metric_name(title) else metric_name(title)


def _of_one(metric: Any, value: Any, other: Any) -> dict[str, Any]:
    """Give the one value that there is: what is no number may be JSON in a column of its own."""
    if value is None and other:
        value = _from_other(other) if isinstance(other, str) else other
    if value is None:
        return {}
    if not metric:
        raise ValueError("names no metric.")
    return {str(metric): value}


def _from_other(text: str) -> Any:
    try:
        return _from_json(text)
    except NO_JSON as error:
        raise ValueError(f"{OTHER} is {text[:40]!r}, which is no JSON.") from error


def _from_json(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.ValidationError:
        # The decoder's word for a number that is too large for it, whatever comes behind.
        msgspec.json.decode(text, type=msgspec.Raw)
        return BEYOND


def read_cell(cell: Any) -> Any:
    """Read what stands in a cell: a number, JSON, or else a text; None where there is nothing."""
    if not isinstance(cell, str):
        # Not equal to itself is what is not a number.
        return None if cell is None or cell != cell else _within_doubles(cell)  # noqa: PLR0124
    if len(cell) > LONGEST_VALUE:
        return cell[:SENT_OF_LONGER]
    text = cell.strip()
    if text.lower() in MISSING:
        return None
    if NUMBER.fullmatch(text) or INFINITE.fullmatch(text):
        return BEYOND if math.isinf(float(text)) else read_number(text, "The value")
    try:
        return _from_json(text)
    except NO_JSON:
        return cell


def _within_doubles(value: Any) -> Any:
    return BEYOND if isinstance(value, float) and math.isinf(value) else value


def _moment(cell: Any) -> datetime:
    if isinstance(cell, datetime):
        return cell.replace(tzinfo=UTC) if cell.tzinfo is None else cell.astimezone(UTC)
    return read_time(str(cell))
