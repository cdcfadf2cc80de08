"""``iotsphere replay``: a recorded data set through the public API, and the proof that all of it arrived."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from iotsphere.cli.census import DeviceCensus, PointCensus
from iotsphere.cli.client import DeviceClient, PlatformClient, connect
from iotsphere.cli.errors import CommandError
from iotsphere.cli.logbook import Logbook, LogEntry
from iotsphere.cli.recordings import (
    BadLineError,
    Layout,
    RecordingFile,
    RecordingFormat,
    find_files,
    read_files,
)
from iotsphere.cli.report import Report
from iotsphere.cli.session import (
    ConcurrencyOption,
    EmailOption,
    JsonOption,
    PasswordOption,
    UrlOption,
    client_settings,
    conduct,
    parse_start,
    progress_bar,
)
from iotsphere.cli.upload import DeviceUpload, RecordedReading, Uploader
from iotsphere.config import ClientSettings
from iotsphere.kernel.times import MICROSECOND

DEVICE_TYPES = {RecordingFormat.SKAB: "pump", RecordingFormat.CMAPSS: "turbofan", RecordingFormat.NAB: "sensor"}
SERIAL_PREFIXES = {known: f"{known}-" for known in DEVICE_TYPES}
METRICS_PER_QUERY = 50
"""So many names fit into the address of a request, even the longest."""
BAD_LINES_SHOWN = 10


def replay(  # noqa: PLR0913, PLR0917  # every option of the command is a parameter
    path: Annotated[Path, typer.Argument(help="A file, or a folder whose files of this format are all replayed.")],
    recording_format: Annotated[RecordingFormat, typer.Option("--format", help="What kind of recording it is.")],
    url: UrlOption = None,
    email: EmailOption = None,
    password: PasswordOption = None,
    device_type: Annotated[
        str | None, typer.Option(help="The type of the devices made. (default: what the format is of)")
    ] = None,
    serial_prefix: Annotated[
        str | None, typer.Option(help="What serial numbers begin with. (default: the format; nothing for csv)")
    ] = None,
    start: Annotated[
        str, typer.Option(help="cmapss: the time of cycle 1; a cycle is an hour.")
    ] = "2024-01-01T00:00:00Z",
    with_labels: Annotated[bool, typer.Option("--with-labels", help="skab: post the label columns too.")] = False,
    time_column: Annotated[str | None, typer.Option(help="The column of times. (default: guessed)")] = None,
    device_column: Annotated[
        str | None, typer.Option(help="csv: the column of serial numbers. (default: a file is a device)")
    ] = None,
    ignore_column: Annotated[list[str] | None, typer.Option(help="A column to leave out; may be repeated.")] = None,
    skip_bad_lines: Annotated[bool, typer.Option("--skip-bad-lines", help="Count broken lines and go on.")] = False,
    concurrency: ConcurrencyOption = 4,
    as_json: JsonOption = False,
) -> None:
    """Post a recorded data set through the public API, then count what is stored.

    Units of cmapss that were run to their failure get an installation and a failure in their maintenance log.

    Replaying twice is safe: devices are found again, and points that are stored already count as duplicates.

    The exit status is 1 where the platform holds another number of points than the recording.
    """
    layout = Layout(
        format=recording_format,
        device_type=device_type or _default_device_type(recording_format),
        serial_prefix=SERIAL_PREFIXES.get(recording_format, "") if serial_prefix is None else serial_prefix,
        start=parse_start(start),
        with_labels=with_labels,
        time_column=time_column,
        device_column=device_column,
        ignored_columns=frozenset(ignore_column or ()),
    )
    report = Report("replay")
    replaying = Replaying(path, layout, report, concurrency, skip_bad_lines)
    settings = client_settings(url, email, password)
    with progress_bar(hidden=as_json) as progress:
        conduct(lambda: replaying.run(settings, progress), report, as_json=as_json)


def _default_device_type(recording_format: RecordingFormat) -> str:
    if recording_format not in DEVICE_TYPES:
        raise CommandError(f"The format {recording_format} does not say what the devices are: give --device-type.")
    return DEVICE_TYPES[recording_format]


@dataclass(slots=True)
class Replaying:
    path: Path
    layout: Layout
    report: Report
    concurrency: int
    skip_bad_lines: bool
    bad_lines: list[str] = field(default_factory=list)
    bad_line_count: int = 0

    async def run(self, settings: ClientSettings, progress: Progress) -> None:
        """Post, count, compare. The report is complete also when this raises.

        :raises RecordingError: the recording cannot be read.
        :raises PlatformError: the platform refused.
        """
        files = find_files(self.path, self.layout)
        readings = _with_progress(files, read_files(files, self.layout, self._on_bad_line), progress)
        async with connect(settings, connections=2 * self.concurrency) as platform:
            await self.post(platform, readings)

    async def post(self, platform: PlatformClient, readings: Iterator[RecordedReading]) -> None:
        uploader = Uploader(platform, concurrency=self.concurrency, key_label="replay")
        census = PointCensus()
        try:
            await uploader.upload(census.watch(readings))
            await self._compare(platform, uploader, census)
            await self._log_lives(platform, uploader, census)
        finally:
            await uploader.revoke_keys()
            self._tell(uploader)
            census.close()

    def _on_bad_line(self, error: BadLineError) -> None:
        if not self.skip_bad_lines:
            raise error
        self.bad_line_count += 1
        if len(self.bad_lines) < BAD_LINES_SHOWN:
            self.bad_lines.append(str(error))

    async def _compare(self, platform: PlatformClient, uploader: Uploader, census: PointCensus) -> None:
        async def compare(device: DeviceUpload, client: DeviceClient) -> None:
            recorded = census.device(device.report.serial_number)
            stored = await _read_back(platform, client.device_id, recorded)
            device.report.in_recording = sum(recorded.points.values())
            device.report.in_platform = sum(stored.values())
            self.report.problems += _differences(device, recorded, stored)

        await uploader.for_each_device(compare)

    async def _log_lives(self, platform: PlatformClient, uploader: Uploader, census: PointCensus) -> None:
        """Record when those began and ended that were run to their failure: at the first cycle, and at their last."""
        logbook = Logbook(platform)

        async def log(device: DeviceUpload, client: DeviceClient) -> None:
            serial_number = device.report.serial_number
            if self.layout.runs_to_failure(serial_number):
                last = census.device(serial_number).end - MICROSECOND
                life = [LogEntry("installation", self.layout.start), LogEntry("failure", last)]
                await logbook.write(client.device_id, life)

        await uploader.for_each_device(log)
        self.report.details["maintenance_events"] = logbook.written

    def _tell(self, uploader: Uploader) -> None:
        self.report.devices = [device.report for device in uploader.devices.values()]
        self.report.notes += uploader.notes
        self.report.details["bad_lines"] = self.bad_line_count
        if self.bad_line_count:
            first = " ".join(self.bad_lines)
            self.report.notes.append(f"{self.bad_line_count} broken lines were left out. The first: {first}")


def _with_progress(
    files: list[RecordingFile], readings: Iterator[RecordedReading], progress: Progress
) -> Iterator[RecordedReading]:
    task = progress.add_task("Replaying", total=sum(file.path.stat().st_size for file in files))
    for number, reading in enumerate(readings):
        if number % 100 == 0:
            progress.update(task, completed=sum(file.bytes_read for file in files))
        yield reading


async def _read_back(platform: PlatformClient, device_id: str, recorded: DeviceCensus) -> dict[str, int]:
    metrics = list(recorded.points)
    counts: dict[str, int] = {}
    for first in range(0, len(metrics), METRICS_PER_QUERY):
        asked = metrics[first : first + METRICS_PER_QUERY]
        counts |= await platform.count_points(device_id, metrics=asked, start=recorded.start, end=recorded.end)
    return counts


def _differences(device: DeviceUpload, recorded: DeviceCensus, stored: dict[str, int]) -> Iterator[str]:
    """Say in sentences where the platform does not hold what the recording does."""
    report = device.report
    name, in_recording = report.serial_number, sum(recorded.points.values())
    differing = [metric for metric, count in recorded.points.items() if stored[metric] != count]
    if differing:
        metric = differing[0]
        yield (
            f"{name}: the platform holds {sum(stored.values()):,} points where the recording has {in_recording:,};"
            f" {len(differing)} metrics differ, such as {metric}: {stored[metric]:,} for {recorded.points[metric]:,}."
        )
    if device.first_rejection is not None:
        yield f"{name}: {report.counts.rejected:,} values were rejected. The first: {device.first_rejection}"
    if report.counts.conflicts > report.counts.received - in_recording:
        yield (
            f"{name}: {report.counts.conflicts:,} values contradict what was stored for the same times before; the"
            " stored ones stay. Choose another --serial-prefix to keep both."
        )
