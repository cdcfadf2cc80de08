from uuid import uuid4

from behave import then, when


def ask(context, metric, interval, **wanted):
    body = {"metrics": [metric], "interval": interval} | wanted
    context.platform.request("POST", "/telemetry/query", by="engineer", json=body)


def device_id(context, name):
    return context.platform.path_of(name).rpartition("/")[2]


@when('an engineer asks for the average {metric} of "{one}" and "{other}" every {interval}')
def ask_for_two(context, metric, one, other, interval):
    ask(context, metric, interval, devices=[device_id(context, one), device_id(context, other)])


@when('an engineer asks for the average {metric} of "{name}" and a device that nobody knows every {interval}')
def ask_for_a_stranger(context, metric, name, interval):
    ask(context, metric, interval, devices=[device_id(context, name), str(uuid4())])


@when("an engineer asks for the average {metric} of the fleet every {interval}")
def ask_for_all(context, metric, interval):
    ask(context, metric, interval, filter={}, group_by="none")


def averages(context):
    assert context.platform.answer.status_code == 200, context.platform.answer.text
    return {
        each["group"]: [point["avg"] for point in each["points"]] for each in context.platform.answer.json()["series"]
    }


@then('the figures are {one:g} of "{name}" and {other:g} of "{another}"')
def figures_of_two(context, one, name, other, another):
    assert averages(context) == {device_id(context, name): [one], device_id(context, another): [other]}


@then("the figure of the fleet is {figure:g}")
def figure_of_fleet(context, figure):
    assert averages(context) == {None: [figure]}
