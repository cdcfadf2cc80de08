"""``iotsphere simulate``: a fleet of machines with a history, and a present that goes on."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from rich.progress import Progress

from iotsphere.cli.client import FEW_ATTEMPTS, DeviceClient, PlatformUnavailableError, connect
from iotsphere.cli.errors import CommandError
from iotsphere.cli.logbook import Logbook, LogEntry
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
from iotsphere.cli.signals import stop_requested
from iotsphere.cli.upload import DeviceUpload, RecordedReading, Uploader
from iotsphere.config import ClientSettings
from iotsphere.kernel.clock import Clock, utc_now
from iotsphere.kernel.times import EPOCH, format_time
from iotsphere.simulation.fleet import FleetPlan, FleetStep, build_fleet, run_fleet
from iotsphere.simulation.machine import Machine

EVENTS_SHOWN = 10

FleetSize = Annotated[int, typer.Option(min=0, max=1000)]


def simulate(  # noqa: PLR0913, PLR0917  # every option of the command is a parameter
    url: UrlOption = None,
    email: EmailOption = None,
    password: PasswordOption = None,
    water_heaters: FleetSize = 3,
    pumps: FleetSize = 3,
    vending_machines: FleetSize = 3,
    seed: Annotated[int, typer.Option(help="The same seed and start give the same readings.")] = 1,
    hours: Annotated[float, typer.Option(min=0, max=24 * 366, help="How much history to make up.")] = 24.0,
    interval: Annotated[int, typer.Option(min=1, max=3600, help="Seconds between readings.")] = 60,
    start: Annotated[str | None, typer.Option(help="When the history begins. (default: --hours ago)")] = None,
    live: Annotated[bool, typer.Option("--live", help="Go on in real time, until Ctrl-C or --duration.")] = False,
    duration: Annotated[float | None, typer.Option(min=0, help="Seconds to go on with --live.")] = None,
    serial_prefix: Annotated[
        str | None, typer.Option(help="What serial numbers begin with. (default: sim-SEED-)")
    ] = None,
    concurrency: ConcurrencyOption = 4,
    as_json: JsonOption = False,
) -> None:
    """Make up a fleet of water heaters, pumps and vending machines with days that differ, wear and failures.

    With --live the machines go on in real time and obey what is set as desired state of their shadows.
    """
    if duration is not None and not live:
        raise CommandError("--duration says how long to go on with --live, which is not given.")
    if start is not None and live:
        raise CommandError("A live simulation's history ends now: give either --start or --live.")
    if not water_heaters + pumps + vending_machines:
        raise CommandError("There is nothing to simulate in a fleet of no machines.")
    plan = FleetPlan(water_heaters, pumps, vending_machines, seed, serial_prefix or f"sim-{seed}-")
    history = History(_begin(start, hours, interval), interval, int(hours * 3600 // interval))
    report = Report("simulate", details={"seed": seed, "start": history.start, "interval_seconds": interval})
    simulating = Simulating(build_fleet(plan), history, report, concurrency)
    settings = client_settings(url, email, password)
    with progress_bar(hidden=as_json) as progress:
        conduct(lambda: simulating.run(settings, progress, live=live, duration=duration), report, as_json=as_json)


def _begin(start: str | None, hours: float, interval: int) -> datetime:
    """Give the first reading's time; without --start it is a whole number of intervals after 1970."""
    if start is not None:
        return parse_start(start)
    step = timedelta(seconds=interval)
    return EPOCH + (utc_now() - timedelta(hours=hours) - EPOCH) // step * step


@dataclass(frozen=True, slots=True)
class History:
    start: datetime
    interval_seconds: int
    steps: int

    @property
    def end(self) -> datetime:
        """The time of the first reading after the history."""
        return self.start + timedelta(seconds=self.steps * self.interval_seconds)


@dataclass(slots=True)
class Simulating:
    fleet: list[Machine]
    history: History
    report: Report
    concurrency: int
    told: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The state last reported, by serial number."""
    untold: int = 0
    events: list[dict[str, Any]] = field(default_factory=list)
    unlogged: dict[str, list[LogEntry]] = field(default_factory=dict)
    """Events that the maintenance log does not have yet, by serial number."""

    async def run(self, settings: ClientSettings, progress: Progress, *, live: bool, duration: float | None) -> None:
        """Post the history, then go on live. The report is complete also when this raises.

        :raises PlatformError: the platform refused.
        """
        async with connect(settings, connections=2 * self.concurrency) as platform:
            plates = {machine.serial_number: machine.plate for machine in self.fleet}
            uploader = Uploader(platform, concurrency=self.concurrency, key_label="simulation", properties=plates)
            logbook = Logbook(platform, attempts=FEW_ATTEMPTS)
            try:
                await uploader.upload(self._history(progress))
                await self.tell_states(uploader)
                await self.log_events(uploader, logbook)
                if live:
                    progress.stop()
                    await self.go_on(uploader, logbook, stop=stop_requested(), duration=duration)
            finally:
                await uploader.revoke_keys()
                self._tell(uploader)

    async def go_on(
        self,
        uploader: Uploader,
        logbook: Logbook,
        *,
        stop: asyncio.Event,
        duration: float | None,
        clock: Clock = utc_now,
    ) -> None:
        """Post every machine's next readings when their time comes, and do what its shadow desires."""
        end = datetime.max.replace(tzinfo=UTC) if duration is None else clock() + timedelta(seconds=duration)
        at = self.history.end
        while at <= end and not await _stopped_before(at, stop, clock):
            steps = run_fleet(self.fleet, start=at, interval_seconds=self.history.interval_seconds, steps=1)
            await uploader.upload(self._readings(steps))
            await self.tell_states(uploader)
            await self.log_events(uploader, logbook)
            at += timedelta(seconds=self.history.interval_seconds)

    async def tell_states(self, uploader: Uploader) -> None:
        """Let every machine obey its shadow and report its state where that has changed.

        A shadow store that is down costs the readings nothing; the next round catches up.
        """
        machines = {machine.serial_number: machine for machine in self.fleet}

        async def tell(device: DeviceUpload, client: DeviceClient) -> None:
            try:
                await self._tell_state(machines[device.report.serial_number], client)
            except PlatformUnavailableError:
                self.untold += 1

        await uploader.for_each_device(tell)

    async def _tell_state(self, machine: Machine, client: DeviceClient) -> None:
        shadow = await client.get_shadow()
        machine.apply_desired(shadow["state"].get("delta", {}))
        state = machine.reported_state()
        if self.told.get(machine.serial_number) != state:
            await client.report_state(state)
            self.told[machine.serial_number] = state

    async def log_events(self, uploader: Uploader, logbook: Logbook) -> None:
        """Write what befell the machines into their maintenance logs. Likewise, of the asset store."""

        async def log(device: DeviceUpload, client: DeviceClient) -> None:
            serial_number = device.report.serial_number
            if serial_number in self.unlogged:
                with suppress(PlatformUnavailableError):
                    await logbook.write(client.device_id, self.unlogged[serial_number])
                    del self.unlogged[serial_number]

        await uploader.for_each_device(log)

    def _history(self, progress: Progress) -> Iterator[RecordedReading]:
        history = self.history
        steps = run_fleet(
            self.fleet, start=history.start, interval_seconds=history.interval_seconds, steps=history.steps
        )
        task = progress.add_task("Simulating", total=history.steps * len(self.fleet))
        for reading in self._readings(steps):
            progress.advance(task)
            yield reading

    def _readings(self, steps: Iterator[FleetStep]) -> Iterator[RecordedReading]:
        for step in steps:
            machine = step.machine
            for event in step.step.events:
                self.events.append({"serial_number": machine.serial_number, **asdict(event)})
                entry = LogEntry(event.kind, event.at, event.component)
                self.unlogged.setdefault(machine.serial_number, []).append(entry)
            yield RecordedReading(machine.serial_number, machine.device_type, step.at, step.step.values)

    def _tell(self, uploader: Uploader) -> None:
        report = self.report
        report.devices = [device.report for device in uploader.devices.values()]
        report.notes += uploader.notes
        report.details["events"] = self.events
        report.notes += _event_notes(self.events)
        if self.untold:
            report.notes.append(f"The state could not be reported {self.untold} times: no shadow store answered.")
        if self.unlogged:
            count = sum(map(len, self.unlogged.values()))
            report.notes.append(f"{count} events are not in the maintenance log: no asset store answered.")
        for device in uploader.devices.values():
            _judge(device, report)


async def _stopped_before(at: datetime, stop: asyncio.Event, clock: Clock) -> bool:
    """Wait for a time and tell whether the stop came first."""
    seconds = max(0.0, (at - clock()).total_seconds())
    try:
        async with asyncio.timeout(seconds):
            return await stop.wait()
    except TimeoutError:
        return False


def _event_notes(events: list[dict[str, Any]]) -> Iterator[str]:
    for event in events[:EVENTS_SHOWN]:
        yield f"{event['serial_number']}: {event['component']} {event['kind']} at {format_time(event['at'])}."
    if len(events) > EVENTS_SHOWN:
        yield f"And {len(events) - EVENTS_SHOWN} more failures and replacements; --json lists all of them."


def _judge(device: DeviceUpload, report: Report) -> None:
    counts, name = device.report.counts, device.report.serial_number
    if device.first_rejection is not None:
        rejected = f"{counts.rejected:,} values were rejected. The first: {device.first_rejection}"
        report.problems.append(f"{name}: {rejected}")
    if counts.conflicts:
        report.notes.append(
            f"{name}: {counts.conflicts:,} values contradict an earlier run's, which stay. Choose another --seed or"
            " --serial-prefix for a fleet of its own, or the same --start and --hours to repeat the run."
        )
