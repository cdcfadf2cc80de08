import json

from behave import given, then


@given('an operator has defined the type "{name}" with the shadow schema')
def define_schema(context, name):
    body = {"shadow_schema": json.loads(context.text)}
    answer = context.platform.request("PUT", f"/device-types/{name}", json=body)
    assert answer.status_code in {200, 201}, answer.text


@then('the change is refused for its "{place}"')
def change_is_refused_at(context, place):
    assert context.platform.refusal == "request.payload.invalid", context.platform.refusal
    assert list(context.platform.answer.json()["errors"]) == [place], context.platform.answer.text


def marks_of(context, name):
    return context.platform.get(f"{context.platform.path_of(name)}/shadow").get("violations", {}).get("reported", [])


@then('the shadow of "{name}" is marked at "{place}"')
def is_marked(context, name, place):
    assert [violation["path"] for violation in marks_of(context, name)] == [place]


@then('the shadow of "{name}" is not marked')
def is_not_marked(context, name):
    assert marks_of(context, name) == []
