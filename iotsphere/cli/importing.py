"""``iotsphere import``: a file of points through the public API, and on from where it was after an interruption."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.progress import Progress

from iotsphere.cli.client import PlatformClient, connect
from iotsphere.cli.errors import CommandError
from iotsphere.cli.report import Report, UploadCounts
from iotsphere.cli.session import (
    EmailOption,
    JsonOption,
    PasswordOption,
    UrlOption,
    client_settings,
    conduct,
    progress_bar,
)
from iotsphere.cli.tables import (
    FormatOption,
    TableError,
    TableFile,
    TableLayout,
    TableReading,
    UnreadableRow,
    format_of,
)
from iotsphere.config import ClientSettings

CHUNK_VALUES = 20_000
# Of one reading: rows of a long file are gathered up to here, which the platform takes.
LINE_VALUES = 1_000
CHUNK_BYTES = 4 * 1024 * 1024


def import_file(  # noqa: PLR0913, PLR0917  # every option of the command is a parameter
    path: Annotated[Path, typer.Argument(help="A CSV or Parquet file, long (ts, metric, value) or wide.")],
    device: Annotated[str | None, typer.Option(help="Whose a file without a column of devices is.")] = None,
    device_type: Annotated[
        str | None, typer.Option(help="Register devices that are not there, as of this type. (default: do not)")
    ] = None,
    time_column: Annotated[str | None, typer.Option(help="The column of times. (default: guessed)")] = None,
    device_column: Annotated[str | None, typer.Option(help="The column of devices. (default: guessed)")] = None,
    table_format: FormatOption = None,
    url: UrlOption = None,
    email: EmailOption = None,
    password: PasswordOption = None,
    as_json: JsonOption = False,
) -> None:
    """Store the points of a file.

    Importing twice is safe: points that are stored already count as duplicates. How far it came is kept beside the
    file until the end, so that the next run goes on from there.

    The exit status is 1 where a row could not be read, or a value was rejected or contradicts what is stored.
    """
    report = Report("import")
    file = TableFile(path, table_format or format_of(path))
    settings = client_settings(url, email, password)
    importing = Importing(file, TableLayout(device, time_column, device_column), device_type, report)
    with progress_bar(hidden=as_json) as progress:
        conduct(lambda: importing.run(settings, progress), report, as_json=as_json)


class Whereabouts(msgspec.Struct):
    """How far the import of a file came; the first three say of which, to where and for whom, and understood how."""

    file: tuple[int, int]
    account: tuple[str, str]
    layout: TableLayout
    rows: int = 0
    counts: dict[str, int] = {}
    first_rejection: str | None = None
    unreadable: int = 0
    first_unreadable: str | None = None


class DeviceUnknownError(CommandError):
    """A row is of a device that is not there."""


@dataclass(slots=True)
class Chunk:
    """Lines that go in one request; ``rows`` tells of each where it begins and ends in the file.

    ``last_row`` is that of the whole, and ``unreadable`` counts the rows in it that are in no line.
    """

    lines: list[bytes] = field(default_factory=list)
    rows: list[tuple[int, int]] = field(default_factory=list)
    values: int = 0
    size: int = 0
    last_row: int = 0
    unreadable: int = 0
    first_unreadable: str | None = None

    @property
    def is_full(self) -> bool:
        return self.values >= CHUNK_VALUES or self.size >= CHUNK_BYTES

    def add(self, reading: TableReading, device_id: str) -> None:
        content = {"device_id": device_id, "ts": reading.ts, "values": reading.values}
        line = msgspec.json.encode(content) + b"\n"
        self.lines.append(line)
        self.rows.append((reading.first, reading.row))
        self.last_row = reading.row
        self.values += len(reading.values)
        self.size += len(line)

    def pass_over(self, bad: UnreadableRow) -> None:
        self.last_row = bad.row
        self.unreadable += 1
        self.first_unreadable = self.first_unreadable or f"row {bad.row:,}: {bad.reason}"


@dataclass(slots=True)
class Importing:
    file: TableFile
    layout: TableLayout
    device_type: str | None
    report: Report
    ids: dict[str, str] = field(default_factory=dict)

    async def run(self, settings: ClientSettings, progress: Progress) -> None:
        """Send the file chunk by chunk; after each it is noted how far that is.

        :raises TableError: the file cannot be read.
        :raises PlatformError: the platform refused.
        :raises CommandError: a device is not there.
        """
        notebook = self.file.path.with_name(f"{self.file.path.name}.importing")
        at = self._begin(notebook, (settings.url, settings.email))
        task = progress.add_task("Importing", total=None)
        try:
            async with connect(settings) as platform, aclosing(self._chunks(platform, skip=at.rows)) as chunks:
                async for chunk in chunks:
                    await self._settle(platform, chunk, at)
                    _note(notebook, at)
                    progress.update(task, completed=self.file.done, total=self.file.total)
            notebook.unlink(missing_ok=True)
        finally:
            self._tell(at)

    async def _chunks(self, platform: PlatformClient, *, skip: int) -> AsyncGenerator[Chunk, None]:
        chunk = Chunk()
        try:
            for found in gathered(self.file.readings(self.layout, skip=skip)):
                if isinstance(found, UnreadableRow):
                    chunk.pass_over(found)
                    continue
                chunk.add(found, self.ids.get(found.device) or await self._resolve(platform, found))
                if chunk.is_full:
                    yield chunk
                    chunk = Chunk()
        except (TableError, DeviceUnknownError):
            # What stands before it is none the worse for it.
            if chunk.last_row:
                yield chunk
            raise
        if chunk.last_row:
            yield chunk

    def _begin(self, notebook: Path, account: tuple[str, str]) -> Whereabouts:
        """Go on from where the same import of the same file was, or begin."""
        try:
            about = self.file.path.stat()
        except OSError as error:
            raise CommandError(f"{self.file.path} cannot be read: {error.strerror}.") from error
        begin = Whereabouts((about.st_size, about.st_mtime_ns), account, self.layout)
        try:
            found = msgspec.json.decode(notebook.read_bytes(), type=Whereabouts)
        except (OSError, msgspec.DecodeError):
            return begin
        if (found.file, found.account, found.layout) != (begin.file, begin.account, begin.layout):
            return begin
        self.report.notes.append(f"Went on behind row {found.rows:,}, up to which an earlier run had come.")
        return found

    async def _resolve(self, platform: PlatformClient, reading: TableReading) -> str:
        name = reading.device
        device = await platform.resolve_device(name)
        if device is None and self.device_type is None:
            raise DeviceUnknownError(
                f"Row {reading.row:,}: There is no device {name!r}. Register it, or tell its type with --device-type."
            )
        if device is None and self.device_type is not None:
            device = await platform.register_device(name, self.device_type)
        assert device is not None  # noqa: S101  # for the type checker
        self.ids[name] = str(device["id"])
        return self.ids[name]

    async def _settle(self, platform: PlatformClient, chunk: Chunk, at: Whereabouts) -> None:
        if chunk.lines:
            answer = await platform.post_lines(b"".join(chunk.lines))
            counts = UploadCounts(**at.counts)
            counts.add(answer)
            at.counts = asdict(counts)
            if answer["errors"] and at.first_rejection is None:
                at.first_rejection = _said_of(answer["errors"][0], chunk)
        at.unreadable += chunk.unreadable
        at.first_unreadable = at.first_unreadable or chunk.first_unreadable
        at.rows = chunk.last_row

    def _tell(self, at: Whereabouts) -> None:
        counts = UploadCounts(**at.counts)
        self.report.details |= {"file": str(self.file.path), "rows": at.rows, "totals": asdict(counts)}
        self.report.details["unreadable_rows"] = at.unreadable
        self.report.notes.append(
            f"Of {counts.received:,} values up to row {at.rows:,}, {counts.stored:,} were stored and"
            f" {counts.duplicates:,} had been before."
        )
        if at.unreadable:
            self.report.problems.append(f"{at.unreadable:,} rows could not be read. The first: {at.first_unreadable}")
        if counts.rejected:
            self.report.problems.append(f"{counts.rejected:,} values were rejected. The first: {at.first_rejection}")
        if counts.conflicts:
            self.report.problems.append(
                f"{counts.conflicts:,} values contradict what was stored for the same times before; the stored stay."
            )


def _said_of(error: dict[str, Any], chunk: Chunk) -> str:
    first, last = chunk.rows[error["line"] - 1]
    rows = f"row {first:,}" if first == last else f"rows {first:,} to {last:,}"
    metric = f", {error['metric']}" if "metric" in error else ""
    return f"{rows}{metric}: {error['detail']}"


def gathered(found: Iterator[TableReading | UnreadableRow]) -> Iterator[TableReading | UnreadableRow]:
    """Make one reading of those of a device and time that follow each other, unless they name a metric twice."""
    held: TableReading | None = None
    try:
        for one in found:
            if held is not None and isinstance(one, TableReading) and _belong_together(held, one):
                held = TableReading(one.row, held.device, held.ts, held.values | one.values, held.first)
                continue
            if held is not None:
                yield held
            held = None
            if isinstance(one, TableReading):
                held = one
            else:
                yield one
    except TableError:
        if held is not None:
            yield held
        raise
    if held is not None:
        yield held


def _belong_together(one: TableReading, other: TableReading) -> bool:
    return (
        (one.device, one.ts) == (other.device, other.ts)
        and one.values.keys().isdisjoint(other.values)
        and len(one.values) + len(other.values) <= LINE_VALUES
    )


def _note(notebook: Path, at: Whereabouts) -> None:
    """Keep how far it is; without a place for it a next run begins anew, and finds duplicates."""
    unfinished = notebook.with_name(f"{notebook.name}.part")
    try:
        unfinished.write_bytes(msgspec.json.encode(at))
        unfinished.replace(notebook)
    except OSError:
        return
