import json

from behave import given, then, when

REASONS = {
    "the shadow has another version": "shadow.version.conflict",
    "the shadow would be too large": "shadow.document.too_large",
    "devices only report": "shadow.desired.forbidden",
    "the device is not allowed": "identity.device.not_allowed",
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


@when('an operator deletes the shadow of "{name}"')
def delete(context, name):
    context.platform.request("DELETE", shadow_path(context, name))


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
