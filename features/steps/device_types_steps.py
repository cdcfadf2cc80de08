from behave import given, then, when

from features.support.platform import Platform

REASONS = {
    "it has another version": "request.precondition.failed",
    "the caller's role does not allow it": "identity.role.too_low",
    "the device is not allowed": "identity.device.not_allowed",
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


def names_seen_by(platform, who):
    return ", ".join(item["name"] for item in platform.get("/device-types", by=who)["items"])


@then('an engineer finds the types "{names}"')
def finds_types(context, names):
    assert names_seen_by(context.platform, "engineer") == names


@then("a stranger finds no type")
def stranger_finds_no_type(context):
    stranger = Platform(context.running.url)
    assert names_seen_by(stranger, "engineer") == ""
    stranger.http.close()
