import json
import os
import subprocess
import sys

import psycopg
from behave import given, then, when

from features.support.platform import Platform
from features.support.running import eventually
from iotsphere.localstack.addresses import find_addresses

GUARD_OFF = "ALTER TABLE audit_entries DISABLE TRIGGER USER"
GUARD_ON = "ALTER TABLE audit_entries ENABLE TRIGGER USER"


def entries_about(platform, name, *, by="admin"):
    return platform.get("/audit", by=by, params={"target": f"device:{platform.devices[name]['id']}"})["items"]


def actor_of(platform, role):
    return f"user:{platform.get('/me', by=role)['id']}"


@when('a viewer tries to suspend the device "{name}"')
def viewer_suspends(context, name):
    context.platform.request("PATCH", context.platform.path_of(name), by="viewer", json={"status": "suspended"})


@then('the trail tells the administrator that an operator registered and changed "{name}"')
def registered_and_changed(context, name):
    entries = entries_about(context.platform, name)
    assert [(entry["action"], entry["outcome"]) for entry in entries] == [
        ("register_device", "done"),
        ("change_device", "done"),
    ]
    assert {entry["actor"] for entry in entries} == {actor_of(context.platform, "operator")}
    assert entries[-1]["details"] == {"status": "suspended"}


@then('the trail tells the administrator that a viewer was refused to change "{name}"')
def viewer_was_refused(context, name):
    refused = entries_about(context.platform, name)[-1]
    assert (refused["action"], refused["outcome"]) == ("change_device", "refused")
    assert refused["code"] == "identity.role.too_low"
    assert refused["actor"] == actor_of(context.platform, "viewer")
    assert refused["address"] == "127.0.0.1"
    assert refused["correlation_id"]


@then('the trail tells the administrator once that "{name}" became active by itself')
def became_active(context, name):
    device = f"device:{context.platform.devices[name]['id']}"
    entries = [entry for entry in entries_about(context.platform, name) if entry["actor"] == device]
    assert [(entry["action"], entry["outcome"]) for entry in entries] == [("get_device", "done")]
    assert entries[0]["details"] == {"status": "active"}


@when('the administrator of another organisation looks for "{name}" in the trail')
def look_from_elsewhere(context, name):
    other = Platform(context.running.url)
    other.devices = context.platform.devices
    context.found = entries_about(other, name)
    other.http.close()


@then("nothing is found there")
def nothing_found(context):
    assert context.found == []


@then('within 5 seconds every entry about "{name}" has its place in the chain')
def soon_sealed(context, name):
    def are_sealed():
        entries = entries_about(context.platform, name)
        return entries and all({"position", "seal"} <= entry.keys() for entry in entries)

    eventually(are_sealed, within=5, what="the entries are sealed")


@given("its entries are sealed")
def own_entries_sealed(context):
    def are_sealed():
        entries = context.own_platform.get("/audit", by="admin")["items"]
        return all("position" in entry for entry in entries)

    eventually(are_sealed, within=10, what="the entries are sealed")


@given("the end of its chain is noted")
def note_end(context):
    ask_doctor(context)
    [chain] = [finding for finding in context.findings if finding["check"] == "chain"]
    context.noted = chain["detail"].rpartition(" ")[2]


@when('somebody with rights on the database makes another the one who registered "{name}"')
def alter_entry(context, name):
    [entry] = [entry for entry in entries_about(context.own_platform, name) if entry["action"] == "register_device"]
    context.altered = entry["id"]
    with psycopg.connect(find_addresses(context.own.data_dir).registry_dsn) as connection:
        connection.execute(GUARD_OFF)
        connection.execute("UPDATE audit_entries SET actor = 'user:else' WHERE id = %s", (entry["id"],))
        connection.execute(GUARD_ON)


@when("somebody with rights on the database removes the latest entry")
def remove_latest(context):
    with psycopg.connect(find_addresses(context.own.data_dir).registry_dsn) as connection:
        connection.execute(GUARD_OFF)
        connection.execute("DELETE FROM audit_entries WHERE position = (SELECT max(position) FROM audit_entries)")
        connection.execute(GUARD_ON)


@when("the doctor is asked about it")
def ask_doctor(context):
    noted = ["--audit-head", context.noted] if hasattr(context, "noted") else []
    command = [sys.executable, "-m", "iotsphere", "doctor", "--json", "--data-dir", str(context.own.data_dir)]
    asked = subprocess.run(
        [*command, *noted], capture_output=True, text=True, timeout=60, check=False, env=dict(os.environ)
    )
    context.status = asked.returncode
    assert not asked.stderr, asked.stderr
    context.findings = json.loads(asked.stdout)["findings"]


@then("the doctor finds all four stores, the shadows, the signing keys, the audit trail and the archive well")
def all_well(context):
    assert context.status == 0, context.findings
    assert all(finding["is_well"] for finding in context.findings)
    subjects = {finding["subject"] for finding in context.findings}
    assert subjects == {
        "registry",
        "assets",
        "telemetry",
        "shadow",
        "shadow journal",
        "signing keys",
        "audit trail",
        "archive",
    }


@then("the doctor names that entry, and ends with status 1")
def names_entry(context):
    [wrong] = [finding for finding in context.findings if not finding["is_well"]]
    assert context.altered in wrong["detail"]
    assert context.status == 1


@then("the doctor says that the noted end is no longer there")
def noted_end_is_gone(context):
    [wrong] = [finding for finding in context.findings if not finding["is_well"]]
    assert wrong["check"] == "noted end"
    assert context.status == 1
