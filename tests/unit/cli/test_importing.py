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
from iotsphere.cli.tables import TableError
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

    stretches = ", ".join(f"{day['start']}/{day['end']}" for day in days)
    platform.archived = {"X-Archived": stretches}
    _, told = run(export, platform, "SN-1", "SN-2", "-o", tmp_path / "out.csv")
    assert (told["archived"], told["archived_omitted"]) == (days, False)
    assert "2 stretches of time from 2024-01-01T00:00:00Z to 2024-01-04T00:00:00Z. " in told["notes"][0]

    platform.archived = {"X-Archived": f"{stretches}, ..."}
    _, told = run(export, platform, "SN-1", "-o", tmp_path / "out.csv")
    assert (told["archived"], told["archived_omitted"]) == (days, True)
    assert "to 2024-01-04T00:00:00Z, and more. " in told["notes"][0]


def test_an_export_that_fails_leaves_no_file(platform: InMemoryPlatform, tmp_path: Path) -> None:
    status, told = run(export, platform, "SN-1", "SN-2", "-o", tmp_path / "out.csv")

    assert (status, list(tmp_path.iterdir())) == (1, [])
    assert told["problems"] == ["There is no device 'SN-2'."]


@pytest.mark.parametrize("command", [export, import_file])
def test_a_file_of_which_nobody_knows_what_it_is_is_refused_before_anything(
    platform: InMemoryPlatform, tmp_path: Path, command: Any
) -> None:
    file = tmp_path / "points.xlsx"
    arguments = ["SN-1", "-o", str(file)] if command is export else [str(file)]
    app = typer.Typer()
    app.command()(command)

    with serving(platform) as url:
        result = CliRunner().invoke(app, [*arguments, "--url", url, *LOGIN])

    assert isinstance(result.exception, TableError)
    assert (platform.requests, [*tmp_path.iterdir()]) == ([], [])


def test_what_a_file_is_may_be_said(platform: InMemoryPlatform, tmp_path: Path) -> None:
    run(import_file, platform, write(tmp_path, *minutes(5)).rename(tmp_path / "points.txt"), "--format", "csv")
    file = tmp_path / "out.dat"

    status, told = run(export, platform, "SN-1", "-o", file, "--format", "parquet")
    assert (status, told["points"]) == (0, 10)
    _, told = run(import_file, platform, file, "--format", "parquet")
    assert told["totals"]["duplicates"] == 10


def test_what_answers_with_no_table_is_no_platform(platform: InMemoryPlatform, tmp_path: Path) -> None:
    def answer_otherwise(request: httpx.Request) -> None:
        if request.url.path.endswith("/telemetry"):
            platform.ahead = [httpx.Response(200, json={"series": []})]

    platform.seen.append(answer_otherwise)
    status, told = run(export, platform, "SN-1", "-o", tmp_path / "out.csv")

    assert (status, [*tmp_path.iterdir()]) == (1, [])
    assert "is no IoTSphere platform: asked to read the points" in told["problems"][0]
    assert "status 200 and no table of points" in told["problems"][0]


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


def test_of_rows_that_go_as_one_reading_the_first_and_the_last_are_told(
    platform: InMemoryPlatform, tmp_path: Path
) -> None:
    _, told = run(
        import_file, platform, write(tmp_path, *minutes(1), *(f"SN-1,0999-01-01,{name},1" for name in "abc"))
    )

    assert told["problems"][0] == "3 values were rejected. The first: rows 3 to 5: Before 2000."


def test_a_device_that_is_not_there_is_named_and_what_stands_before_it_is_stored(
    platform: InMemoryPlatform, tmp_path: Path
) -> None:
    file = write(tmp_path, *minutes(2), "SN-2,2024-01-01T12:00:00Z,a,1", *minutes(3))

    status, told = run(import_file, platform, file)
    assert (status, told["rows"], told["totals"]["stored"]) == (1, 4, 4)
    assert "Row 5: There is no device 'SN-2'." in told["problems"][0]

    status, told = run(import_file, platform, file, "--device-type", "pump")
    assert (status, told["rows"], told["totals"]["stored"], told["totals"]["duplicates"]) == (0, 11, 3, 8)


def test_a_bad_row_is_told_and_costs_no_other(
    platform: InMemoryPlatform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "CHUNK_VALUES", 2)
    bad = "SN-1,noon,a,1"
    file = write(tmp_path, bad, *minutes(2), bad, "SN-1,2024-01-01T13:00:00Z,a", *minutes(3), bad)

    status, told = run(import_file, platform, file)

    assert (status, told["rows"], told["unreadable_rows"]) == (1, 14, 4)
    assert told["totals"] | {"received": 0} == {
        "received": 0,
        "stored": 6,
        "duplicates": 4,
        "conflicts": 0,
        "rejected": 0,
    }
    [problem] = told["problems"]
    assert problem.startswith("4 rows could not be read. The first: row 1: 'noon' is not a time in ISO 8601")
    assert [path.name for path in tmp_path.iterdir()] == ["points.csv"]


def test_where_nothing_can_be_read_any_more_all_before_it_is_stored(
    platform: InMemoryPlatform, tmp_path: Path
) -> None:
    status, told = run(import_file, platform, write(tmp_path, *minutes(2), "SN-1,noon,a,1", 'SN-1,"x'))

    assert (status, told["rows"], told["unreadable_rows"], told["totals"]["stored"]) == (1, 5, 1, 4)
    assert "behind row 5: unexpected end of data" in told["problems"][-1]
