import httpx
from behave import given, then, when

from features.support.platform import PASSWORD, Platform
from features.support.running import RunningPlatform

USER = "viewer"


@given("a user who has logged in at home")
def log_in_at_home(context):
    context.platform.credential_of(USER)
    context.email = context.platform.email_of(USER)


def stranger(context, address):
    """Give a client that is somewhere else in the network."""
    transport = httpx.HTTPTransport(local_address=address)
    http = httpx.Client(base_url=context.running.url, transport=transport, trust_env=False, timeout=30)
    context.add_cleanup(http.close)
    return http


def guess(http, email, password):
    return http.post("/api/v1/auth/token", json={"email": email, "password": password})


@when("a stranger elsewhere tries {number:d} wrong passwords for the user")
def guess_from_elsewhere(context, number):
    context.stranger = stranger(context, "127.0.0.2")
    context.guesses = [guess(context.stranger, context.email, "wrong") for _ in range(number)]


@when("another stranger tries as many for somebody who does not exist")
def guess_at_nobody(context):
    http = stranger(context, "127.0.0.3")
    nobody = context.platform.email_of("nobody")
    context.guesses_at_nobody = [guess(http, nobody, "wrong") for _ in context.guesses]


@then("the first {number:d} are refused as wrong, and the stranger is told to come back in half a minute at the most")
def is_slowed_down(context, number):
    assert [answer.status_code for answer in context.guesses[:number]] == [401] * number
    for answer in context.guesses[number:]:
        assert answer.json()["code"] == "throttling.guesses.exceeded", answer.text
        assert 1 <= int(answer.headers["Retry-After"]) <= 30


@then("the stranger is told the same with the right password")
def is_slowed_down_all_the_same(context):
    assert guess(context.stranger, context.email, PASSWORD).json()["code"] == "throttling.guesses.exceeded"


@then("the user can log in at home")
def can_log_in(context):
    answer = context.platform.log_in(context.email, PASSWORD)
    assert answer.status_code == 200, answer.text


@then("both have been told the same")
def are_told_the_same(context):
    def told(answers):
        return [(answer.status_code, answer.json()["code"], answer.json()["detail"]) for answer in answers]

    assert told(context.guesses) == told(context.guesses_at_nobody)
    assert context.guesses[-1].status_code == 429


@given("a platform that admits {number:d} requests of a device at once, and another every 30 seconds")
def start_limiting_platform(context, number):
    context.own = RunningPlatform(settings={"IOTSPHERE_RATE_KEY": f"{1 / 30:.6f}/{number}"})
    context.own.start()
    context.add_cleanup(context.own.remove)
    context.limited = Platform(context.own.url)
    context.add_cleanup(context.limited.http.close)


@given('on it the device "{name}" and the device "{other}"')
def register_two(context, name, other):
    for device in (name, other):
        context.limited.register_device(device)
        context.limited.key_of(device)


@when('"{name}" asks {number:d} times')
def ask_often(context, name, number):
    path = context.limited.path_of(name)
    context.answers = [context.limited.request("GET", path, by=f"device:{name}") for _ in range(number)]


@then("{number:d} of them are answered, and it is told to come back in 30 seconds at the most")
def is_told_to_come_back(context, number):
    assert [answer.status_code for answer in context.answers[:number]] == [200] * number
    for answer in context.answers[number:]:
        assert answer.json()["code"] == "throttling.requests.exceeded", answer.text
        assert 1 <= int(answer.headers["Retry-After"]) <= 30


@then('"{name}" is still answered, and so are the operators')
def is_still_answered(context, name):
    for by in (f"device:{name}", "operator"):
        assert context.limited.request("GET", context.limited.path_of(name), by=by).status_code == 200
