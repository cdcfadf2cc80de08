from behave import given, then, when

from features.support.platform import Platform
from features.support.running import eventually

REFUSALS = {
    "the page leads on in another search": "request.cursor.malformed",
    "the predicate cannot be read": "assets.predicate.malformed",
    "the serial number is taken": "registry.device.serial_number_taken",
    "the device is suspended": "registry.device.suspended",
    "the credential is not valid": "identity.credential.invalid",
    "the request is forged": "identity.csrf.invalid",
    "a device may not": "identity.device.not_allowed",
    "the role is too low": "identity.role.too_low",
    "only the platform's operator may do it": "identity.role.not_platform_administrator",
    "nobody else could administer": "identity.user.last_administrator",
    "the old password is wrong": "identity.password.wrong",
    "only a user has a password": "identity.user.required",
    "there is no session": "identity.session.missing",
    "the name is taken": "identity.organisation.name_taken",
    "the credential was rotated already": "registry.credential.rotated",
    "there is no credential": "identity.credential.missing",
    "there is no such device": "registry.device.not_found",
    "there is no such asset": "assets.asset.not_found",
    "the asset belongs to a device": "assets.asset.bound_to_device",
    "the device has an asset already": "assets.asset.device_taken",
    "there is no such event": "assets.maintenance_event.not_found",
    "nothing can be below itself": "assets.asset.cycle",
    "something is below it": "assets.asset.has_children",
    "nothing has to do with itself": "assets.relationship.to_itself",
    "it has another version": "request.precondition.failed",
}


@given('the device "{name}" is registered')
@when('an operator registers the device "{name}"')
def register(context, name):
    context.platform.register_device(name)


@given('"{name}" is registered under the serial number "{serial_number}"')
@when('an operator registers "{name}" under the serial number "{serial_number}"')
def register_with_serial_number(context, name, serial_number):
    context.platform.register_device(name, serial_number=serial_number)


@given('the device "{name}" looks at itself')
@when('the device "{name}" looks at itself')
def look_at_itself(context, name):
    context.platform.request("GET", context.platform.path_of(name), by=f"device:{name}")


@given('the device "{name}" looks at itself again and again')
@when('the device "{name}" looks at itself again and again')
def look_at_itself_repeatedly(context, name):
    for _ in range(20):
        look_at_itself(context, name)
        assert context.platform.answer.status_code == 200, context.platform.answer.text


@given('an operator suspends the device "{name}"')
@when('an operator suspends the device "{name}"')
def suspend(context, name):
    context.platform.request("PATCH", context.platform.path_of(name), json={"status": "suspended"})


@when('an operator reactivates the device "{name}"')
def reactivate(context, name):
    context.platform.request("PATCH", context.platform.path_of(name), json={"status": "active"})


@when('an administrator revokes every key of "{name}"')
def revoke_keys(context, name):
    path = f"{context.platform.path_of(name)}/credentials"
    for credential in context.platform.get(path, by="admin")["items"]:
        context.platform.request("DELETE", f"{path}/{credential['id']}", by="admin")


@when('an operator of another organisation asks for the device "{name}"')
def ask_from_elsewhere(context, name):
    stranger = Platform(context.running.url)
    context.platform.answer = stranger.request("GET", context.platform.path_of(name))
    stranger.http.close()


@then("it is refused because {reason}")
def is_refused(context, reason):
    assert context.platform.refusal == REFUSALS[reason], context.platform.refusal


@then('within a second the device "{name}" is refused because {reason}')
def is_refused_soon(context, name, reason):
    def is_refused_now():
        look_at_itself(context, name)
        return context.platform.answer.status_code >= 400 and context.platform.refusal == REFUSALS[reason]

    eventually(is_refused_now, within=1, what=f"it is refused because {reason}")


@then('within a second the device "{name}" is let in')
def is_let_in_soon(context, name):
    def is_let_in_now():
        look_at_itself(context, name)
        return context.platform.answer.status_code == 200

    eventually(is_let_in_now, within=1, what="it is let in")


@then('the device "{name}" is refused from then on')
def is_refused_for_good(context, name):
    for _ in range(5):
        look_at_itself(context, name)
        assert context.platform.answer.status_code == 401, context.platform.answer.text


@then("it is let in")
def is_let_in(context):
    assert context.platform.answer.status_code == 200, context.platform.answer.text


@then('the device "{name}" is provisioned and was never seen')
def is_provisioned(context, name):
    device = context.platform.get(context.platform.path_of(name))
    assert (device["status"], device["connectivity"], device["last_seen_at"]) == ("provisioned", "unknown", None)


@then('the device "{name}" is active and online')
def is_active(context, name):
    device = context.platform.get(context.platform.path_of(name))
    assert (device["status"], device["connectivity"]) == ("active", "online")


@then('within 2 seconds the device "{name}" has an asset')
def has_an_asset(context, name):
    path = f"{context.platform.path_of(name)}/asset"
    eventually(
        lambda: context.platform.request("GET", path).status_code == 200,
        within=2,
        what="it has an asset",
    )


@then('the shadow of "{name}" is empty at version 0')
def has_an_empty_shadow(context, name):
    shadow = context.platform.get(f"{context.platform.path_of(name)}/shadow")
    assert (shadow["state"], shadow["version"]) == ({}, 0)


@then('it is refused for its "{field}"')
def is_refused_for(context, field):
    assert context.platform.refusal == "request.payload.invalid"
    assert list(context.platform.answer.json()["errors"]) == [field], context.platform.answer.text
