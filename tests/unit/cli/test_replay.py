"""The whole command against a platform in memory behind a real socket."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
from typer.testing import CliRunner, Result

from iotsphere.cli.errors import CommandError
from iotsphere.cli.replay import replay
from tests.fakes.platform_api import EMAIL, PASSWORD, InMemoryPlatform, problem, serving

LOGIN = ["--email", EMAIL, "--password", PASSWORD]


@pytest.fixture(name="platform")
def make_platform() -> InMemoryPlatform:
    return InMemoryPlatform()


@pytest.fixture(name="url")
def serve(platform: InMemoryPlatform) -> Iterator[str]:
    with serving(platform) as url:
        yield url


def run(*arguments: str | Path) -> Result:
    app = typer.Typer()
    app.command()(replay)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def run_json(url: str, *arguments: str | Path) -> tuple[int, dict[str, Any]]:
    result = run(*arguments, "--json", "--url", url, *LOGIN)
    assert result.stdout, result.output
    return result.exit_code, json.loads(result.stdout)


def write_skab(folder: Path, files: int = 2, rows: int = 5) -> Path:
    for number in range(files):
        lines = [f"2020-03-09 10:14:{second:02};{number + second / 10};233.0;0.0;0.0" for second in range(rows)]
        path = folder / "valve1" / f"{number}.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_text("datetime;Volume Flow RateRMS;Voltage;anomaly;changepoint\r\n" + "\r\n".join(lines) + "\r\n")
    return folder / "valve1"


def write_csv(folder: Path, *lines: str) -> Path:
    path = folder / "boiler.csv"
    path.write_text("time,a\n" + "\n".join(lines) + "\n")
    return path


def replay_csv(url: str, path: Path, *more: str) -> tuple[int, dict[str, Any]]:
    return run_json(url, path, "--format", "csv", "--device-type", "boiler", *more)


def test_a_folder_becomes_one_device_a_file_and_every_point_is_counted_back(
    platform: InMemoryPlatform, url: str, tmp_path: Path
) -> None:
    status, report = run_json(url, write_skab(tmp_path), "--format", "skab")
    assert (status, report["ok"], report["problems"]) == (0, True, [])
    assert report["totals"] == {"received": 20, "stored": 20, "duplicates": 0, "conflicts": 0, "rejected": 0}
    assert {device["serial_number"] for device in report["devices"]} == {"skab-valve1-0", "skab-valve1-1"}
    assert {(device["in_recording"], device["in_platform"]) for device in report["devices"]} == {(10, 10)}
    assert platform.metrics_of("skab-valve1-0") == {"volume_flow_rate_rms": 5, "voltage": 5}
    assert {device["device_type"] for device in platform.devices.values()} == {"pump"}


def test_replaying_twice_stores_nothing_twice_and_leaves_no_key(
    platform: InMemoryPlatform, url: str, tmp_path: Path
) -> None:
    folder = write_skab(tmp_path)
    run_json(url, folder, "--format", "skab")
    status, report = run_json(url, folder, "--format", "skab")
    assert status == 0
    assert report["totals"] == {"received": 20, "stored": 0, "duplicates": 20, "conflicts": 0, "rejected": 0}
    assert len(platform.devices) == 2
    assert platform.keys == {}


def write_engines(folder: Path, name: str, cycles: dict[int, int]) -> Path:
    path = folder / name
    values = " ".join(["1.5"] * 24)
    path.write_text("".join(f"{unit} {cycle} {values}\n" for unit, n in cycles.items() for cycle in range(1, n + 1)))
    return path


def test_engines_run_to_failure_have_their_life_in_the_maintenance_log_once(
    platform: InMemoryPlatform, url: str, tmp_path: Path
) -> None:
    path = write_engines(tmp_path, "train_FD009.txt", {1: 5, 2: 1})
    reports = [run_json(url, path, "--format", "cmapss") for _ in range(2)]
    assert [(status, report["maintenance_events"]) for status, report in reports] == [(0, 4), (0, 0)]
    assert platform.log_of("cmapss-train_FD009-unit-001") == [
        {"kind": "installation", "occurred_at": "2024-01-01T00:00:00.000000Z"},
        {"kind": "failure", "occurred_at": "2024-01-01T04:00:00.000000Z"},
    ]
    assert {event["occurred_at"] for event in platform.log_of("cmapss-train_FD009-unit-002")} == {
        "2024-01-01T00:00:00.000000Z"
    }


def test_engines_whose_recording_stops_before_have_not_failed(
    platform: InMemoryPlatform, url: str, tmp_path: Path
) -> None:
    status, report = run_json(url, write_engines(tmp_path, "test_FD009.txt", {1: 5}), "--format", "cmapss")
    assert (status, report["maintenance_events"], platform.maintenance) == (0, 0, {})


def test_people_get_a_table_and_a_status_of_0(url: str, tmp_path: Path) -> None:
    result = run(write_skab(tmp_path), "--format", "skab", "--url", url, *LOGIN)
    assert result.exit_code == 0
    assert "skab-valve1-1" in result.stdout
    assert "all 2" in result.stdout
    assert not result.stderr


def test_a_platform_that_lost_points_is_found_out(platform: InMemoryPlatform, url: str, tmp_path: Path) -> None:
    platform.losing = "voltage"
    result = run(write_skab(tmp_path, files=1), "--format", "skab", "--url", url, *LOGIN)
    assert result.exit_code == 1
    assert (
        "skab-valve1-0: the platform holds 5 points where the recording has 10; 1 metrics differ, such as voltage: 0"
        " for 5." in result.stderr
    )


def test_rejected_values_are_told_with_the_platforms_reason(url: str, tmp_path: Path) -> None:
    status, report = replay_csv(url, write_csv(tmp_path, "1999-01-01,1", "2024-01-01,2"))
    assert status == 1
    assert report["totals"]["rejected"] == 1
    assert "boiler: 1 values were rejected. The first: Before 2000." in report["problems"]


def test_a_recording_that_contradicts_itself_is_one_point_and_no_problem(url: str, tmp_path: Path) -> None:
    path = write_csv(tmp_path, "2024-01-01,1", "2024-01-01,2", "2024-01-02,3")
    for stored in (2, 0):
        status, report = replay_csv(url, path)
        assert (status, report["totals"]["stored"], report["totals"]["conflicts"]) == (0, stored, 1)
        assert report["devices"][0]["in_recording"] == report["devices"][0]["in_platform"] == 2


def test_a_recording_that_contradicts_what_is_stored_is_a_problem(url: str, tmp_path: Path) -> None:
    replay_csv(url, write_csv(tmp_path, "2024-01-01,1", "2024-01-02,2"))
    status, report = replay_csv(url, write_csv(tmp_path, "2024-01-01,1", "2024-01-02,3"))
    assert status == 1
    assert "1 values contradict what was stored for the same times before" in report["problems"][0]


def test_a_serial_number_of_another_type_of_device_is_not_written_to(
    platform: InMemoryPlatform, url: str, tmp_path: Path
) -> None:
    path = write_csv(tmp_path, "2024-01-01,1")
    run_json(url, path, "--format", "csv", "--device-type", "oven")
    status, report = replay_csv(url, path)
    assert status == 1
    assert "'boiler' exists already and is a oven, not a boiler" in report["problems"][0]
    assert len(platform.points) == 1
    assert replay_csv(url, path, "--serial-prefix", "other-")[0] == 0


def test_a_broken_line_ends_the_replay_and_can_be_skipped(url: str, tmp_path: Path) -> None:
    path = write_csv(tmp_path, "2024-01-01,1", "2024-01-02,x", "2024-01-03,3")
    status, report = replay_csv(url, path)
    assert status == 1
    assert "boiler.csv, line 3: a is 'x', not a number" in report["problems"][0]
    status, report = replay_csv(url, path, "--skip-bad-lines")
    assert (status, report["bad_lines"], report["totals"]["received"]) == (0, 1, 2)
    assert "1 broken lines were left out. The first: " in report["notes"][0]


def test_a_file_name_with_brackets_is_told_as_it_is(url: str, tmp_path: Path) -> None:
    result = run(tmp_path / "[red]gone[/red].csv", "--format", "nab", "--url", url, *LOGIN)
    assert result.exit_code == 1
    assert "[red]gone[/red].csv" in result.stderr


def _stores(request: httpx.Request) -> bool:
    return request.method == "POST" and request.url.path.endswith("/telemetry")


def test_batches_hold_ten_thousand_values_at_most_and_arrive_in_order(
    platform: InMemoryPlatform, url: str, tmp_path: Path
) -> None:
    header = "time," + ",".join(f"m{n}" for n in range(3000))
    rows = [f"{1_700_000_000 + n}," + ",".join(["1"] * 3000) for n in range(7)]
    path = tmp_path / "wide.csv"
    path.write_text("\n".join([header, *rows]))
    status, _ = replay_csv(url, path)
    posts = [json.loads(request.content) for request in platform.requests if _stores(request)]
    sizes = [[len(reading["values"]) for reading in post] for post in posts]
    assert (status, sizes) == (0, [[3000] * 3, [3000] * 3, [3000]])
    times = [reading["ts"] for post in posts for reading in post]
    assert times == sorted(times)
    assert max(len(str(request.url)) for request in platform.requests) < 8000


def test_a_busy_store_is_waited_for_and_a_dead_one_given_up(
    platform: InMemoryPlatform, url: str, tmp_path: Path
) -> None:
    busy = problem(503, "telemetry.store.unavailable", "The telemetry store does not answer.", **{"Retry-After": "0"})

    def fail(times: int) -> None:
        platform.seen = [lambda request: platform.ahead.extend(_once(request, busy, left))]
        left = [times]

    def _once(request: httpx.Request, answer: httpx.Response, left: list[int]) -> list[httpx.Response]:
        hit = _stores(request) and left[0] > 0
        left[0] -= hit
        return [answer] * hit

    path = write_csv(tmp_path, "2024-01-01,1")
    fail(3)
    assert replay_csv(url, path)[0] == 0
    fail(100)
    status, report = replay_csv(url, path)
    assert status == 1
    [sentence] = report["problems"]
    assert sentence.startswith("The platform would not store the readings: The telemetry store does not answer. (")
    assert "code telemetry.store.unavailable, correlation id a-correlation-id" in sentence
    assert report["devices"][0]["serial_number"] == "boiler"
    assert platform.keys == {}


def test_a_key_that_cannot_be_revoked_is_told(platform: InMemoryPlatform, url: str, tmp_path: Path) -> None:
    def refuse(request: httpx.Request) -> None:
        if request.method == "DELETE":
            platform.ahead.append(problem(503, "registry.store.unavailable"))

    platform.seen = [refuse]
    status, report = replay_csv(url, write_csv(tmp_path, "2024-01-01,1"))
    assert status == 0
    assert "The key made for boiler is still valid." in report["notes"][0]


def test_many_devices_in_one_file_are_all_stored(platform: InMemoryPlatform, url: str, tmp_path: Path) -> None:
    path = tmp_path / "fleet.csv"
    rows = [f"2024-01-01T00:{minute:02}:00,unit {unit},{unit + minute}" for minute in range(5) for unit in range(40)]
    path.write_text("time,unit,load\n" + "\n".join(rows))
    status, report = replay_csv(url, path, "--device-column", "unit", "--concurrency", "8")
    assert (status, report["totals"]["stored"], len(platform.devices)) == (0, 200, 40)


def test_a_csv_needs_a_device_type_and_a_start_an_offset(url: str, tmp_path: Path) -> None:
    path = write_csv(tmp_path, "2024-01-01,1")
    for arguments, reason in (
        (["--format", "csv"], "give --device-type"),
        (["--format", "cmapss", "--start", "2024-01-01T00:00:00"], "--start: Not an RFC 3339 time"),
    ):
        result = run(path, *arguments, "--url", url, *LOGIN)
        assert isinstance(result.exception, CommandError)
        assert reason in str(result.exception)


def test_without_a_password_and_a_terminal_nothing_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IOTSPHERE_ADMIN_PASSWORD", raising=False)
    result = run(write_csv(tmp_path, "2024-01-01,1"), "--format", "nab")
    assert "No password: set IOTSPHERE_ADMIN_PASSWORD or give --password." in str(result.exception)
