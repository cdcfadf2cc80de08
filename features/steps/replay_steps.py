"""Recordings are counted here line by line, without the code that replays them."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

from behave import given, then, when

from features.support.platform import PASSWORD
from features.support.running import eventually

RECORDED = Path(__file__).parents[3] / "shared" / "data"
LABELS = {"datetime", "anomaly", "changepoint"}
ENGINE_METRICS = 24
SIMULATED = ["--pumps", "1", "--water-heaters", "0", "--vending-machines", "0"]


@given("the recordings of the pump testbed")
def use_pump_recordings(context):
    recorded = RECORDED / "skab" / "valve1"
    use_pumps(context, recorded if recorded.exists() else write_pump_recording(context))


@given("a small recording of the pump testbed")
def use_small_pump_recording(context):
    use_pumps(context, write_pump_recording(context))


@given("a small recording of the pump testbed with a broken line {number:d}")
def use_broken_pump_recording(context, number):
    folder = write_pump_recording(context)
    lines = (folder / "0.csv").read_text().splitlines()
    lines[number - 1] = "torn"
    (folder / "0.csv").write_text("\n".join(lines))
    context.recording = ("skab", folder, Counter())


@given("the recording of engines run to failure")
def use_engine_recording(context):
    recorded = RECORDED / "cmapss" / "train_FD001.txt"
    path = recorded if recorded.exists() else write_engine_recording(context)
    units = Counter(int(line.split()[0]) for line in path.read_text().splitlines())
    points = {f"cmapss-{path.stem}-unit-{unit:03}": ENGINE_METRICS * rows for unit, rows in units.items()}
    context.recording = ("cmapss", path, points)


@when("an operator replays them")
def replay(context):
    recording_format, path, _ = context.recording
    context.report = run_command(context, "replay", path, "--format", recording_format)


@when("an operator simulates a day of a pump with the seed {seed:d}")
def simulate(context, seed):
    start = ["--start", "2026-01-05T00:00:00Z", "--interval", "300", "--seed", str(seed)]
    context.report = run_command(context, "simulate", *SIMULATED, *start)


@given("a water heater is simulated in real time")
def simulate_in_real_time(context):
    options = ["--water-heaters", "1", "--pumps", "0", "--vending-machines", "0", "--hours", "0"]
    command = command_line(context, "simulate", *options, "--interval", "1", "--live")
    context.simulation = subprocess.Popen(command, env=environment(context), stdout=subprocess.PIPE, text=True)
    context.add_cleanup(end, context.simulation)
    eventually(lambda: find_devices(context, "sim-1-water-heater-001"), within=30, what="the heater is registered")


@when("an operator desires the set point {celsius:f} of it")
def desire(context, celsius):
    body = {"state": {"desired": {"set_point_c": celsius}}}
    answer = context.platform.request("PATCH", f"{heater_path(context)}/shadow", json=body)
    assert answer.status_code == 200, answer.text


@then("the replay succeeds")
@then("the simulation succeeds")
def succeeds(context):
    status, report = context.report
    assert (status, report["ok"], report["problems"]) == (0, True, []), report["problems"]


@then("the replay fails and names line {number:d}")
def names_line(context, number):
    status, report = context.report
    assert status == 1
    assert f"line {number}: " in report["problems"][0], report["problems"]


@then("all of its points were duplicates")
def all_duplicates(context):
    totals = context.report[1]["totals"]
    assert totals["stored"] == 0 < totals["duplicates"] == totals["received"], totals


@then("every device of the recordings has as many points as its file")
def every_point_arrived(context):
    _, _, recorded = context.recording
    assert recorded
    assert {serial: count_points(context, serial) for serial in recorded} == recorded


@then("the log of every engine says that it failed at its last cycle")
def every_engine_failed(context):
    _, _, recorded = context.recording
    assert {serial: cycles_to_failure(context, serial) * ENGINE_METRICS for serial in recorded} == recorded


def cycles_to_failure(context, serial_number):
    """Count the hours from the installation to the failure, the first and the last of which are cycles too."""
    [device] = find_devices(context, serial_number)
    log = context.platform.get(f"/devices/{device['id']}/maintenance-events")["items"]
    assert [event["kind"] for event in log] == ["installation", "failure"], log
    first, last = (datetime.fromisoformat(event["occurred_at"]) for event in log)
    return (last - first) // timedelta(hours=1) + 1


@then("within {seconds:d} seconds it reports the set point {celsius:f}")
def reports_set_point(context, seconds, celsius):
    def has_set_point():
        state = context.platform.get(f"{heater_path(context)}/shadow")["state"]
        return state.get("reported", {}).get("set_point_c") == celsius and "delta" not in state

    eventually(has_set_point, within=seconds, what=f"it reports {celsius}")


@then("it stops when it is told to")
def stops(context):
    context.simulation.send_signal(signal.SIGINT)
    output, _ = context.simulation.communicate(timeout=30)
    report = json.loads(output)
    assert (context.simulation.returncode, report["problems"]) == (0, [])
    assert report["totals"]["stored"] > 0


def use_pumps(context, folder):
    points = {}
    for path in folder.glob("*.csv"):
        header, *rows = path.read_text().splitlines()
        points[f"skab-{folder.name}-{path.stem}"] = len(rows) * len(set(header.split(";")) - LABELS)
    context.recording = ("skab", folder, points)


def write_pump_recording(context):
    folder = temporary_folder(context) / "valve1"
    folder.mkdir()
    for number in range(2):
        rows = [f"2020-03-09 10:14:{second:02};{second / 10};{230 + number}.5;0.0;0.0" for second in range(20)]
        text = "\r\n".join(["datetime;Volume Flow RateRMS;Voltage;anomaly;changepoint", *rows])
        (folder / f"{number}.csv").write_text(text)
    return folder


def write_engine_recording(context):
    path = temporary_folder(context) / "train_FD001.txt"
    values = " ".join(str(number / 10) for number in range(ENGINE_METRICS))
    path.write_text("".join(f"{unit} {cycle} {values}  \n" for unit in (1, 2) for cycle in range(1, 30 * unit)))
    return path


def temporary_folder(context):
    folder = tempfile.TemporaryDirectory(prefix="iotsphere-recording-")
    context.add_cleanup(folder.cleanup)
    return Path(folder.name)


def run_command(context, *arguments):
    done = subprocess.run(
        command_line(context, *arguments), env=environment(context), capture_output=True, text=True, check=False
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def command_line(context, *arguments):
    return [sys.executable, "-m", "iotsphere", *map(str, arguments), "--json", "--url", context.running.url]


def environment(context):
    admin = context.platform.email_of("admin")
    return os.environ | {"IOTSPHERE_ADMIN_EMAIL": admin, "IOTSPHERE_ADMIN_PASSWORD": PASSWORD}


def end(process):
    if process.poll() is None:
        process.kill()
        process.communicate()


def find_devices(context, serial_number):
    found = context.platform.get("/devices", params={"q": serial_number})["items"]
    return [device for device in found if device["serial_number"] == serial_number]


def heater_path(context):
    return f"/devices/{find_devices(context, 'sim-1-water-heater-001')[0]['id']}"


def count_points(context, serial_number):
    [device] = find_devices(context, serial_number)
    params = {
        "start": "2000-01-01T00:00:00Z",
        "end": "2030-01-01T00:00:00Z",
        "interval": "30d",
        "aggregates": "count",
    }
    answer = context.platform.get(f"/devices/{device['id']}/telemetry", params=params)
    return sum(point["count"] for series in answer["series"] for point in series["points"])
