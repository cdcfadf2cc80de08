import json

from behave import then, when

from features.support.platform import Platform

FORMS = {"lines of JSON": "application/x-ndjson", "a spreadsheet": "text/csv"}


def import_file(platform, body, kind="text/csv", *, by="operator", copy="false"):
    return platform.request(
        "POST", "/assets/import", by=by, params={"copy": copy}, content=body, headers={"Content-Type": kind}
    )


def told(platform):
    assert platform.answer.status_code == 200, platform.answer.text
    return [json.loads(line) for line in platform.answer.text.splitlines()]


def remember_assets(platform):
    """Know by their names the assets that are there."""
    for asset in platform.get("/assets", params={"limit": 500})["items"]:
        platform.assets[asset["name"]] = asset


def device_assets(platform, device):
    return platform.get(f"{platform.path_of(device)}/asset")


@when("an operator imports the assets")
def import_assets(context):
    import_file(context.platform, context.text.encode())
    context.told = told(context.platform)
    remember_assets(context.platform)


@when("a viewer imports the assets")
def import_as_viewer(context):
    import_file(context.platform, b"", by="viewer")


@when("an operator exports the assets as {form}")
def export_assets(context, form):
    context.form = FORMS[form]
    answer = context.platform.request("GET", "/assets/export", headers={"Accept": context.form})
    assert answer.status_code == 200, answer.text
    context.file = answer.content


@when("a viewer exports the assets")
def export_as_viewer(context):
    context.platform.request("GET", "/assets/export", by="viewer")


@when("an operator imports the exported assets")
def import_again(context):
    import_file(context.platform, context.file, context.form)
    context.told = told(context.platform)


@when('an operator says in a file that "{name}" is part of "{parent}"')
def move_by_file(context, name, parent):
    ids = {asset: context.platform.assets[asset]["id"] for asset in (name, parent)}
    import_file(context.platform, f"id,parent_id\n{ids[name]},{ids[parent]}\n".encode())
    context.told = told(context.platform)


@when('an operator puts "{device}" into "{parent}"')
def put_device(context, device, parent):
    context.platform.assets[device] = device_assets(context.platform, device)
    platform = context.platform
    patch = {"parent_id": platform.assets[parent]["id"]}
    answer = platform.request("PATCH", f"/assets/{platform.assets[device]['id']}", json=patch)
    assert answer.status_code == 200, answer.text


@when('an operator of another organisation that has "{device}" copies them')
def copy_elsewhere(context, device):
    context.elsewhere = Platform(context.running.url)
    context.add_cleanup(context.elsewhere.http.close)
    context.elsewhere.register_device(device)
    # Of what is in the file, the other device is nowhere.
    import_file(context.elsewhere, context.file, context.form, copy="true")
    context.told = told(context.elsewhere)
    remember_assets(context.elsewhere)


@then("its lines are told: {statuses}")
def lines_are_told(context, statuses):
    assert [line["status"] for line in context.told] == statuses.split(", "), context.told


@then("every line is unchanged")
def every_line_is_unchanged(context):
    assert {line["status"] for line in context.told} == {"unchanged"}, context.told
    # The devices have assets, too.
    assert len(context.told) == len(context.platform.assets) + len(context.platform.devices), context.told


@then('the rated power of "{device}" is {power:g}')
def rated_power_is(context, device, power):
    assert device_assets(context.platform, device)["properties"]["rated_power_kw"] == power


@then('there "{name}" has "{below}" below it')
def there_is_below(context, name, below):
    page = context.elsewhere.get(f"/assets/{context.elsewhere.assets[name]['id']}/descendants")
    assert ", ".join(asset["name"] for asset in page["items"]) == below, context.told
