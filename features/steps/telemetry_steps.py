import csv
import gzip
import json
import time
from datetime import date, timedelta

import pyarrow as pa
from behave import given, register_type, then, when
from parse import with_pattern

# A day that every clock has behind it.
DAY = "2024-03-04"
REASONS = {
    "null is no value": "telemetry.point.null",
    "their time lies ahead": "telemetry.point.future",
}


@with_pattern(r"\d\d:\d\d")
def clock(text):
    """A time of the day in question, as the API shows it."""
    return f"{DAY}T{text}:00.000000Z"


register_type(Clock=clock)


def telemetry_path(context, name, path=""):
    return f"{context.platform.path_of(name)}/telemetry{path}"


def values_of(text):
    """Read ``temperature 21.5 and mode "heat"``."""
    return {metric: json.loads(value) for metric, _, value in (part.partition(" ") for part in text.split(" and "))}


def send(context, name, reading, *, by, **options):
    context.platform.request("POST", telemetry_path(context, name), by=by, json=reading, **options)


@given('"{name}" sent {values} of {ts:Clock}')
@when('"{name}" sends {values} of {ts:Clock}')
def send_reading(context, name, values, ts):
    context.device = name
    send(context, name, {"ts": ts, "values": values_of(values)}, by=f"device:{name}")


@when('"{name}" sends {values} of the day after tomorrow')
def send_from_ahead(context, name, values):
    two_days_ahead = round(time.time() * 1000) + 2 * 24 * 3600 * 1000
    send(context, name, {"ts": two_days_ahead, "values": values_of(values)}, by=f"device:{name}")


@when('"{name}" sends {values} for "{other}"')
def send_for_another(context, name, values, other):
    send(context, other, {"values": values_of(values)}, by=f"device:{name}")


@when('"{name}" sends {count:d} readings, packed')
def send_packed(context, name, count):
    readings = [{"ts": 1_700_000_000_000 + number, "values": {"temperature": number}} for number in range(count)]
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    body = gzip.compress(json.dumps(readings).encode())
    path = telemetry_path(context, name)
    context.platform.request("POST", path, by=f"device:{name}", content=body, headers=headers)


@when("an operator replaces it by {values} of {ts:Clock}")
def replace_point(context, values, ts):
    reading = {"ts": ts, "values": values_of(values)}
    send(context, context.device, reading, by="operator", params={"on_conflict": "replace"})


@when('an engineer asks for the average {metric} of "{name}" every {interval} from {start:Clock} to {end:Clock}')
def ask_for_averages(context, metric, name, interval, start, end):
    query = {"metrics": metric, "interval": interval, "aggregates": "avg", "start": start, "end": end}
    context.series = context.platform.get(telemetry_path(context, name), by="engineer", params=query)["series"]


@when(
    'an engineer asks for the average {metric} of "{name}" every {interval} from {start:Clock} to {end:Clock}'
    " with gaps interpolated"
)
def ask_for_interpolated_averages(context, metric, name, interval, start, end):
    query = {"metrics": metric, "interval": interval, "aggregates": "avg", "start": start, "end": end}
    answer = context.platform.get(telemetry_path(context, name), by="engineer", params=query | {"fill": "linear"})
    context.series = answer["series"]


@then("{count:d} value is {outcome}")
@then("{count:d} values are {outcome}")
def became(context, count, outcome):
    counters = {"stored": "stored", "a duplicate": "duplicates", "a conflict": "conflicts"}
    assert context.platform.answer.status_code == 201, context.platform.answer.text
    assert context.platform.answer.json()[counters[outcome]] == count, context.platform.answer.text


@then('the latest {metric} of "{name}" is {value}')
def latest_is(context, metric, name, value):
    latest = context.platform.get(telemetry_path(context, name, "/latest"))["values"]
    assert latest[metric]["value"] == json.loads(value), latest


def points_in(text):
    """Read ``19 at 09:55 and 22 at 10:05``."""
    parts = (part.split(" at ") for part in text.split(" and "))
    return [[clock(moment), json.loads(value)] for value, moment in parts]


@then('the {metric} of "{name}" from {start:Clock} to {end:Clock} was {points}')
def was(context, metric, name, start, end, points):
    query = {"metrics": metric, "start": start, "end": end}
    (series,) = context.platform.get(telemetry_path(context, name), params=query)["series"]
    assert series["points"] == points_in(points), series


@then("the figures are {points}")
def figures_are(context, points):
    (series,) = context.series
    assert [[point["ts"], point["avg"]] for point in series["points"]] == points_in(points), series


@then('the ledger of "{name}" counts {stored:d} stored and {count:d} {outcome}')
def ledger_counts(context, name, stored, count, outcome):
    counter = {"duplicate": "duplicates", "rejected": "rejected"}[outcome]
    items = context.platform.get(telemetry_path(context, name, "/ledger"))["items"]
    assert sum(item["stored"] for item in items) == stored, items
    assert sum(item[counter] for item in items) == count, items


@then("the {metric} is rejected because {reason}")
def value_is_rejected(context, metric, reason):
    (error,) = context.platform.answer.json()["errors"]
    assert (error["metric"], error["code"]) == (metric, REASONS[reason]), error


@then("the readings are refused because {reason}")
def readings_are_refused(context, reason):
    assert context.platform.refusal == "telemetry.batch.rejected"
    assert [error["code"] for error in context.platform.answer.json()["errors"]] == [REASONS[reason]]


def read(context, name, *, by="engineer", headers=None, **query):
    answer = context.platform.request(
        "GET", telemetry_path(context, name), by=by, params=query, headers=headers or {}
    )
    assert answer.status_code == 200, answer.text
    return answer


@then('the {metric} of "{name}" is in {unit}')
def is_in(context, metric, name, unit):
    (series,) = read(context, name, metrics=metric).json()["series"]
    assert series.get("unit") == (None if unit == "no known unit" else json.loads(unit)), series


@given('"{name}" sent {count:d} readings with a peak of {peak:d} at the {number:d}th')
def send_peak(context, name, count, peak, number):
    values = [peak if place == number else place / count for place in range(1, count + 1)]
    first = 1_700_000_000_000
    readings = [{"ts": first + place, "values": {"temperature": value}} for place, value in enumerate(values)]
    context.platform.request("POST", telemetry_path(context, name), by=f"device:{name}", json=readings)
    context.expected = {values[0], peak, values[-1]}


@when('an engineer asks for {count:d} points of "{name}" that show the course')
def ask_for_course(context, count, name):
    context.series = read(context, name, max_points=count).json()["series"]


@then("there are {count:d} points, the peak and both ends among them")
def course_shows(context, count):
    (series,) = context.series
    assert len(series["points"]) == count, series
    assert context.expected <= {value for _, value in series["points"]}, series


@when('an engineer asks for the readings of "{name}" as CSV')
def ask_for_csv(context, name):
    answer = read(context, name, headers={"Accept": "text/csv"})
    context.rows = [
        [row["ts"], row["metric"], float(row["value"]) if row["value"] else json.loads(row["other"])]
        for row in csv.DictReader(answer.text.splitlines())
    ]


@when('an engineer asks for the readings of "{name}" as Arrow')
def ask_for_arrow(context, name):
    answer = read(context, name, headers={"Accept": "application/vnd.apache.arrow.stream"})
    context.rows = [
        [
            row["ts"].strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            row["metric"],
            json.loads(row["other"]) if row["value"] is None else row["value"],
        ]
        for row in pa.ipc.open_stream(answer.content).read_all().to_pylist()
    ]


@then("its rows are {values} of {ts:Clock}")
def rows_are(context, values, ts):
    assert sorted(context.rows) == sorted([ts, metric, value] for metric, value in values_of(values).items())


@when('an administrator deletes the {metric} of "{name}" from {start:Clock} to {end:Clock}')
def delete_points(context, metric, name, start, end):
    query = {"metrics": metric, "start": start, "end": end}
    context.platform.request("DELETE", telemetry_path(context, name), by="admin", params=query)


@when('an operator tries to delete the telemetry of "{name}"')
def try_to_delete(context, name):
    context.platform.request("DELETE", telemetry_path(context, name), by="operator")


@then("{count:d} point is deleted")
def is_deleted(context, count):
    assert context.platform.answer.status_code == 200, context.platform.answer.text
    assert context.platform.answer.json() == {"deleted": count}


@then('the audit trail tells that {count:d} point of "{name}" was deleted')
def deletion_is_told(context, count, name):
    target = f"device:{context.platform.devices[name]['id']}"
    entries = context.platform.get("/audit", by="admin", params={"target": target, "action": "remove_points"})[
        "items"
    ]
    assert [entry["details"]["deleted"] for entry in entries] == [count], entries


YEAR = [date(2023, 1, 1) + timedelta(days=number) for number in range(365)]
LATE_DAY = YEAR[180]


@given('"{name}" sent a temperature of {value:d} each day of a year')
def send_year(context, name, value):
    context.device = name
    readings = [{"ts": f"{day}T06:00:00Z", "values": {"temperature": value}} for day in YEAR]
    context.platform.request("POST", telemetry_path(context, name), by=f"device:{name}", json=readings)
    assert context.platform.answer.status_code == 201, context.platform.answer.text


@given("everything has been rolled up")
def wait_for_rollups(context):
    deadline = time.monotonic() + 60
    while waiting_hours(context) != 0:
        assert time.monotonic() < deadline, "hours still wait for being rolled up"


def waiting_hours(context):
    """Give how many hours wait, as the metrics tell it."""
    lines = context.platform.http.get("/metrics").text.splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("iotsphere_rollups_waiting_hours ")))


@when('"{name}" sends temperature {value:d} of 10:00 on a day half a year back')
def send_late(context, name, value):
    reading = {"ts": f"{LATE_DAY}T10:00:00Z", "values": {"temperature": value}}
    send(context, name, reading, by=f"device:{name}")


@when('an engineer asks for the average temperature of "{name}" by the day over that year')
def ask_for_year(context, name):
    query = {"interval": "1d", "aggregates": "avg", "start": f"{YEAR[0]}T00:00:00Z", "end": "2024-01-01T00:00:00Z"}
    context.series = context.platform.get(telemetry_path(context, name), by="engineer", params=query)["series"]


@then("every day shows {value:d}, and that one {other:d}")
def year_shows(context, value, other):
    (series,) = context.series
    expected = [[f"{day}T00:00:00.000000Z", other if day == LATE_DAY else value] for day in YEAR]
    assert [[point["ts"], point["avg"]] for point in series["points"]] == expected, series


@then("it shows the same when everything has been rolled up again")
def shows_the_same(context):
    wait_for_rollups(context)
    before = context.series
    ask_for_year(context, context.device)
    assert context.series == before
