import json

from behave import then, when

from features.support.platform import Platform

FORMS = {"lines of JSON": "application/x-ndjson", "a spreadsheet": "text/csv"}
OUTCOMES = {
    "created": None,
    "serial number taken": "registry.device.serial_number_taken",
    "unreadable": "request.json.malformed",
}
KEPT = ("serial_number", "device_type", "name", "labels", "status")


def import_file(context, body, kind="application/x-ndjson", *, by="operator", platform=None, key=None):
    headers = {"Content-Type": kind} | ({"Idempotency-Key": key} if key else {})
    platform = platform or context.platform
    context.file = body
    context.platform.answer = platform.request("POST", "/devices/import", by=by, content=body, headers=headers)
    context.told = [json.loads(line) for line in context.platform.answer.text.splitlines()]


def pumps(count):
    return [{"serial_number": f"SN-{number}", "device_type": "pump"} for number in range(count)]


def file_of(devices):
    return "".join(json.dumps(device) + "\n" for device in devices).encode()


def devices_of(platform):
    exported = platform.request("GET", "/devices/export").text.splitlines()
    devices = [json.loads(line) for line in exported]
    return sorted(([device[name] for name in KEPT] for device in devices), key=str)


@when("an operator imports a file of {count:d} devices")
def import_many(context, count):
    import_file(context, file_of(pumps(count)))


@when("a viewer imports a file of {count:d} devices")
def import_as_viewer(context, count):
    import_file(context, file_of(pumps(count)), by="viewer")


@when("an operator imports the same file again")
def import_again(context):
    import_file(context, context.file)


@when("an operator imports a file of {count:d} devices under an idempotency key, twice")
def import_twice(context, count):
    context.answers = []
    for _ in range(2):
        import_file(context, file_of(pumps(count)), key="the import")
        context.answers.append(context.platform.answer)


@when('an operator imports a new device, the serial number "{taken}", a broken line and a new device')
def import_mixed(context, taken):
    first, second = pumps(2)
    import_file(context, file_of([first, first | {"serial_number": taken}]) + b"{broken\n" + file_of([second]))


@when('an operator imports a spreadsheet with the columns "{columns}" and the row "{row}"')
def import_spreadsheet(context, columns, row):
    lines = (",".join(cell.strip() for cell in line.split(",")) for line in (columns, row))
    import_file(context, "\r\n".join(lines).encode(), "text/csv")
    context.told = context.told if context.platform.answer.status_code == 200 else []


@when("an operator exports all devices as {form}")
def export_devices(context, form):
    context.form = FORMS[form]
    context.platform.request("GET", "/devices/export", headers={"Accept": context.form})


@when("a viewer exports all devices")
def export_as_viewer(context):
    context.platform.request("GET", "/devices/export", by="viewer")


@when("an operator of another organisation imports that file")
def import_elsewhere(context):
    context.elsewhere = Platform(context.running.url)
    import_file(context, context.platform.answer.content, context.form, platform=context.elsewhere)


@then("every line of it is created")
def every_line_is_created(context):
    assert context.told, context.platform.answer.text
    assert {line["status"] for line in context.told} == {"created"}, context.told


@then("every line of it is refused because the serial number is taken")
def every_line_is_taken(context):
    assert {line.get("code") for line in context.told} == {OUTCOMES["serial number taken"]}, context.told


@then("the lines are told: {outcomes}")
def lines_are_told(context, outcomes):
    expected = [OUTCOMES[outcome] for outcome in outcomes.split(", ")]
    assert [line.get("code") for line in context.told] == expected, context.told
    assert [line["line"] for line in context.told] == list(range(1, len(expected) + 1))


@then("the device of the last line has an asset and an empty shadow")
def last_line_is_complete(context):
    path = f"/devices/{context.told[-1]['id']}"
    assert context.platform.get(f"{path}/asset")["name"] == f"SN-{len(context.told) - 1}"
    assert context.platform.get(f"{path}/shadow")["version"] == 0


@then(
    'the device with the serial number "{serial_number}" is called "{name}" and has the label "{key}" with the value '
    '"{value}"'
)
def is_called(context, serial_number, name, key, value):
    [device] = context.platform.get("/devices", params={"q": serial_number})["items"]
    assert (device["name"], device["labels"]) == (name, {key: value})


@then("the file is refused because a column is not known")
def column_is_refused(context):
    assert context.platform.refusal == "request.payload.invalid"
    assert list(context.platform.answer.json()["errors"].values()) == [["Unknown column."]]


@then("the organisation has no devices")
def has_no_devices(context):
    assert context.platform.get("/devices")["items"] == []


@then("both organisations have the same devices, names, labels and states")
def have_the_same(context):
    ours = devices_of(context.platform)
    assert len(ours) == 2
    assert devices_of(context.elsewhere) == ours
    context.elsewhere.http.close()


@then("both answers are the same, and there are {count:d} devices")
def answers_are_the_same(context, count):
    first, second = context.answers
    assert (first.status_code, first.content) == (second.status_code, second.content)
    assert len(context.platform.get("/devices")["items"]) == count
