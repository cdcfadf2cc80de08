import json
from datetime import datetime, timedelta

from behave import given, then, when

from features.support.platform import Platform
from features.support.running import eventually


def path_of(platform, name):
    return f"/assets/{platform.assets[name]['id']}"


def history_of(platform, name):
    return platform.get(f"{path_of(platform, name)}/history")["items"]


def actor_of(platform, role):
    return f"user:{platform.get('/me', by=role)['id']}"


def change(platform, name, by="operator", **patch):
    answer = platform.request("PATCH", path_of(platform, name), by=by, json=patch)
    assert answer.status_code == 200, answer.text


@when('an admin moves "{name}" to "{parent}"')
def move_as_admin(context, name, parent):
    change(context.platform, name, by="admin", parent_id=context.platform.assets[parent]["id"])


@given('an operator has set the impeller of "{name}" to {first:d} and later to {second:d}')
def set_impeller_twice(context, name, first, second):
    for size in (first, second):
        change(context.platform, name, properties={"impeller": size})


@then('the history of the asset "{name}" reads')
def asset_history_reads(context, name):
    platform = context.platform
    names = {asset["id"]: name for name, asset in platform.assets.items()}
    read = []
    for told in history_of(platform, name):
        parent = told["patch"].get("parent_id")
        patch = told["patch"] | ({"parent_id": names[parent]} if parent else {})
        read.append((str(told["version"]), told["kind"], told["actor"], json.dumps(patch, sort_keys=True)))
    assert read == [
        (
            row["version"],
            row["kind"],
            actor_of(platform, row["who"]),
            json.dumps(json.loads(row["patch"]), sort_keys=True),
        )
        for row in context.table
    ], read


@then('at the time of version {version:d} "{name}" was in "{parent}" with an impeller of {size:d}')
def was_at_time(context, version, name, parent, size):
    (made_at,) = [told["at"] for told in history_of(context.platform, name) if told["version"] == version]
    check_then(context, name, {"at": made_at}, (version, parent, size))


@then('at version {version:d} "{name}" was in "{parent}" with an impeller of {size:d}')
def was_at_version(context, version, name, parent, size):
    check_then(context, name, {"version": version}, (version, parent, size))


def check_then(context, name, when_asked, expected):
    asset = context.platform.get(path_of(context.platform, name), by="engineer", params=when_asked)
    version, parent, size = expected
    assert asset["version"] == version, asset
    assert asset["parent_id"] == context.platform.assets[parent]["id"], asset
    assert asset["properties"] == {"impeller": size}, asset


@when('an engineer asks how "{name}" was a minute before it was added')
def ask_before(context, name):
    platform = context.platform
    before = datetime.fromisoformat(platform.assets[name]["created_at"]) - timedelta(minutes=1)
    platform.request("GET", path_of(platform, name), by="engineer", params={"at": before.isoformat()})


@when('an engineer asks for version {version:d} of "{name}"')
def ask_for_version(context, version, name):
    context.platform.request("GET", path_of(context.platform, name), by="engineer", params={"version": version})


@then("it is refused because the asset was never so")
def was_never_so(context):
    assert context.platform.answer.status_code == 404, context.platform.answer.text
    assert context.platform.refusal == "assets.version.not_found"


@then('the history of "{name}" has {count:d} versions, each of which can be seen')
def has_versions(context, name, count):
    told = history_of(context.platform, name)
    assert [each["version"] for each in told] == list(range(count, 0, -1)), told
    for each in told:
        asset = context.platform.get(path_of(context.platform, name), params={"version": each["version"]})
        assert len(asset["properties"]) == each["version"] - 1, asset


@then('the history of the asset of "{device}" begins with the operator')
def begins_with_operator(context, device):
    assert first_of(context.platform, device)["actor"] == actor_of(context.platform, "operator")


@then('the history of the asset of "{device}" begins with the provisioning key')
def begins_with_key(context, device):
    assert first_of(context.platform, device)["actor"].startswith("provisioning_key:")


def first_of(platform, device):
    path = f"{platform.path_of(device)}/asset"
    eventually(lambda: platform.request("GET", path).status_code == 200, within=10, what="it has an asset")
    platform.assets[device] = platform.get(path)
    (first,) = history_of(platform, device)
    assert first["kind"] == "added", first
    return first


@when('an engineer asks for the history of "{name}"')
def ask_for_history(context, name):
    context.platform.request("GET", f"{path_of(context.platform, name)}/history", by="engineer")


@when('an engineer of another organisation asks for the history of "{name}"')
def ask_for_history_from_elsewhere(context, name):
    stranger = Platform(context.running.url)
    path = f"{path_of(context.platform, name)}/history"
    context.platform.answer = stranger.request("GET", path, by="engineer")
    stranger.http.close()
