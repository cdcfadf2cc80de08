"""``iotsphere export``: points of devices, into a file that ``iotsphere import`` takes in again."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from iotsphere.cli.client import PlatformClient, connect
from iotsphere.cli.errors import CommandError
from iotsphere.cli.point_writers import CsvPointWriter, ParquetPointWriter, PointWriter
from iotsphere.cli.report import Report
from iotsphere.cli.session import (
    EmailOption,
    JsonOption,
    PasswordOption,
    UrlOption,
    client_settings,
    conduct,
    parse_start,
    progress_bar,
)
from iotsphere.cli.tables import FormatOption, TableFormat, format_of
from iotsphere.config import ClientSettings
from iotsphere.kernel.times import format_time


def export(  # noqa: PLR0913, PLR0917  # every option of the command is a parameter
    devices: Annotated[list[str], typer.Argument(help="Serial numbers, or ids, of the devices.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write; what is there is replaced.")],
    metrics: Annotated[str | None, typer.Option(help="Names with commas between them. (default: all)")] = None,
    start: Annotated[str | None, typer.Option(help="From this time on. (default: the first point)")] = None,
    end: Annotated[str | None, typer.Option(help="Up to before this time. (default: the last point)")] = None,
    table_format: FormatOption = None,
    url: UrlOption = None,
    email: EmailOption = None,
    password: PasswordOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the points of devices into one file, a row for each: serial number, time, metric, value."""
    range_ = {
        "start": start and format_time(parse_start(start)),
        "end": end and format_time(parse_start(end, "--end")),
    }
    asked = {name: value for name, value in {"metrics": metrics, **range_}.items() if value}
    report = Report("export")
    exporting = Exporting(devices, output, table_format or format_of(output), asked, report)
    settings = client_settings(url, email, password)
    with progress_bar(hidden=as_json) as progress:
        conduct(lambda: exporting.run(settings, progress), report, as_json=as_json)


@dataclass(slots=True)
class Exporting:
    devices: list[str]
    output: Path
    format: TableFormat
    asked: dict[str, str]
    report: Report
    # Stretches of time, as the platform tells them, of which readings lie in the archive alone.
    archived: set[tuple[str, str]] = field(default_factory=set)
    is_more_archived: bool = False

    async def run(self, settings: ClientSettings, progress: Progress) -> None:
        """Write the file, which has its name only when it is complete.

        :raises PlatformError: the platform refused.
        :raises CommandError: there is no such device, or the file cannot be written.
        """
        unfinished = self.output.with_name(f"{self.output.name}.part")
        try:
            async with connect(settings) as platform:
                writer = (ParquetPointWriter if self.format is TableFormat.PARQUET else CsvPointWriter)(unfinished)
                try:
                    counts = {name: await self._write(platform, name, writer, progress) for name in self.devices}
                finally:
                    writer.close()
            unfinished.replace(self.output)
        except OSError as error:
            raise CommandError(f"{self.output} cannot be written: {error.strerror}.") from error
        finally:
            unfinished.unlink(missing_ok=True)
        self.report.details |= {"points": sum(counts.values()), "points_of_devices": counts, "file": str(self.output)}
        self._tell_archived()
        self.report.notes.append(f"{sum(counts.values()):,} points of {len(counts)} devices are in {self.output}.")

    def _tell_archived(self) -> None:
        if not self.archived:
            return
        stretches = sorted(self.archived)
        self.report.details["archived"] = [{"start": start, "end": end} for start, end in stretches]
        self.report.details["archived_omitted"] = self.is_more_archived
        self.report.notes.append(
            f"What lies in the archive alone is not in it: {len(stretches):,} stretches of time "
            f"from {stretches[0][0]} to {stretches[-1][1]}{', and more' * self.is_more_archived}. "
            "'iotsphere archive restore' brings it back."
        )

    async def _write(self, platform: PlatformClient, name: str, writer: PointWriter, progress: Progress) -> int:
        device = await platform.resolve_device(name)
        if device is None:
            raise CommandError(f"There is no device {name!r}.")
        task = progress.add_task(device["serial_number"], total=None)
        count = 0
        async for page in platform.read_points(device["id"], self.asked):
            writer.write(device["serial_number"], page)
            self.archived.update(page.archived)
            self.is_more_archived |= page.is_more_archived
            count += len(page.points)
            progress.update(task, completed=count)
        return count
