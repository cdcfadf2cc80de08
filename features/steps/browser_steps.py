from behave import given, then, when

from features.support.browser import Browser
from features.support.platform import PASSWORD

LIVES = {"an hour": 3600, "30 days": 30 * 24 * 3600}


def browser_of(context) -> Browser:
    if "browser" not in context:
        context.browser = Browser(context.running.url)
        context.add_cleanup(context.browser.http.close)
    return context.browser


def operators_email(context) -> str:
    context.platform.credential_of("operator")
    return context.platform.email_of("operator")


@given("a browser that wants to see the first page")
def open_first_page(context):
    browser_of(context).open("/")


@given("an operator is logged in with the browser")
@when("an operator logs in with the browser")
def log_in(context):
    browser_of(context).log_in(operators_email(context), PASSWORD)
    assert browser_of(context).page.status_code == 200, browser_of(context).text


@when("an operator logs in with the browser and wishes to be remembered")
def log_in_to_be_remembered(context):
    browser_of(context).log_in(operators_email(context), PASSWORD, remember="on")


@when("the operator logs out with the browser")
def log_out(context):
    browser_of(context).send_form("/logout", {})


@when('a page of the platform has the browser register the device "{name}"')
def register_from_a_page(context, name):
    token = browser_of(context).http.cookies["csrf_token"]
    answer = register(context, name, {"X-CSRF-Token": token})
    context.platform.devices[name] = answer.json()


@when('a foreign page has the browser register the device "{name}"')
def register_from_elsewhere(context, name):
    register(context, name, {"Origin": "https://evil.example"})


def register(context, name, headers):
    body = {"serial_number": f"SN-{name}", "device_type": "pump", "name": name}
    context.platform.answer = browser_of(context).http.post("/api/v1/devices", json=body, headers=headers)
    return context.platform.answer


@given("a foreign page has the browser log in as an operator")
def log_in_from_elsewhere(context):
    browser_of(context).send_foreign_form("/login", {"email": operators_email(context), "password": PASSWORD})


@when("a foreign page has the browser log out")
def log_out_from_elsewhere(context):
    browser_of(context).send_foreign_form("/logout", {"csrf_token": "a guess"})


@when("the browser logs in with a wrong password")
def log_in_wrongly(context):
    browser_of(context).log_in(operators_email(context), "not the password")


@when("another browser logs in with an unknown address")
def log_in_as_nobody(context):
    context.other_browser = Browser(context.running.url)
    context.add_cleanup(context.other_browser.http.close)
    context.other_browser.log_in(context.platform.email_of("nobody"), PASSWORD)


@when("an operator follows a link to the log-in page that leads on to the API documentation")
def follow_link(context):
    browser_of(context).open("/login?next=/docs")
    browser_of(context).log_in(operators_email(context), PASSWORD)


@when("an operator follows a link to the log-in page that leads on to another site")
def follow_foreign_link(context):
    browser_of(context).open("/login?next=//evil.example/docs")


@given("somebody has copied the cookies of the browser")
def copy_cookies(context):
    context.other_browser = Browser(context.running.url)
    context.add_cleanup(context.other_browser.http.close)
    context.other_browser.http.cookies.update(browser_of(context).http.cookies)
    context.other_browser.open("/")
    assert context.other_browser.title.startswith("Home")


@then("the copied cookies are worth nothing")
def are_worth_nothing(context):
    me = context.other_browser.http.get("/api/v1/me")
    assert me.status_code == 401, me.text
    context.other_browser.open("/")
    assert context.other_browser.title.startswith("Log in")


@then("the browser shows the log-in page")
def shows_log_in(context):
    assert browser_of(context).title.startswith("Log in"), browser_of(context).text


@then("the browser shows the first page to the operator")
def shows_first_page(context):
    browser_of(context).open("/")
    assert operators_email(context) in browser_of(context).text, browser_of(context).text


@then("the browser is turned away from the first page")
def is_turned_away(context):
    browser_of(context).open("/")
    shows_log_in(context)


@then("the browser shows that it is not permitted")
def shows_not_permitted(context):
    assert browser_of(context).title.startswith("Not permitted"), browser_of(context).text


@then("the browser shows that the link is not valid")
def shows_not_valid(context):
    assert "Must be a path on this server." in browser_of(context).text, browser_of(context).text


@then("the browser shows the API documentation")
def shows_documentation(context):
    assert browser_of(context).title == "IoTSphere API", browser_of(context).text


@then("both browsers show the same")
def show_the_same(context):
    assert browser_of(context).text == context.other_browser.text
    assert "wrong" in browser_of(context).text


@then('there is no device "{name}"')
def is_no_device(context, name):
    names = [device["name"] for device in context.platform.get("/devices")["items"]]
    assert name not in names, names


@then("the browser is to forget the session after {life}")
def forgets_after(context, life):
    assert browser_of(context).life_of("iotsphere_session") == LIVES[life]
