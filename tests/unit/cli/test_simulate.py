"""The simulated fleet against a platform in memory: its history, and a present on a clock of the test's own."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import typer
from typer.testing import CliRunner, Result

from iotsphere.cli.client import connect
from iotsphere.cli.errors import CommandError
from iotsphere.cli.logbook import Logbook, LogEntry
from iotsphere.cli.report import Report
from iotsphere.cli.simulate import History, Simulating, simulate
from iotsphere.cli.upload import Uploader
from iotsphere.config import ClientSettings
from iotsphere.kernel.times import format_time
from iotsphere.simulation.fleet import FleetPlan, build_fleet
from tests.fakes.platform_api import EMAIL, PASSWORD, InMemoryPlatform, problem, serving

START = datetime(2024, 1, 1, tzinfo=UTC)
SMALL = ["--water-heaters", "1", "--pumps", "1", "--vending-machines", "1"]
YESTERDAY = ["--start", "2024-01-01T00:00:00Z"]


@pytest.fixture(name="platform")
def make_platform() -> InMemoryPlatform:
    return InMemoryPlatform()


@pytest.fixture(name="url")
def serve(platform: InMemoryPlatform) -> Iterator[str]:
    with serving(platform) as url:
        yield url


def run(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(simulate)
    return CliRunner().invoke(app, [*arguments, "--email", EMAIL, "--password", PASSWORD])


def run_json(url: str, *arguments: str) -> tuple[int, dict[str, Any]]:
    result = run("--json", "--url", url, *arguments)
    assert result.stdout, result.output
    return result.exit_code, json.loads(result.stdout)


def test_every_machine_gets_its_history_and_its_state(platform: InMemoryPlatform, url: str) -> None:
    status, report = run_json(url, *SMALL, *YESTERDAY, "--hours", "2", "--interval", "300")
    assert (status, report["problems"], report["notes"]) == (0, [], [])
    assert report["totals"]["stored"] == 24 * (6 + 6 + 13)
    assert platform.metrics_of("sim-1-pump-001")["vibration_mm_s"] == 24
    heater = next(device for device in platform.devices.values() if device["device_type"] == "water-heater")
    assert platform.reported[heater["id"]].keys() == {"firmware", "set_point_c", "mode", "status"}
    assert heater["asset"]["properties"].keys() == {"volume_l", "rated_power_kw"}
    assert platform.keys == {}


def test_the_same_seed_and_start_give_duplicates_and_another_seed_other_machines(
    platform: InMemoryPlatform, url: str
) -> None:
    arguments = [*SMALL, *YESTERDAY, "--hours", "1"]
    stored = run_json(url, *arguments)[1]["totals"]["stored"]
    assert run_json(url, *arguments)[1]["totals"]["duplicates"] == stored > 0
    assert run_json(url, *arguments, "--seed", "2")[1]["totals"]["stored"] == stored
    assert len(platform.devices) == 6


def test_without_a_start_the_history_ends_now_at_whole_intervals(platform: InMemoryPlatform, url: str) -> None:
    before = datetime.now(UTC)
    run_json(url, *SMALL, "--hours", "1", "--interval", "600")
    times = sorted({at for _, _, at in platform.points})
    assert len(times) == 6
    assert before - timedelta(minutes=20) < times[-1] <= datetime.now(UTC)
    assert all(at.timestamp() % 600 == 0 for at in times)


def test_what_befell_a_machine_is_reported_and_in_its_maintenance_log_once_however_often_it_is_simulated(
    platform: InMemoryPlatform, url: str
) -> None:
    for _ in range(2):
        status, report = run_json(url, *YESTERDAY, "--hours", "1000", "--interval", "3600")
        assert (status, report["problems"]) == (0, [])
    logged = [
        (device["serial_number"], event["kind"], event["component"], event["occurred_at"])
        for device in platform.devices.values()
        for event in platform.maintenance.get(device["id"], [])
    ]
    befell = [
        (event["serial_number"], event["kind"], event["component"], format_time(datetime.fromisoformat(event["at"])))
        for event in report["events"]
    ]
    assert sorted(logged) == sorted(befell)
    assert {event["kind"] for event in report["events"]} == {"failure", "replacement"}
    first = report["events"][0]
    assert report["notes"][0].startswith(f"{first['serial_number']}: {first['component']} {first['kind']} at 2024-")


def test_a_run_that_contradicts_an_earlier_one_says_so(url: str) -> None:
    run_json(url, *SMALL, *YESTERDAY, "--hours", "2", "--interval", "600")
    status, report = run_json(url, *SMALL, "--start", "2024-01-01T01:00:00Z", "--hours", "2", "--interval", "600")
    assert (status, report["problems"]) == (0, [])
    assert report["totals"]["conflicts"] > 0
    assert any("values contradict an earlier run's, which stay" in note for note in report["notes"])


def test_readings_that_the_platform_rejects_are_a_problem(url: str) -> None:
    status, report = run_json(url, *SMALL, "--start", "1999-01-01T00:00:00Z", "--hours", "1")
    assert status == 1
    assert "values were rejected. The first: Before 2000." in report["problems"][0]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--duration", "5"], "--duration says how long to go on with --live"),
        (["--live", *YESTERDAY], "either --start or --live"),
        (["--water-heaters", "0", "--pumps", "0", "--vending-machines", "0"], "a fleet of no machines"),
    ],
)
def test_options_that_make_no_sense_together_are_refused(arguments: list[str], reason: str) -> None:
    result = run(*arguments)
    assert isinstance(result.exception, CommandError)
    assert reason in str(result.exception)


def test_live_goes_on_for_the_duration_and_obeys_the_shadow(platform: InMemoryPlatform, url: str) -> None:
    arguments = ["--hours", "0", "--interval", "1", "--live", "--duration", "1"]
    status, report = run_json(url, *SMALL, *arguments)
    assert (status, report["problems"]) == (0, [])
    assert report["totals"]["stored"] >= 2 * (6 + 6 + 13)
    assert platform.keys == {}


class Present:
    """A live simulation of one water heater; its clock is always late, so that nothing waits."""

    def __init__(self, platform: InMemoryPlatform) -> None:
        self.platform = platform
        self.stop = asyncio.Event()
        fleet = build_fleet(FleetPlan(1, 0, 0, 1, "live-"))
        self.simulating = Simulating(fleet, History(START, 60, 0), Report("simulate"), concurrency=2)

    async def go_on(self, rounds: int) -> None:
        settings = ClientSettings("http://platform", EMAIL, PASSWORD)
        async with connect(settings, transport=httpx.MockTransport(self.platform.handle)) as client:
            uploader = Uploader(client, concurrency=2, key_label="test")
            self.platform.seen.append(lambda request: self._stop_after(rounds, request))
            await self.simulating.go_on(
                uploader,
                Logbook(client, attempts=1),
                stop=self.stop,
                duration=None,
                clock=lambda: START.replace(year=2030),
            )

    def _stop_after(self, rounds: int, request: httpx.Request) -> None:
        if self.platform.count("POST", "/telemetry") == rounds:
            self.stop.set()

    @property
    def heater(self) -> str:
        return next(iter(self.platform.devices))


async def test_a_stop_ends_the_present_after_the_round_it_is_in(platform: InMemoryPlatform) -> None:
    await Present(platform).go_on(3)
    assert sorted({at for _, _, at in platform.points}) == [START + timedelta(minutes=n) for n in range(3)]
    assert platform.count("PATCH", "/shadow") == 1


async def test_a_desired_set_point_is_taken_over_reported_and_read(platform: InMemoryPlatform) -> None:
    present = Present(platform)

    def desire(request: httpx.Request) -> None:
        if platform.count("POST", "/telemetry") == 2:
            platform.desired[present.heater] = {"set_point_c": 71.5, "mode": "boost"}

    platform.seen.append(desire)
    await present.go_on(4)
    reported = platform.reported[present.heater]
    assert (reported["set_point_c"], reported["mode"]) == (71.5, "normal")
    assert platform.points[present.heater, "set_point_c", START + timedelta(minutes=3)] == 71.5


async def test_readings_go_on_while_the_shadow_store_is_down(platform: InMemoryPlatform) -> None:
    present = Present(platform)

    def fail(request: httpx.Request) -> None:
        if request.url.path.endswith("/shadow") and platform.count("POST", "/telemetry") < 3:
            platform.ahead.append(problem(503, "shadow.store.unavailable", **{"Retry-After": "0"}))

    platform.seen.append(fail)
    await present.go_on(3)
    assert platform.metrics_of("live-water-heater-001")["set_point_c"] == 3
    assert present.simulating.untold == 2
    assert platform.reported[present.heater]["status"] == "ok"


async def test_readings_go_on_while_the_asset_store_is_down_and_the_log_catches_up(
    platform: InMemoryPlatform,
) -> None:
    present = Present(platform)
    present.simulating.unlogged["live-water-heater-001"] = [LogEntry("failure", START, "heating element")]

    def fail(request: httpx.Request) -> None:
        is_log = request.url.path.endswith("/maintenance-events")
        if is_log and platform.count("POST", "/telemetry") < 3:
            platform.ahead.append(problem(503, "assets.store.unavailable", **{"Retry-After": "0"}))

    platform.seen.append(fail)
    await present.go_on(3)
    assert platform.metrics_of("live-water-heater-001")["set_point_c"] == 3
    assert [event["kind"] for event in platform.log_of("live-water-heater-001")] == ["failure"]
    assert present.simulating.unlogged == {}
