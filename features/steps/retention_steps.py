from behave import then, when

from features.support.platform import Platform

PATH = "/telemetry/retention-classes/default"


def as_operator_of_platform(context):
    http = Platform.log_in_as_platform_administrator(context.running.url)
    context.add_cleanup(http.close)
    return http


@when("the platform's operator says that readings are kept for {days:d} days")
def say_how_long(context, days):
    answer = as_operator_of_platform(context).put(f"/api/v1{PATH}", json={"raw_days": days})
    assert answer.status_code == 200, answer.text


@when("our administrator says that readings are kept for {days:d} day")
def try_to_say(context, days):
    context.platform.request("PUT", PATH, by="admin", json={"raw_days": days})


@then("readings are kept for {days:d} days")
def are_kept(context, days):
    said = as_operator_of_platform(context).get(f"/api/v1{PATH}")
    assert said.json()["raw_days"] == days, said.text


@then("a reading of ten years ago is taken")
def old_one_is_taken(context):
    context.platform.register_device("boiler-7")
    reading = {"ts": "2016-03-04T10:00:00Z", "values": {"temperature": 21}}
    path = f"{context.platform.path_of('boiler-7')}/telemetry"
    answer = context.platform.request("POST", path, by="device:boiler-7", json=reading)
    assert answer.json()["stored"] == 1, answer.text
