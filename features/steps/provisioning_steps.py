from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

from behave import given, then, when

from features.support.running import eventually

YEAR_2100 = "2100-01-01T00:00:00Z"


def provision(context, serial_number, **headers):
    headers |= {"X-Provisioning-Key": context.provisioning_key["provisioning_key"]}
    body = {"serial_number": serial_number}
    return context.platform.request("POST", "/provision", by="nobody", headers=headers, json=body)


def come_in(context, name, **more):
    answer = provision(context, more.pop("serial_number", f"SN-{name}"), **more)
    if answer.status_code == 201:
        context.platform.remember_device(name, answer.json()["device"], answer.json()["api_key"])
    return answer


@given('an administrator has made a provisioning key for {count:d} devices of the type "{device_type}"')
def make_provisioning_key(context, count, device_type):
    body = {"device_type": device_type, "max_devices": count, "expires_at": YEAR_2100}
    answer = context.platform.request("POST", "/provisioning-keys", by="admin", json=body)
    assert answer.status_code == 201, answer.text
    context.provisioning_key = answer.json()


@given('the device "{name}" lets itself in with the provisioning key')
@when('the device "{name}" lets itself in with the provisioning key')
def let_in(context, name):
    come_in(context, name)


@when('the device "{name}" lets itself in under the serial number "{serial_number}"')
def let_in_under_serial_number(context, name, serial_number):
    come_in(context, name, serial_number=serial_number)


@when('the device "{name}" lets itself in with the provisioning key and loses the answer')
def let_in_and_lose_answer(context, name):
    context.lost = come_in(context, name, **{"Idempotency-Key": name}).json()


@when('the device "{name}" lets itself in again')
def let_in_again(context, name):
    come_in(context, name, **{"Idempotency-Key": name})


@then("it is given the same key")
def is_given_the_same_key(context):
    assert context.platform.answer.status_code == 201, context.platform.answer.text
    assert context.platform.answer.json() == context.lost


@when("{count:d} devices let themselves in at once with the provisioning key")
def let_in_at_once(context, count):
    with ThreadPoolExecutor(count) as devices:
        context.answers = list(devices.map(lambda _: provision(context, str(uuid4())), range(count)))


@then("{made:d} of them are in and {refused:d} are refused because the provisioning key is spent")
def so_many_are_in(context, made, refused):
    statuses = [answer.status_code for answer in context.answers]
    codes = [answer.json().get("code") for answer in context.answers]
    assert (statuses.count(201), codes.count("registry.provisioning_key.spent")) == (made, refused), codes


@then("the provisioning key has made {count:d} devices")
def has_made(context, count):
    key = context.platform.get(f"/provisioning-keys/{context.provisioning_key['id']}", by="admin")
    assert key["provisioned"] == count, key


@when("an administrator revokes the provisioning key")
def revoke_provisioning_key(context):
    context.platform.request("DELETE", f"/provisioning-keys/{context.provisioning_key['id']}", by="admin")


@when("a stranger tries to let a device in")
def try_to_let_in(context):
    context.platform.request("POST", "/provision", by="nobody", json={"serial_number": "SN-1"})


@then('the device "{name}" is a "{device_type}" and was never seen')
def is_a(context, name, device_type):
    device = context.platform.get(context.platform.path_of(name))
    assert (device["device_type"], device["status"], device["last_seen_at"]) == (device_type, "provisioned", None)


@then('the device "{name}" is active and was never seen')
def is_active_and_unseen(context, name):
    device = context.platform.get(context.platform.path_of(name))
    shown = (device["status"], device["connectivity"], device["last_seen_at"])
    assert shown == ("active", "unknown", None), shown


@given('the device "{name}" has a key')
def has_a_key(context, name):
    context.platform.register_device(name)
    path = f"{context.platform.path_of(name)}/credentials"
    context.old = context.platform.request("POST", path, by="admin", json={"label": "workshop"}).json()


def rotate(context, name, grace, by):
    path = f"{context.platform.path_of(name)}/credentials/{context.old['id']}/rotate"
    answer = context.platform.request("POST", path, by=by, json={"grace_seconds": grace})
    if answer.status_code == 201:
        context.new = answer.json()


@when('an administrator rotates the key of "{name}" with a grace of {grace:d} seconds')
def rotate_with_grace(context, name, grace):
    rotate(context, name, grace, "admin")


@when('an operator rotates the key of "{name}"')
def rotate_as_operator(context, name):
    rotate(context, name, 0, "operator")


def status_with(context, name, issued):
    headers = {"X-API-Key": issued["api_key"]}
    return context.platform.request("GET", context.platform.path_of(name), by="nobody", headers=headers).status_code


@then('the old key of "{name}" works')
def old_key_works(context, name):
    assert status_with(context, name, context.old) == 200


@then('the new key of "{name}" works')
def new_key_works(context, name):
    assert status_with(context, name, context.new) == 200


@then('within {seconds:d} seconds the old key of "{name}" is refused')
def old_key_is_refused(context, name, seconds):
    eventually(lambda: status_with(context, name, context.old) == 401, within=seconds, what="the old key is refused")


@then('within {seconds:d} seconds the device "{name}" is turned away from itself, its shadow and its telemetry')
def is_turned_away(context, name, seconds):
    path = context.platform.path_of(name)

    def codes():
        for rest in ("", "/shadow", "/telemetry/latest"):
            context.platform.request("GET", path + rest, by=f"device:{name}")
            yield context.platform.answer.json().get("code")

    eventually(lambda: set(codes()) == {"registry.device.suspended"}, within=seconds, what="it is turned away")


@then('within {seconds:d} seconds the device "{name}" is let in')
def is_let_in_within(context, name, seconds):
    eventually(
        lambda: (
            context.platform.request("GET", context.platform.path_of(name), by=f"device:{name}").status_code == 200
        ),
        within=seconds,
        what="it is let in",
    )
