import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from uuid import uuid4

from behave import given, then, when

from features.support.platform import PASSWORD, Platform
from features.support.running import eventually

NDJSON = {"Content-Type": "application/x-ndjson"}
FIRST = 1_700_000_000_000
REASONS = {
    "it is torn": "request.json.malformed",
    "there is no such device": "registry.device.not_found",
    "the device is suspended": "registry.device.suspended",
}


def line(context, name, number):
    return {
        "device_id": context.platform.devices[name]["id"],
        "ts": FIRST + number,
        "values": {"temperature": number},
    }


def stream(context, lines, key):
    body = "".join((content if isinstance(content, str) else json.dumps(content)) + "\n" for content in lines)
    headers = NDJSON | {"X-API-Key": key}
    context.platform.request("POST", "/telemetry", by="nobody", content=body.encode(), headers=headers)


def key_of(context, gateway):
    return context.integrations[gateway]["api_key"]


@given('"{gateway}" streams {count:d} readings of "{one}" and "{other}"')
@when('"{gateway}" streams {count:d} readings of "{one}" and "{other}"')
def stream_many(context, gateway, count, one, other):
    lines = [line(context, (one, other)[number % 2], number) for number in range(count)]
    stream(context, lines, key_of(context, gateway))


@when('"{name}" itself streams {count:d} readings of "{one}" and "{other}"')
def stream_as_device(context, name, count, one, other):
    lines = [line(context, (one, other)[number % 2], number) for number in range(count)]
    stream(context, lines, context.platform.key_of(name))


@when('"{gateway}" streams a reading of "{one}", a torn line and a reading of "{other}"')
def stream_torn(context, gateway, one, other):
    stream(context, [line(context, one, 0), '{"device_id"', line(context, other, 1)], key_of(context, gateway))


@when('"{gateway}" streams readings of "{one}" and of a device that nobody knows')
def stream_unknown(context, gateway, one):
    unknown = line(context, one, 1) | {"device_id": str(uuid4())}
    stream(context, [line(context, one, 0), unknown], key_of(context, gateway))


@when('"{gateway}" streams a present reading of "{one}" and an old one of "{other}"')
def stream_present(context, gateway, one, other):
    present = line(context, one, 0)
    del present["ts"]
    stream(context, [present, line(context, other, 0)], key_of(context, gateway))


@then('"{name}" is shown as online')
def is_online(context, name):
    eventually(lambda: shown(context, name)["connectivity"] == "online", within=15, what=f"{name} is online")


@then('"{name}" was last seen when its reading was taken')
def was_seen(context, name):
    taken_at = "2023-11-14T22:13:20.000000Z"
    eventually(lambda: shown(context, name)["last_seen_at"] == taken_at, within=15, what=f"{name} was seen")
    assert shown(context, name)["connectivity"] == "offline"


def shown(context, name):
    return context.platform.request("GET", f"/devices/{context.platform.devices[name]['id']}").json()


@then("{count:d} value of the stream is {outcome}")
@then("{count:d} values of the stream are {outcome}")
def became(context, count, outcome):
    assert context.platform.answer.status_code == 201, context.platform.answer.text
    assert context.platform.answer.json()[outcome] == count, context.platform.answer.text


@then("line {number:d} is rejected because {reason}")
def line_is_rejected(context, number, reason):
    error = context.platform.answer.json()["errors"][0]
    assert (error["line"], error["code"]) == (number, REASONS[reason]), error


@when('an operator exports "{one}" and "{other}" as {suffix}')
def export(context, one, other, suffix):
    folder = tempfile.TemporaryDirectory(prefix="iotsphere-export-")
    context.add_cleanup(folder.cleanup)
    context.exported = Path(folder.name) / f"points.{suffix}"
    serial_numbers = [context.platform.devices[name]["serial_number"] for name in (one, other)]
    status, report = run_command(context, context.platform, "export", *serial_numbers, "-o", context.exported)
    assert status == 0, report


@when("another organisation imports the file")
def import_elsewhere(context):
    if not hasattr(context, "elsewhere"):
        context.elsewhere = Platform(context.running.url)
    imported = ("import", context.exported, "--device-type", "pump")
    status, context.imported = run_command(context, context.elsewhere, *imported)
    assert status == 0, context.imported


@then('it has the same points of "{one}" and "{other}"')
def has_the_same(context, one, other):
    for name in (one, other):
        points = points_of(context.platform, name)
        assert sum(map(len, points.values())) >= 500
        assert points_of(context.elsewhere, name) == points


@then("all that was imported were duplicates")
def all_duplicates(context):
    totals = context.imported["totals"]
    assert totals["received"] == totals["duplicates"] > 0, totals


def points_of(platform, name):
    [device] = platform.get("/devices", params={"q": f"SN-{name}"})["items"]
    answer = platform.get(f"/devices/{device['id']}/telemetry", params={"limit": 50_000})
    return {series["metric"]: series["points"] for series in answer["series"]}


def run_command(context, platform, *arguments):
    command = [sys.executable, "-m", "iotsphere", *map(str, arguments), "--json", "--url", context.running.url]
    who = {"IOTSPHERE_ADMIN_EMAIL": platform.email_of("admin"), "IOTSPHERE_ADMIN_PASSWORD": PASSWORD}
    done = subprocess.run(command, env=os.environ | who, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)
