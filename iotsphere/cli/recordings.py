"""Recorded data sets read line by line as readings. Memory does not grow with the files.

A line that cannot be read goes, with its file and number, to the caller's ``on_bad_line``, which raises it or counts
it and lets the reading go on.
"""

import csv
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TypeVar

from iotsphere.cli.cells import read_time, read_values
from iotsphere.cli.errors import CommandError
from iotsphere.cli.metric_names import metric_names
from iotsphere.cli.upload import BATCH_VALUES, RecordedReading

LONGEST_LINE_BYTES = 1024 * 1024
TIME_TITLES = frozenset({"time", "timestamp", "datetime", "date_time", "date", "ts"})
LABELS = frozenset({"anomaly", "changepoint"})
CMAPSS_METRICS = (*(f"setting_{n}" for n in range(1, 4)), *(f"sensor_{n}" for n in range(1, 22)))
CMAPSS_COLUMNS = 2 + len(CMAPSS_METRICS)
CYCLE = timedelta(hours=1)
MOST_CYCLES = 1_000_000

T = TypeVar("T")


class RecordingFormat(StrEnum):
    SKAB = "skab"
    CMAPSS = "cmapss"
    NAB = "nab"
    CSV = "csv"


FILE_PATTERNS = {
    RecordingFormat.SKAB: ("*.csv",),
    RecordingFormat.CMAPSS: ("train_*.txt", "test_*.txt"),
    RecordingFormat.NAB: ("*.csv",),
    RecordingFormat.CSV: ("*.csv", "*.tsv"),
}
DELIMITERS = {RecordingFormat.SKAB: ";", RecordingFormat.NAB: ","}


class RecordingError(CommandError):
    """The recording cannot be replayed; the sentence says where and why."""


class BadLineError(RecordingError):
    def __init__(self, path: Path, line: int, reason: str) -> None:
        super().__init__(f"{path}, line {line}: {reason}")


BadLineHandler = Callable[[BadLineError], None]


@dataclass(frozen=True, slots=True)
class Layout:
    """How to understand the files. ``start`` is the time of cycle 1, for formats that count cycles."""

    format: RecordingFormat
    device_type: str
    serial_prefix: str
    start: datetime
    with_labels: bool = False
    time_column: str | None = None
    device_column: str | None = None
    ignored_columns: frozenset[str] = frozenset()

    def runs_to_failure(self, serial_number: str) -> bool:
        """Tell whether a device's recording ends with its failure, as those in the training sets of C-MAPSS do."""
        return self.format is RecordingFormat.CMAPSS and serial_number.startswith(f"{self.serial_prefix}train_")


@dataclass(slots=True)
class RecordingFile:
    """A file with the name its device or devices get; ``bytes_read`` tells how far the reading is."""

    path: Path
    label: str
    bytes_read: int = 0


@dataclass(frozen=True, slots=True)
class Columns:
    """Where in a row the time, the device (None: the file is the device) and the metrics stand."""

    width: int
    time: int
    device: int | None
    metrics: list[tuple[int, str]] = field(default_factory=list)


def find_files(path: Path, layout: Layout) -> list[RecordingFile]:
    """Take the file itself, or the right ones below a folder.

    :raises RecordingError: there is nothing to read, or two files would be the same device.
    """
    if not path.exists():
        raise RecordingError(f"There is no file or folder {path}.")
    patterns = FILE_PATTERNS[layout.format]
    paths = [path] if path.is_file() else sorted(found for pattern in patterns for found in path.rglob(pattern))
    if not paths:
        raise RecordingError(f"There are no files {' or '.join(patterns)} in {path}.")
    files = [RecordingFile(file, _label(file, layout)) for file in paths]
    _refuse_same_labels(files, layout)
    return files


def read_files(
    files: Iterable[RecordingFile], layout: Layout, on_bad_line: BadLineHandler
) -> Iterator[RecordedReading]:
    """Read files in turns, four at a time, so that several devices can be posted for at once.

    :raises RecordingError: a file cannot be opened, or its header not be understood.
    """
    read = _read_cmapss if layout.format is RecordingFormat.CMAPSS else _read_table
    return _in_turns((read(file, layout, on_bad_line) for file in files), at_once=4)


def _in_turns(sources: Iterator[Iterator[T]], at_once: int) -> Iterator[T]:
    open_sources = deque(islice(sources, at_once))
    while open_sources:
        source = open_sources.popleft()
        try:
            yield next(source)
            open_sources.append(source)
        except StopIteration:
            open_sources.extend(islice(sources, 1))


def _label(path: Path, layout: Layout) -> str:
    """Name a file: SKAB and NAB number their files anew in every folder, so there the folder belongs to the name."""
    in_folder = layout.format in {RecordingFormat.SKAB, RecordingFormat.NAB}
    parts = [path.resolve().parent.name, path.stem] if in_folder else [path.stem]
    return layout.serial_prefix + "-".join("-".join(part.split()) for part in parts if part)


def _refuse_same_labels(files: list[RecordingFile], layout: Layout) -> None:
    if layout.device_column is not None:
        return
    paths: dict[str, Path] = {}
    for file in files:
        other = paths.setdefault(file.label, file.path)
        if other != file.path:
            raise RecordingError(f"{other} and {file.path} would both be the device {file.label!r}.")


def _lines(file: RecordingFile, on_bad_line: BadLineHandler) -> Iterator[str]:
    """Give the lines as text, empty where one cannot be read. What is longer than 1 MiB counts as several."""
    try:
        with file.path.open("rb") as stream:
            for number, line in enumerate(iter(lambda: stream.readline(LONGEST_LINE_BYTES), b""), 1):
                file.bytes_read += len(line)
                yield _decode(line, file.path, number, on_bad_line)
    except OSError as error:
        raise RecordingError(f"{file.path} cannot be read: {error.strerror}.") from error


def _decode(line: bytes, path: Path, number: int, on_bad_line: BadLineHandler) -> str:
    if len(line) == LONGEST_LINE_BYTES:
        on_bad_line(BadLineError(path, number, f"longer than {LONGEST_LINE_BYTES} bytes."))
        return ""
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError:
        on_bad_line(BadLineError(path, number, "not UTF-8 text."))
        return ""


def _read_cmapss(file: RecordingFile, layout: Layout, on_bad_line: BadLineHandler) -> Iterator[RecordedReading]:
    for number, line in enumerate(_lines(file, on_bad_line), 1):
        if not (cells := line.split()):
            continue
        try:
            reading = _cmapss_reading(cells, file.label, layout)
        except ValueError as error:
            on_bad_line(BadLineError(file.path, number, str(error)))
            continue
        if reading.values:
            yield reading


def _cmapss_reading(cells: list[str], label: str, layout: Layout) -> RecordedReading:
    _check_width(cells, CMAPSS_COLUMNS)
    unit, cycle = _positive(cells[0], "unit"), _positive(cells[1], "cycle")
    values = read_values(cells, enumerate(CMAPSS_METRICS, 2))
    return RecordedReading(f"{label}-unit-{unit:03}", layout.device_type, layout.start + (cycle - 1) * CYCLE, values)


def _positive(cell: str, name: str) -> int:
    if not (cell.isascii() and cell.isdecimal()) or not 0 < float(cell) <= MOST_CYCLES:
        raise ValueError(f"the {name} {cell!r} is not a whole number from 1 to {MOST_CYCLES}.")
    return int(cell)


def _read_table(file: RecordingFile, layout: Layout, on_bad_line: BadLineHandler) -> Iterator[RecordedReading]:
    lines = _lines(file, on_bad_line)
    header = next(lines, "")
    delimiter = DELIMITERS.get(layout.format) or max(",;\t|", key=header.count)
    try:
        columns = _columns(next(csv.reader([header], delimiter=delimiter), []), layout)
    except (ValueError, csv.Error) as error:
        raise BadLineError(file.path, 1, str(error)) from error
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        try:
            row = next(rows)
            reading = _table_reading(row, columns, file.label, layout) if row else None
        except StopIteration:
            return
        except (ValueError, csv.Error) as error:
            on_bad_line(BadLineError(file.path, rows.line_num + 1, str(error)))
            continue
        if reading is not None and reading.values:
            yield reading


def _columns(titles: list[str], layout: Layout) -> Columns:
    """Find out what each column of a header is.

    :raises ValueError: it is not clear, with what to do about it.
    """
    titles = [title.strip() for title in titles]
    if not titles:
        raise ValueError("there is no header with the names of the columns.")
    for named in {layout.time_column, layout.device_column, *layout.ignored_columns} - {None}:
        if named not in titles:
            raise ValueError(f"there is no column {named!r} among {', '.join(titles) or 'none'}.")
    time = titles.index(layout.time_column or _guess_time_column(titles))
    device = None if layout.device_column is None else titles.index(layout.device_column)
    dropped = layout.ignored_columns | (LABELS if _drops_labels(layout) else frozenset())
    kept = [n for n, title in enumerate(titles) if n not in {time, device} and title not in dropped]
    if not 0 < len(kept) <= BATCH_VALUES:
        raise ValueError(f"{len(kept)} columns of values, where 1 to {BATCH_VALUES} can be replayed.")
    return Columns(len(titles), time, device, list(zip(kept, metric_names([titles[n] for n in kept]), strict=True)))


def _drops_labels(layout: Layout) -> bool:
    """What people said of the readings afterwards is not what the device measured."""
    return layout.format is RecordingFormat.SKAB and not layout.with_labels


def _guess_time_column(titles: list[str]) -> str:
    candidates = [title for title in titles if title.lower() in TIME_TITLES]
    if len(candidates) != 1:
        raise ValueError(f"which column is the time? Say it with --time-column: {', '.join(titles)}.")
    return candidates[0]


def _table_reading(row: list[str], columns: Columns, label: str, layout: Layout) -> RecordedReading:
    _check_width(row, columns.width)
    serial_number = label if columns.device is None else _serial_number(row[columns.device], layout)
    values = read_values(row, columns.metrics)
    return RecordedReading(serial_number, layout.device_type, read_time(row[columns.time]), values)


def _serial_number(cell: str, layout: Layout) -> str:
    name = "-".join(cell.split())
    if not name:
        raise ValueError("names no device.")
    return layout.serial_prefix + name


def _check_width(cells: list[str], expected: int) -> None:
    if len(cells) != expected:
        raise ValueError(f"{len(cells)} columns where {expected} are expected.")
