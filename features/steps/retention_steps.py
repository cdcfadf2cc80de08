import time
from datetime import UTC, datetime, timedelta

from behave import given, then, when

from features.support.platform import Platform

CLASSES = "/telemetry/retention-classes"
PATH = f"{CLASSES}/default"
# Every process has heard of a class by then.
DEADLINE_SECONDS = 60


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


@given('the platform\'s operator says that metrics like "{pattern}" are kept for {days:d} days')
def say_of_metrics(context, pattern, days):
    http = as_operator_of_platform(context)
    path = f"/api/v1{CLASSES}/short"
    answer = http.put(path, json={"metrics": pattern, "raw_days": days})
    assert answer.status_code in {200, 201}, answer.text
    context.add_cleanup(http.delete, path)


@when("a device sends vibration and temperature of ten days ago")
def send_old_ones(context):
    context.platform.register_device("pump-11")
    path = f"{context.platform.path_of('pump-11')}/telemetry"
    ts = datetime.now(UTC) - timedelta(days=10)
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        ts += timedelta(seconds=1)
        reading = {"ts": ts.isoformat(), "values": {"vibration.x": 1, "temperature": 21}}
        context.answer = context.platform.request("POST", path, by="device:pump-11", json=reading).json()
        if context.answer["rejected"]:
            return
    raise AssertionError(context.answer)


@then("its temperature is taken, and its vibration is rejected as expired")
def is_parted(context):
    assert (context.answer["stored"], context.answer["rejected"]) == (1, 1), context.answer
    assert [error["code"] for error in context.answer["errors"]] == ["telemetry.point.expired"]
