from behave import given, then, when

from features.support.browser import Browser
from features.support.person import Person, show_refresh_token

NEW_PASSWORD = "another password for the tests"


def person(context, name) -> Person:
    return context.people[name]


@given('the {role:w} "{name}" is logged in at the {place:w}')
def is_logged_in(context, role, name, place):
    context.people = {name: Person(context.platform, name, role)}
    person(context, name).log_in(place)


@given('the {role:w} "{name}" is logged in at the {place:w} and with a browser')
def is_logged_in_with_browser(context, role, name, place):
    is_logged_in(context, role, name, place)
    context.browser = Browser(context.running.url)
    context.add_cleanup(context.browser.http.close)
    context.browser.log_in(person(context, name).email, person(context, name).password)
    is_still_logged_in_with_browser(context, name)


@given('"{name}" is logged in on the {place:w}')
def is_logged_in_elsewhere(context, name, place):
    person(context, name).log_in(place)


@when('an administrator makes "{name}" a viewer')
def make_viewer(context, name):
    context.platform.request("PATCH", person(context, name).path, by="admin", json={"role": "viewer"})
    assert context.platform.answer.json()["role"] == "viewer", context.platform.answer.text


@when('an administrator removes "{name}"')
def remove(context, name):
    context.platform.request("DELETE", person(context, name).path, by="admin")
    assert context.platform.answer.status_code == 204, context.platform.answer.text


@when('an administrator sets a new password for "{name}"')
def set_password(context, name):
    user = person(context, name)
    context.platform.request("PATCH", user.path, by="admin", json={"password": NEW_PASSWORD})
    assert context.platform.answer.status_code == 200, context.platform.answer.text


def own_path(context):
    return f"/users/{context.platform.get('/me', by='admin')['id']}"


@when("the only administrator makes themselves an operator")
def give_up(context):
    context.platform.request("PATCH", own_path(context), by="admin", json={"role": "operator"})


@when("the only administrator removes themselves")
def remove_oneself(context):
    context.platform.request("DELETE", own_path(context), by="admin")


@when("the administrator who was there first removes themselves")
def first_removes_oneself(context):
    remove_oneself(context)
    assert context.platform.answer.status_code == 204, context.platform.answer.text


@when('"{name}" removes themselves from the {place:w}')
def removes_oneself(context, name, place):
    person(context, name).request("DELETE", person(context, name).path, place=place)


@when('"{name}" registers the device "{device}" from the {place:w}')
def register(context, name, device, place):
    body = {"serial_number": f"SN-{device}", "device_type": "pump", "name": device}
    person(context, name).request("POST", "/devices", place=place, json=body)


def change_password(context, name, place, old):
    change = {"password": {"old": old, "new": NEW_PASSWORD}}
    person(context, name).request("PATCH", "/me", place=place, json=change)


@when('"{name}" changes the password at the {place:w}')
def change_own_password(context, name, place):
    change_password(context, name, place, person(context, name).password)
    assert context.platform.answer.status_code == 200, context.platform.answer.text


@when('somebody at the {place:w} tries to change the password of "{name}" without knowing the old one')
def change_password_without_the_old(context, place, name):
    change_password(context, name, place, "not the password")


@given("somebody has copied the refresh token from the {place:w}")
def copy_refresh_token(context, place):
    [context.copied] = [user.sessions[place]["refresh_token"] for user in context.people.values()]


@when('the {place:w} gets "{name}" a new pair of tokens')
def renew(context, place, name):
    assert person(context, name).renew(place).status_code == 200


@when("somebody shows the refresh token that was copied")
def show_copied(context):
    show_refresh_token(context.platform, context.copied)


@then('"{name}" is still logged in at the {place:w}')
@then('"{name}" is still logged in on the {place:w}')
def is_still_logged_in(context, name, place):
    assert person(context, name).statuses(place) == (200, 200)


@then('"{name}" is logged out at the {place:w}')
@then('"{name}" is logged out on the {place:w}')
def is_logged_out(context, name, place):
    assert person(context, name).statuses(place) == (401, 401)


@then('"{name}" is still logged in with the browser')
def is_still_logged_in_with_browser(context, name):
    me = context.browser.http.get("/api/v1/me")
    assert (me.status_code, me.json().get("email")) == (200, person(context, name).email), me.text


@then('"{name}" is logged out of the browser')
def is_logged_out_of_browser(context, name):  # noqa: ARG001
    me = context.browser.http.get("/api/v1/me")
    assert me.status_code == 401, me.text
    context.browser.open("/")
    assert context.browser.title.startswith("Log in"), context.browser.text


@then('"{name}" cannot log in')
def cannot_log_in(context, name):
    user = person(context, name)
    assert context.platform.log_in(user.email, user.password).status_code == 401


@then('"{name}" logs in with the new password alone')
def logs_in_with_new_password(context, name):
    cannot_log_in(context, name)
    answer = context.platform.log_in(person(context, name).email, NEW_PASSWORD)
    assert answer.status_code == 200, answer.text


@then("the administrator can still list the users")
def can_still_administer(context):
    context.platform.get("/users", by="admin")
