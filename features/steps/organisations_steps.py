from uuid import uuid4

from behave import given, then, when

from features.support.platform import Platform


def own_path(platform):
    return f"/organisations/{platform.get('/me', by='admin')['organisation_id']}"


@given("another organisation with a user, an integration key and a device")
def found_other(context):
    context.other = Platform(context.running.url)
    context.add_cleanup(context.other.http.close)
    context.other.register_device("theirs")
    key = context.other.request("POST", "/api-keys", by="admin", json={"label": "theirs", "role": "viewer"}).json()
    user = context.other.get("/me", by="operator")
    context.paths = {
        "user": f"/users/{user['id']}",
        "key": f"/api-keys/{key['id']}",
        "device": context.other.path_of("theirs"),
        "organisation": own_path(context.other),
    }
    context.before = everything_of(context)


def everything_of(context):
    return {path: context.other.get(path, by="admin") for path in context.paths.values()}


def told(context, method, path, credential, **options):
    answer = context.platform.request(method, path, by="nobody", headers=credential, **options)
    return answer.status_code, context.platform.refusal, answer.json()["detail"]


def try_both(context, requests, credential):
    """Send each request for what is there, and for what is not."""
    context.answers = [
        (
            told(context, method, path, credential, **options),
            told(context, method, f"{path.rpartition('/')[0]}/{uuid4()}", credential, **options),
        )
        for method, path, options in requests
    ]


def ask_for_each(context, credential):
    try_both(context, [("GET", path, {}) for path in context.paths.values()], credential)


@when("our administrator asks for each of them, and for the organisation itself")
def ask_as_administrator(context):
    ask_for_each(context, context.platform.credential_of("admin"))


@when('"{name}" asks for each of them, and for the organisation itself')
def ask_as_integration(context, name):
    ask_for_each(context, {"X-API-Key": context.integrations[name]["api_key"]})


@when("our administrator tries to change and to remove each of them, and to rename the organisation")
def change_each(context):
    paths = context.paths
    requests = [
        ("PATCH", paths["user"], {"json": {"role": "viewer"}}),
        ("PATCH", paths["user"], {"json": {"password": "a password of strangers"}}),
        ("DELETE", paths["user"], {}),
        ("DELETE", paths["key"], {}),
        ("PATCH", paths["device"], {"json": {"status": "suspended"}}),
        ("PATCH", paths["organisation"], {"json": {"name": "Ours"}}),
    ]
    try_both(context, requests, context.platform.credential_of("admin"))


@then("each answer is the same as for what does not exist")
def are_the_same(context):
    assert context.answers
    for theirs, absent in context.answers:
        assert theirs == absent
        assert theirs[0] == 404, theirs


@then("no list of ours shows any of them")
def are_not_listed(context):
    for path, of_theirs in (("/users", "user"), ("/api-keys", "key"), ("/devices", "device")):
        listed = context.platform.get(f"{path}?limit=500", by="admin")["items"]
        assert context.paths[of_theirs].rpartition("/")[2] not in [item["id"] for item in listed]


@then("the other organisation is as it was")
def is_as_it_was(context):
    assert everything_of(context) == context.before


@when("our administrator asks which organisations there are")
def ask_for_organisations(context):
    context.platform.request("GET", "/organisations", by="admin")


@when("the platform's operator asks which organisations there are")
def ask_as_platform_operator(context):
    http = Platform.log_in_as_platform_administrator(context.running.url)
    context.add_cleanup(http.close)
    context.platform.answer = http.get("/api/v1/organisations?limit=500")


@then("both organisations are among them")
def are_among_them(context):
    listed = {f"/organisations/{item['id']}" for item in context.platform.answer.json()["items"]}
    assert {own_path(context.platform), own_path(context.other)} <= listed


def rename(context, name):
    context.platform.request("PATCH", own_path(context.platform), by="admin", json={"name": name})


@when("our administrator gives our organisation the name of the other")
def give_taken_name(context):
    rename(context, context.before[context.paths["organisation"]]["name"])


@when("our administrator gives our organisation a new name")
def give_new_name(context):
    context.new_name = f"Waterworks {uuid4()}"
    rename(context, context.new_name)


@then("every user of ours sees the new name")
def see_new_name(context):
    for role in ("viewer", "engineer", "operator", "admin"):
        assert context.platform.get(own_path(context.platform), by=role)["name"] == context.new_name
