import json
import operator

from behave import given, then, when

from features.support.platform import Platform

REASONS = {
    "the shadow has another version": "shadow.version.conflict",
    "the shadow would be too large": "shadow.document.too_large",
    "devices only report": "shadow.desired.forbidden",
    "the device is not allowed": "identity.device.not_allowed",
    "only the device itself refuses": "shadow.refusal.forbidden",
}


def shadow_path(context, name, shadow="shadow"):
    return f"{context.platform.path_of(name)}/{shadow}"


def shadow_of(context, name):
    return context.platform.get(shadow_path(context, name))


@given('an operator wants "{name}" to be {state}')
@when('an operator wants "{name}" to be {state}')
def ask(context, name, state):
    body = {"state": {"desired": json.loads(state)}}
    context.platform.request("PATCH", shadow_path(context, name), json=body)


@when('an operator who read version {version:d} wants "{name}" to be {state}')
def ask_from_version(context, version, name, state):
    body = {"state": {"desired": json.loads(state)}, "version": version}
    context.platform.request("PATCH", shadow_path(context, name), json=body)


@when('an operator wants "{name}" to remember a text of {letters:d} letters')
def ask_too_much(context, name, letters):
    body = {"state": {"desired": {"text": "x" * letters}}}
    context.platform.request("PATCH", shadow_path(context, name), json=body)


@when('an operator no longer wants anything of "{name}"')
def ask_nothing(context, name):
    context.platform.request("PATCH", shadow_path(context, name), json={"state": {"desired": None}})


@when('an operator writes the shadow "{shadow}" of "{name}"')
def write_named(context, shadow, name):
    body = {"state": {"desired": {"written": True}}}
    context.platform.request("PATCH", shadow_path(context, name, f"shadows/{shadow}"), json=body)


@given('an operator deletes the shadow of "{name}"')
@when('an operator deletes the shadow of "{name}"')
def delete(context, name):
    context.platform.request("DELETE", shadow_path(context, name))


@given('"{name}" reports {state}')
@when('"{name}" reports {state}')
def report(context, name, state):
    body = {"state": {"reported": json.loads(state)}}
    context.platform.request("PATCH", shadow_path(context, name), by=f"device:{name}", json=body)


@when('"{name}" says that it shall be {state}')
def ask_oneself(context, name, state):
    body = {"state": {"desired": json.loads(state)}}
    context.platform.request("PATCH", shadow_path(context, name), by=f"device:{name}", json=body)


@when('"{name}" deletes its shadow')
def delete_oneself(context, name):
    context.platform.request("DELETE", shadow_path(context, name), by=f"device:{name}")


@when('"{name}" refuses "{pointer}" as "{code}": "{detail}"')
def refuse(context, name, pointer, code, detail):
    body = {"refusals": {pointer: {"code": code, "detail": detail}}}
    context.platform.request("PATCH", shadow_path(context, name), by=f"device:{name}", json=body)


@when('an operator refuses "{pointer}" for "{name}"')
def refuse_for(context, pointer, name):
    body = {"refusals": {pointer: {"code": "no"}}}
    context.platform.request("PATCH", shadow_path(context, name), json=body)


@then("the change is refused because {reason}")
def is_refused(context, reason):
    assert context.platform.refusal == REASONS[reason], context.platform.refusal


@then('"{name}" shall be {state}')
def shall_be(context, name, state):
    shadow = shadow_of(context, name)
    assert shadow["state"]["desired"] == json.loads(state), shadow


@then('"{name}" has yet to become {state}')
def has_yet_to_become(context, name, state):
    shadow = shadow_of(context, name)
    assert shadow["state"]["delta"] == json.loads(state), shadow


@then('"{name}" is all that it shall be')
def is_all_it_shall_be(context, name):
    shadow = shadow_of(context, name)
    assert "delta" not in shadow["state"], shadow


@then('the shadow of "{name}" is at version {version:d}')
def is_at_version(context, name, version):
    assert shadow_of(context, name)["version"] == version


@then('the shadow of "{name}" holds nothing at version {version:d}')
def holds_nothing(context, name, version):
    shadow = shadow_of(context, name)
    assert (shadow["state"], shadow["metadata"], shadow["version"]) == ({}, {}, version), shadow


@then('"{name}" has no shadow')
def has_no_shadow(context, name):
    context.platform.request("GET", shadow_path(context, name))
    assert context.platform.refusal == "shadow.document.not_found"


@then('"{name}" has the shadows "{shadows}"')
def has_shadows(context, name, shadows):
    items = context.platform.get(shadow_path(context, name, "shadows"))["items"]
    assert [item["name"] for item in items] == shadows.split(", "), items


def history_of(context, name, by="viewer"):
    return context.platform.get(shadow_path(context, name, "shadow/history"), by=by)["items"]


def requests_of(context, name, **query):
    return context.platform.get(shadow_path(context, name, "shadow/convergence"), params=query)["items"]


@then('the history of "{name}" reads')
def history_reads(context, name):
    device = f"device:{context.platform.devices[name]['id']}"
    read = [
        {
            "version": str(change["version"]),
            "kind": change["kind"],
            "who": name if change["actor"] == device else change["actor"].split(":")[0],
            "sent": change["patch"] and change["patch"]["state"],
        }
        for change in history_of(context, name)
    ]
    assert read == [row.as_dict() | {"sent": json.loads(row["sent"])} for row in context.table], read


@then('"{name}" reads {count:d} change in its own history')
def reads_own_history(context, name, count):
    assert len(history_of(context, name, by=f"device:{name}")) == count


@then('an operator of another organisation finds no history of "{name}"')
def finds_no_history(context, name):
    stranger = Platform(context.running.url)
    stranger.request("GET", shadow_path(context, name, "shadow/history"))
    stranger.http.close()
    assert stranger.refusal == "registry.device.not_found"


@then('at version {version:d} "{name}" was to be {state}')
def was_to_be(context, version, name, state):
    shadow = context.platform.get(shadow_path(context, name), params={"version": version})
    assert (shadow["version"], shadow["state"]["desired"]) == (version, json.loads(state)), shadow


@then('when version {version:d} was made "{name}" was to be {state}')
def was_to_be_then(context, version, name, state):
    (made_at,) = [change["at"] for change in history_of(context, name) if change["version"] == version]
    shadow = context.platform.get(shadow_path(context, name), params={"at": made_at})
    assert (shadow["version"], shadow["state"]["desired"]) == (version, json.loads(state)), shadow


@then('at version {version:d} "{name}" had no shadow')
def had_no_shadow(context, version, name):
    context.platform.request("GET", shadow_path(context, name), params={"version": version})
    assert context.platform.refusal == "shadow.document.not_found"


@then('"{name}" never had a version {version:d}')
def never_had_version(context, name, version):
    context.platform.request("GET", shadow_path(context, name), params={"version": version})
    assert context.platform.refusal == "shadow.version.not_found"


@then('this became of what "{name}" was asked')
def became(context, name):
    items = requests_of(context, name)
    told = [
        {
            "path": item["path"],
            "value": json.dumps(item["value"]),
            "asked": str(item["requested_version"]),
            "became": item["state"],
            "at": str(item.get("settled_version", "")),
        }
        for item in items
    ]
    newest_first = [item["requested_version"] for item in items]
    assert newest_first == sorted(newest_first, reverse=True), items
    in_order = operator.itemgetter("asked", "path")
    assert sorted(told, key=in_order) == sorted((row.as_dict() for row in context.table), key=in_order), told
    assert all((item["settled_at"] is None) == (item["state"] == "pending") for item in items), items


@then('"{name}" refused "{pointer}" as "{code}": "{detail}"')
def refused(context, name, pointer, code, detail):
    (item,) = requests_of(context, name, state="refused")
    assert (item["path"], item["refusal"]) == (pointer, {"code": code, "detail": detail}), item


@then('"{pointer}" is pending for "{name}"')
def is_pending(context, pointer, name):
    assert [item["path"] for item in requests_of(context, name, state="pending")] == [pointer]


@then('nothing is pending for "{name}"')
def nothing_is_pending(context, name):
    assert requests_of(context, name, state="pending") == []
