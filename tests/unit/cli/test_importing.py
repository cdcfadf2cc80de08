"""Export and import against platforms in memory behind real sockets."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
from typer.testing import CliRunner

from iotsphere.cli import importing
from iotsphere.cli.exporting import export
from iotsphere.cli.importing import import_file
from tests.fakes.platform_api import EMAIL, PASSWORD, InMemoryPlatform, problem, serving

LOGIN = ["--email", EMAIL, "--password", PASSWORD]
HEADER = "serial_number,ts,metric,value\n"


@pytest.fixture(name="platform")
def make_platform() -> InMemoryPlatform:
    platform = InMemoryPlatform()
    platform.devices["1"] = {"id": "1", "serial_number": "SN-1", "device_type": "pump"}
    return platform


def run(command: Any, platform: InMemoryPlatform, *arguments: object) -> tuple[int, dict[str, Any]]:
    app = typer.Typer()
    app.command()(command)
    with serving(platform) as url:
        result = CliRunner().invoke(app, [*map(str, arguments), "--json", "--url", url, *LOGIN])
    assert result.stdout, result.output
    return result.exit_code, json.loads(result.stdout)


def write(folder: Path, *rows: str) -> Path:
    path = folder / "points.csv"
    path.write_text(HEADER + "".join(f"{row}\n" for row in rows))
    return path


def minutes(count: int) -> list[str]:
    return [f"SN-1,2024-01-01T12:{minute:02}:00Z,{metric},{minute}" for minute in range(count) for metric in "ab"]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_what_is_exported_is_the_same_on_another_platform(
    platform: InMemoryPlatform, tmp_path: Path, suffix: str
) -> None:
    run(import_file, platform, write(tmp_path, *minutes(5), 'SN-1,2024-01-02T00:00:00Z,mode,"""on"""'))
    file, other = tmp_path / f"out.{suffix}", InMemoryPlatform()

    status, told = run(export, platform, "SN-1", "-o", file)
    assert (status, told["points"], told["points_of_devices"]) == (0, 11, {"SN-1": 11})
    status, told = run(import_file, other, file, "--device-type", "pump")
    assert (status, told["totals"]["stored"], told["rows"]) == (0, 11, 11)

    [device] = other.devices
    assert {(metric, at): value for (_, metric, at), value in other.points.items()} == {
        (metric, at): value for (_, metric, at), value in platform.points.items()
    }
    assert {owner for owner, _, _ in other.points} == {device}
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["points.csv", file.name])


def test_an_export_is_of_the_metrics_and_the_range_asked_for(platform: InMemoryPlatform, tmp_path: Path) -> None:
    run(import_file, platform, write(tmp_path, *minutes(5)))
    file = tmp_path / "out.csv"
    asked = ["--metrics", "a", "--start", "2024-01-01T12:01:00Z", "--end", "2024-01-01T13:03:00+01:00"]

    run(export, platform, "SN-1", "-o", file, *asked)

    assert file.read_text().splitlines()[1:] == [
        "SN-1,2024-01-01T12:01:00.000000Z,a,1.0,",
        "SN-1,2024-01-01T12:02:00.000000Z,a,2.0,",
    ]


def test_an_export_tells_what_lies_in_the_archive_alone(platform: InMemoryPlatform, tmp_path: Path) -> None:
    days = [{"start": f"2024-01-0{day}T00:00:00Z", "end": f"2024-01-0{day + 1}T00:00:00Z"} for day in (1, 3)]
    platform.devices["2"] = {"id": "2", "serial_number": "SN-2", "device_type": "pump"}
    run(import_file, platform, write(tmp_path, *minutes(5)))

    _, told = run(export, platform, "SN-1", "-o", tmp_path / "out.csv")
    assert "archived" not in told

    platform.archived = {"archived": days}
    _, told = run(export, platform, "SN-1", "SN-2", "-o", tmp_path / "out.csv")
    assert told["archived"] == days
    assert "2 stretches of time from 2024-01-01T00:00:00Z to 2024-01-04T00:00:00Z" in told["notes"][0]


def test_an_export_that_fails_leaves_no_file(platform: InMemoryPlatform, tmp_path: Path) -> None:
    status, told = run(export, platform, "SN-1", "SN-2", "-o", tmp_path / "out.csv")

    assert (status, list(tmp_path.iterdir())) == (1, [])
    assert told["problems"] == ["There is no device 'SN-2'."]


def test_rows_of_one_time_go_as_one_reading(platform: InMemoryPlatform, tmp_path: Path) -> None:
    run(import_file, platform, write(tmp_path, *minutes(2), "SN-1,2024-01-01T12:01:00Z,b,7"))

    [request] = [request for request in platform.requests if request.url.path == "/api/v1/telemetry"]
    assert [json.loads(line)["values"] for line in request.content.splitlines()] == [
        {"a": 0, "b": 0},
        {"a": 1, "b": 1},
        {"b": 7},
    ]
    assert request.headers["Content-Type"] == "application/x-ndjson"


def test_an_import_that_was_stopped_goes_on_where_it_was(
    platform: InMemoryPlatform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "CHUNK_VALUES", 4)
    file = write(tmp_path, *minutes(6))
    sent: list[int] = []

    def break_third(request: httpx.Request) -> None:
        if request.url.path == "/api/v1/telemetry":
            sent.append(len(request.content.splitlines()))
            if len(sent) == 3:
                platform.ahead = [problem(403, "identity.role.too_low")]

    platform.seen.append(break_third)
    with serving(platform) as url:
        app = typer.Typer()
        app.command()(import_file)
        arguments = [str(file), "--json", "--url", url, *LOGIN]
        broken = CliRunner().invoke(app, arguments)
        first = json.loads(broken.stdout)
        resumed = CliRunner().invoke(app, arguments)
        second = json.loads(resumed.stdout)

    assert (broken.exit_code, first["rows"], first["totals"]["stored"]) == (1, 8, 8)
    assert (resumed.exit_code, second["rows"], second["totals"]["stored"]) == (0, 12, 12)
    assert "Went on behind row 8" in second["notes"][0]
    # Nothing was sent again but what was refused.
    assert sent == [2, 2, 2, 2]
    assert len(platform.points) == 12
    assert [path.name for path in tmp_path.iterdir()] == ["points.csv"]


def test_a_file_that_has_changed_meanwhile_is_begun_anew(platform: InMemoryPlatform, tmp_path: Path) -> None:
    file = write(tmp_path, *minutes(2))
    (tmp_path / "points.csv.importing").write_text('{"file":[1,2],"url":"x","rows":4}')

    status, told = run(import_file, platform, file)

    assert (status, told["totals"]["stored"]) == (0, 4)


def test_an_import_for_another_device_does_not_go_on_where_one_for_the_first_was(
    platform: InMemoryPlatform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "CHUNK_VALUES", 2)
    platform.devices["2"] = {"id": "2", "serial_number": "SN-2", "device_type": "pump"}
    file = tmp_path / "wide.csv"
    file.write_text("ts,a\n" + "".join(f"2024-01-01T12:0{minute}:00Z,{minute}\n" for minute in range(4)))
    sent: list[httpx.Request] = []

    def break_second(request: httpx.Request) -> None:
        if request.url.path == "/api/v1/telemetry":
            sent.append(request)
            if len(sent) == 2:
                platform.ahead = [problem(403, "identity.role.too_low")]

    platform.seen.append(break_second)
    with serving(platform) as url:
        app = typer.Typer()
        app.command()(import_file)
        arguments = [str(file), "--json", "--url", url, *LOGIN]
        broken = CliRunner().invoke(app, [*arguments, "--device", "SN-1"])
        other = CliRunner().invoke(app, [*arguments, "--device", "SN-2"])

    assert [broken.exit_code, other.exit_code] == [1, 0]
    assert len([at for owner, _, at in platform.points if owner == "2"]) == 4


def test_a_platform_that_is_busy_is_asked_again(platform: InMemoryPlatform, tmp_path: Path) -> None:
    busy = [problem(503, "telemetry.store.unavailable", **{"Retry-After": "0"})]

    def make_busy(request: httpx.Request) -> None:
        if request.url.path == "/api/v1/telemetry" and busy:
            platform.ahead = [busy.pop()]

    platform.seen.append(make_busy)
    status, told = run(import_file, platform, write(tmp_path, *minutes(2)))

    assert (status, told["totals"]["stored"]) == (0, 4)
    assert platform.count("POST", "/api/v1/telemetry") == 2


def test_what_is_rejected_or_contradicts_is_a_problem_with_its_row(
    platform: InMemoryPlatform, tmp_path: Path
) -> None:
    file = write(tmp_path, *minutes(1), "SN-1,1999-01-01T00:00:00Z,a,1", "SN-1,2024-01-01T12:00:00Z,a,9")

    status, told = run(import_file, platform, file)

    assert (status, told["ok"]) == (1, False)
    assert told["totals"] == {"received": 4, "stored": 2, "duplicates": 0, "conflicts": 1, "rejected": 1}
    assert told["problems"][0] == "1 values were rejected. The first: row 3: Before 2000."
    assert "1 values contradict" in told["problems"][1]


def test_a_device_that_is_not_there_is_named(platform: InMemoryPlatform, tmp_path: Path) -> None:
    status, told = run(import_file, platform, write(tmp_path, "SN-2,2024-01-01T12:00:00Z,a,1"))

    assert status == 1
    assert "There is no device 'SN-2'." in told["problems"][0]


def test_a_bad_row_stops_it_and_what_came_before_may_be_stored(platform: InMemoryPlatform, tmp_path: Path) -> None:
    status, told = run(import_file, platform, write(tmp_path, *minutes(1), "SN-1,noon,a,1"))

    assert status == 1
    assert "row 3: 'noon' is not a time" in told["problems"][0]
