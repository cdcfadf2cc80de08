"""Files of points, CSV or Parquet, read as readings. Memory does not grow with the file.

A long file has a row for each point: device, time, metric, value. A wide one has a row for each reading: a time, and
a column for each metric.
"""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from iotsphere.cli.cells import MISSING, NUMBER, read_number, read_time
from iotsphere.cli.errors import CommandError
from iotsphere.cli.metric_names import metric_name
from iotsphere.cli.recordings import TIME_TITLES
from iotsphere.telemetry.model import is_metric_name

ROWS_AT_ONCE = 5_000
DEVICE_TITLES = ("serial_number", "device_id", "device")
METRIC, VALUE, OTHER = "metric", "value", "other"


class TableFormat(StrEnum):
    CSV = "csv"
    PARQUET = "parquet"


class TableError(CommandError):
    """The file cannot be imported; the sentence says where and why."""


@dataclass(frozen=True, slots=True)
class TableReading:
    """``row`` is the last one that belongs to it, counted from 1 behind the titles."""

    row: int
    device: str
    ts: datetime
    values: dict[str, Any]


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
    total: int = 0
    done: int = 0

    @property
    def format(self) -> TableFormat:
        return TableFormat.PARQUET if self.path.suffix.lower() in {".parquet", ".pq"} else TableFormat.CSV

    def readings(self, layout: TableLayout, *, skip: int = 0) -> Iterator[TableReading]:
        """Read the file from behind so many rows on; rows of one device and time that follow each other are one.

        :raises TableError: it cannot be read, from a certain row on or at all.
        """
        rows = self._parquet_rows() if self.format is TableFormat.PARQUET else self._csv_rows()
        number = 0
        try:
            with _closing(rows):
                read = _row_reader(next(rows, []), layout)
                for number, row in enumerate(rows, start=1):
                    if number > skip and (reading := read(number, row)) is not None:
                        yield reading
        except (OSError, ValueError, csv.Error) as error:
            raise TableError(f"{self.path}, row {number}: {error}") from error

    def _csv_rows(self) -> Iterator[list[Any]]:
        with self.path.open("rb") as file, io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
            self.total = self.path.stat().st_size
            for row in csv.reader(text, strict=True):
                self.done = file.tell()
                yield row

    def _parquet_rows(self) -> Iterator[list[Any]]:
        # Loading it takes longer than most commands do.
        import pyarrow as pa  # noqa: PLC0415
        from pyarrow import parquet  # noqa: PLC0415

        with parquet.ParquetFile(self.path) as file:
            self.total = file.metadata.num_rows
            yield file.schema_arrow.names
            for batch in file.iter_batches(batch_size=ROWS_AT_ONCE):
                # Nanoseconds are more than Python's times have.
                columns = [
                    column.cast(pa.timestamp("us", column.type.tz), safe=False)
                    if pa.types.is_timestamp(column.type)
                    else column
                    for column in batch.columns
                ]
                for row in zip(*(column.to_pylist() for column in columns), strict=True):
                    self.done += 1
                    yield list(row)


@contextmanager
def _closing(rows: Iterator[Any]) -> Iterator[None]:
    try:
        yield
    finally:
        rows.close()  # type: ignore[attr-defined]  # it is a generator


RowReader = Callable[[int, list[Any]], TableReading | None]


def _row_reader(titles: Sequence[str], layout: TableLayout) -> RowReader:
    """Make what reads the rows below these titles; it gives nothing of a row without a value."""
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
        return TableReading(number, str(name), _moment(row[time]), values)

    return read


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
        raise ValueError(f"there is no column of values, or two are of one metric: {', '.join(titles)}.")
    return lambda row: {name: value for n, name in metrics if (value := read_cell(row[n])) is not None}


def _metric(title: str) -> str:
    return title if is_metric_name(title) else metric_name(title)


def _of_one(metric: Any, value: Any, other: str | None) -> dict[str, Any]:
    """Give the one value that there is: what is no number may be JSON in a column of its own."""
    if value is None and other:
        value = msgspec.json.decode(other)
    return {} if value is None else {str(metric): value}


def read_cell(cell: Any) -> Any:
    """Read what stands in a cell: a number, JSON, or else a text; None where there is nothing."""
    if not isinstance(cell, str):
        # Not equal to itself is what is not a number.
        return None if cell is None or cell != cell else cell  # noqa: PLR0124
    text = cell.strip()
    if text.lower() in MISSING:
        return None
    if NUMBER.fullmatch(text):
        return read_number(text, "The value")
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return cell


def _moment(cell: Any) -> datetime:
    if isinstance(cell, datetime):
        return cell.replace(tzinfo=UTC) if cell.tzinfo is None else cell.astimezone(UTC)
    return read_time(str(cell))
