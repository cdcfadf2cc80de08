import json
from datetime import UTC, datetime, timedelta

from behave import given, then, when

from features.support.platform import Platform

FORMS = {"lines of JSON": "application/x-ndjson", "a spreadsheet": "text/csv"}
FAILED = {"kind": "failure", "occurred_at": "2026-03-01T12:00:00Z"}


def log_path(context, device):
    return f"{context.platform.path_of(device)}/maintenance-events"


def record(context, device, by="engineer", **said):
    return context.platform.request("POST", log_path(context, device), by=by, json=FAILED | said)


def log_of(context, device):
    return context.platform.get(log_path(context, device))["items"]


def told(event):
    return f"{event['occurred_at'][:10]} {event['kind']} of the {event['component']}"


@given('an engineer has recorded for "{device}" on {day} the {kind} of the "{component}"')
@when('an engineer records for "{device}" on {day} the {kind} of the "{component}"')
def record_event(context, device, day, kind, component):
    answer = record(context, device, kind=kind, component=component, occurred_at=f"{day}T08:00:00+01:00")
    assert answer.status_code == 201, answer.text
    context.event = answer.json()


@given('an engineer has recorded for "{device}" on {day} the {kind} of the "{component}" for {cost:g}')
@when('an engineer records for "{device}" on {day} the {kind} of the "{component}" for {cost:g}')
def record_costly_event(context, device, day, kind, component, cost):
    said = {"kind": kind, "component": component, "occurred_at": f"{day}T08:00:00+01:00", "cost": cost}
    answer = record(context, device, **said)
    assert answer.status_code == 201, answer.text


@when('an engineer records for "{device}" the inspection of tomorrow')
def record_tomorrow(context, device):
    record(context, device, kind="inspection", occurred_at=(datetime.now(UTC) + timedelta(days=1)).isoformat())


@when('an engineer records for "{device}" the same failure twice under one idempotency key')
def record_twice(context, device):
    options = {"by": "engineer", "json": FAILED, "headers": {"Idempotency-Key": "the failure"}}
    first, second = (context.platform.request("POST", log_path(context, device), **options) for _ in range(2))
    assert (first.status_code, second.json()) == (201, first.json()), second.text


@when('the device "{device}" records a failure of itself')
def record_as_device(context, device):
    record(context, device, by=f"device:{device}")


@when('a viewer records a failure of "{device}"')
def record_as_viewer(context, device):
    record(context, device, by="viewer")


def take_out(context, event):
    path = f"/devices/{event['device_id']}/maintenance-events/{event['id']}"
    return context.platform.request("DELETE", path, by="engineer")


@when("an engineer takes it out of the log")
def take_it_out(context):
    take_out(context, context.event)


@when('an engineer takes all of it out of the log of "{device}"')
def take_all_out(context, device):
    for event in log_of(context, device):
        answer = take_out(context, event)
        assert answer.status_code == 204, answer.text


@when('an engineer looks for failures of the "{component}" in the fleet')
def look_for_failures(context, component):
    query = {"kind": "failure", "component": component}
    context.found = context.platform.get("/maintenance-events", by="engineer", params=query)["items"]


@when('an engineer of another organisation asks for the log of "{device}"')
def ask_from_elsewhere(context, device):
    context.elsewhere = Platform(context.running.url)
    context.add_cleanup(context.elsewhere.http.close)
    context.platform.answer = context.elsewhere.request("GET", log_path(context, device), by="engineer")


@when("an operator imports the log")
def import_log(context):
    import_file(context, context.text.encode(), "text/csv")


@when("an operator exports the log as {form}")
def export_log(context, form):
    context.form = FORMS[form]
    context.platform.request("GET", "/maintenance-events/export", headers={"Accept": context.form})
    context.file = context.platform.answer.content


@when("an operator imports the exported log")
def import_again(context):
    import_file(context, context.file, context.form)


def import_file(context, body, kind):
    headers = {"Content-Type": kind}
    answer = context.platform.request("POST", "/maintenance-events/import", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    context.told = [json.loads(line) for line in answer.text.splitlines()]


@then('the log of "{device}" is: {entries}')
def log_is(context, device, entries):
    assert [told(event) for event in log_of(context, device)] == entries.split(", "), log_of(context, device)


@then('the log of "{device}" is empty')
def log_is_empty(context, device):
    assert log_of(context, device) == []


@then('the log of "{device}" has {count:d} event')
def log_has(context, device, count):
    assert len(log_of(context, device)) == count


@then("the second of them cost {cost:g} and was recorded by the engineer")
def second_cost(context, cost):
    event = context.platform.answer.json()["items"][1]
    engineer = context.platform.get("/me", by="engineer")["id"]
    assert (event["cost"], event["recorded_by"]) == (cost, f"user:{engineer}"), event


@then("the trail tells who recorded it and who took it out")
def trail_tells(context):
    target = {"target": f"device:{context.event['device_id']}"}
    entries = context.platform.get("/audit", by="admin", params=target)["items"]
    told_of = [entry for entry in entries if entry["details"].get("maintenance_event") == context.event["id"]]
    assert [entry["action"] for entry in told_of] == ["record_maintenance_event", "remove_maintenance_event"], entries
    assert {entry["actor"] for entry in told_of} == {context.event["recorded_by"]}, entries


@then('they are those of "{first}" and "{second}", in this order')
def are_those_of(context, first, second):
    expected = [context.platform.devices[name]["id"] for name in (first, second)]
    assert [event["device_id"] for event in context.found] == expected, context.found


@then("an engineer of another organisation finds no failures in the fleet")
def finds_none(context):
    assert context.elsewhere.get("/maintenance-events", by="engineer", params={"kind": "failure"})["items"] == []


@then("of its lines the ones that count are {first:d} and {second:d}")
def lines_that_count(context, first, second):
    created = [line["line"] for line in context.told if line["status"] == "created"]
    assert created == [first, second], context.told
