from behave import given, then, when

from features.support.running import eventually


def keep(context, name, answer):
    assert answer.status_code == 201, answer.text
    context.integrations = {name: answer.json()}
    # A key that was used is one that the platform remembers.
    assert request(context, name, "GET", "/me").status_code == 200


def request(context, name, method, path, **options):
    headers = {"X-API-Key": context.integrations[name]["api_key"]}
    return context.platform.request(method, path, by="nobody", headers=headers, **options)


@given('an administrator has given the integration "{name}" a key as {role:w}')
@when('an administrator gives the integration "{name}" a key as {role:w}')
def give_key(context, name, role):
    body = {"label": name, "role": role}
    keep(context, name, context.platform.request("POST", "/api-keys", by="admin", json=body))


@given('"{user}" has given the integration "{name}" a key as {role:w}')
def give_key_as_user(context, user, name, role):
    body, [place] = {"label": name, "role": role}, context.people[user].sessions
    keep(context, name, context.people[user].request("POST", "/api-keys", place=place, json=body))


@when('an operator tries to give the integration "{name}" a key as {role:w}')
def try_to_give_key(context, name, role):
    context.platform.request("POST", "/api-keys", by="operator", json={"label": name, "role": role})


@when('an administrator revokes the key of "{name}"')
def revoke_key(context, name):
    context.platform.request("DELETE", f"/api-keys/{context.integrations[name]['id']}", by="admin")
    assert context.platform.answer.status_code == 204, context.platform.answer.text


@when('"{name}" registers the device "{device}"')
def register(context, name, device):
    body = {"serial_number": f"SN-{device}", "device_type": "pump", "name": device}
    context.platform.devices[device] = request(context, name, "POST", "/devices", json=body).json()


@when('"{name}" tries to change a password')
def try_to_change_password(context, name):
    change = {"password": {"old": "any password", "new": "any other password"}}
    request(context, name, "PATCH", "/me", json=change)


@when('"{name}" tries to log out')
def try_to_log_out(context, name):
    request(context, name, "POST", "/auth/logout")


def is_told_role(context, name, role):
    me = request(context, name, "GET", "/me").json()
    return (me["kind"], me["id"], me["role"]) == ("integration", context.integrations[name]["id"], role)


@given('"{name}" is told that it is an integration with the role {role:w}')
@then('"{name}" is told that it is an integration with the role {role:w}')
def is_told(context, name, role):
    assert is_told_role(context, name, role), context.platform.answer.text


@then('within {seconds:d} second "{name}" is told that it is an integration with the role {role:w}')
def is_soon_told(context, seconds, name, role):
    eventually(lambda: is_told_role(context, name, role), within=seconds, what=f"its role is {role}")


@then('within {seconds:d} second the key of "{name}" is refused')
def is_refused(context, seconds, name):
    eventually(
        lambda: request(context, name, "GET", "/me").status_code == 401, within=seconds, what="the key is refused"
    )


@then('nobody is shown the key of "{name}" again')
def is_not_shown_again(context, name):
    key = context.integrations[name]
    secret = key["api_key"].removeprefix(f"iot_{key['id']}_")
    for path in ("/api-keys", f"/api-keys/{key['id']}", "/audit"):
        shown = context.platform.request("GET", path, by="admin")
        assert shown.status_code == 200, shown.text
        assert key["id"] in shown.text
        assert "api_key" not in shown.json()
        assert secret not in shown.text
