import json

from behave import given, then, when

from features.support.platform import Platform

REASONS = {
    "it has another version": "request.precondition.failed",
    "the caller's role does not allow it": "identity.role.too_low",
    "the device is not allowed": "identity.device.not_allowed",
    "there is nothing to take back": "assets.device_type.shipped",
}


def number(name, unit="", **bounds):
    return {"name": name, "unit": unit, "type": "number"} | bounds


def define(context, name, *metrics, **options):
    return context.platform.request("PUT", f"/device-types/{name}", json={"metrics": list(metrics)}, **options)


@given('the device "{name}" of the type "{device_type}" is registered')
def register_of_type(context, name, device_type):
    context.platform.register_device(name, device_type=device_type)
    assert context.platform.answer.status_code == 201, context.platform.answer.text


@given('an operator has defined the type "{name}" with the metric "{metric_name}" in "{unit}"')
@when('an operator defines the type "{name}" with the metric "{metric_name}" in "{unit}"')
def define_metric(context, name, metric_name, unit):
    answer = define(context, name, number(metric_name, unit))
    assert answer.status_code in {200, 201}, answer.text


@given('an operator has defined the types "{names}"')
def define_many(context, names):
    for name in names.split(", "):
        assert define(context, name).status_code == 201, context.platform.answer.text


@when('an operator who read version {version:d} defines the type "{name}" with the metric "{metric}" in "{unit}"')
def define_from_version(context, version, name, metric, unit):
    define(context, name, number(metric, unit), headers={"If-Match": f'"{version}"'})


@when('an engineer defines the type "{name}" with the metric "{metric_name}" in "{unit}"')
def define_as_engineer(context, name, metric_name, unit):
    define(context, name, number(metric_name, unit), by="engineer")


@when('"{device}" defines the type "{name}" with the metric "{metric_name}" in "{unit}"')
def define_as_device(context, device, name, metric_name, unit):
    define(context, name, number(metric_name, unit), by=f"device:{device}")


@when('an operator defines the type "{name}" with two metrics "{metric_name}"')
def define_twice_the_same(context, name, metric_name):
    define(context, name, number(metric_name), number(metric_name))


@when('an operator defines the type "{name}" with a temperature from {low:d} to {high:d}')
def define_range(context, name, low, high):
    define(context, name, number("temperature", "°C", min=low, max=high))


@when('an operator looks for the type "{name}"')
def look_for_type(context, name):
    context.platform.request("GET", f"/device-types/{name}")


@then("there is no such type")
def is_no_such_type(context):
    assert context.platform.refusal == "assets.device_type.not_found"


@then('the type "{name}" has the metric "{metric_name}" in "{unit}"')
def has_metric(context, name, metric_name, unit):
    assert context.platform.get(f"/device-types/{name}")["metrics"] == [number(metric_name, unit)]


@then('the type "{name}" is at version {version:d}')
def type_is_at_version(context, name, version):
    assert context.platform.get(f"/device-types/{name}")["version"] == version


@then("the definition is refused because {reason}")
def definition_is_refused(context, reason):
    assert context.platform.refusal == REASONS[reason], context.platform.refusal


@then('the definition is refused for its "{place}"')
def definition_is_refused_at(context, place):
    assert context.platform.refusal == "request.payload.invalid"
    assert place in context.platform.answer.json()["errors"], context.platform.answer.text


def names_seen_in(platform, *, shipped):
    items = platform.get("/device-types", by="engineer")["items"]
    return ", ".join(item["name"] for item in items if item["is_shipped"] == shipped)


@then('an engineer finds the types "{names}" beside the shipped ones')
def finds_types(context, names):
    assert names_seen_in(context.platform, shipped=False) == names


@then('an engineer finds the shipped types "{names}"')
def finds_shipped_types(context, names):
    assert names_seen_in(context.platform, shipped=True) == names


@then("a stranger finds the shipped types alone")
def stranger_finds_shipped_types(context):
    stranger = Platform(context.running.url)
    assert names_seen_in(stranger, shipped=False) == ""
    assert names_seen_in(stranger, shipped=True) == names_seen_in(context.platform, shipped=True)
    stranger.http.close()


@when('an {role} takes back what was said of the type "{name}"')
def take_back(context, role, name):
    context.platform.request("DELETE", f"/device-types/{name}", by=role)


@then('the type "{name}" is as it was shipped')
def is_as_shipped(context, name):
    assert context.platform.get(f"/device-types/{name}")["is_shipped"]


@then('the type "{name}" is not as it was shipped')
def is_not_as_shipped(context, name):
    assert not context.platform.get(f"/device-types/{name}")["is_shipped"]


@given('an operator has defined the type "{name}" with the properties schema')
def define_properties_schema(context, name):
    body = {"properties_schema": json.loads(context.text)}
    answer = context.platform.request("PUT", f"/device-types/{name}", json=body)
    assert answer.status_code in {200, 201}, answer.text


@when('an operator registers "{name}" of the type "{device_type}" with the properties {properties}')
def register_with_properties(context, name, device_type, properties):
    asset = {"properties": json.loads(properties)}
    context.platform.register_device(name, device_type=device_type, asset=asset)


@when('an operator changes what is said of "{name}" by {patch}')
def change_what_is_said(context, name, patch):
    asset = context.platform.get(f"{context.platform.path_of(name)}/asset")
    context.platform.request("PATCH", f"/assets/{asset['id']}", json={"properties": json.loads(patch)})


@then('the description is refused for its "{place}"')
def description_is_refused_at(context, place):
    assert context.platform.refusal == "request.payload.invalid", context.platform.refusal
    assert list(context.platform.answer.json()["errors"]) == [place], context.platform.answer.text


@then('what is said of "{name}" is {properties}')
def what_is_said(context, name, properties):
    asset = context.platform.get(f"{context.platform.path_of(name)}/asset")
    assert asset["properties"] == json.loads(properties), asset
