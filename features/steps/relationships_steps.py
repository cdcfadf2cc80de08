from behave import then, when

from features.support.platform import Platform


def path_of(platform, name):
    return f"/assets/{platform.assets[name]['id']}/relationships"


def relate(platform, one, type_name, other, *, headers=None, **properties):
    path = f"{path_of(platform, one)}/{type_name}/{platform.assets[other]['id']}"
    return platform.request("PUT", path, headers=headers or {}, json={"properties": properties})


def found(platform, name, type_name, direction):
    """Give, by name, the assets at the other end, and what is said of their relationships."""
    query = {"type": type_name, "direction": direction}
    names = {asset["id"]: own for own, asset in platform.assets.items()}
    other = "other_id" if direction == "out" else "asset_id"
    page = platform.get(path_of(platform, name), by="engineer", params=query)
    return {names[item[other]]: item["properties"] for item in page["items"]}


@when('an operator says that "{one}" "{type_name}" "{other}" with {bar:d} bar')
def say(context, one, type_name, other, bar):
    answer = relate(context.platform, one, type_name, other, bar=bar)
    assert answer.status_code in {200, 201}, answer.text


@when('an operator says that "{one}" "{type_name}" "{other}" with {bar:d} bar, and remembers it')
def say_and_remember(context, one, type_name, other, bar):
    context.seen = relate(context.platform, one, type_name, other, bar=bar).headers["ETag"]


@when('an operator says that "{one}" "{type_name}" "{other}" with {bar:d} bar, if it is as remembered')
def say_if_as_remembered(context, one, type_name, other, bar):
    relate(context.platform, one, type_name, other, bar=bar, headers={"If-Match": context.seen})


@when('an operator says that "{one}" no longer "{type_name}" "{other}"')
def say_no_longer(context, one, type_name, other):
    platform = context.platform
    path = f"{path_of(platform, one)}/{type_name}/{platform.assets[other]['id']}"
    answer = platform.request("DELETE", path)
    assert answer.status_code == 204, answer.text


@when('an operator tries to say that "{one}" "{type_name}" "{other}"')
def try_to_say(context, one, type_name, other):
    relate(context.platform, one, type_name, other)


@when('an operator tries to say that "{one}" "{type_name}" something of a stranger\'s')
def try_to_say_of_strangers(context, one, type_name):
    stranger = Platform(context.running.url)
    theirs = stranger.request("POST", "/assets", json={"asset_type": "pump", "name": "theirs"}).json()
    context.platform.assets["theirs"] = theirs
    relate(context.platform, one, type_name, "theirs")
    stranger.http.close()


@when('a stranger asks what "{name}" "{type_name}"')
def stranger_asks(context, name, type_name):
    stranger = Platform(context.running.url)
    query = {"type": type_name}
    context.platform.answer = stranger.request("GET", path_of(context.platform, name), by="engineer", params=query)
    stranger.http.close()


@then('"{one}" "{type_name}" exactly "{others}"')
def leads_to_exactly(context, one, type_name, others):
    # Those of a type come by the other's id, which no scenario knows.
    names = sorted(found(context.platform, one, type_name, "out"))
    assert ", ".join(names) == others, names


@then('"{one}" "{type_name}" nothing')
def leads_to_nothing(context, one, type_name):
    assert found(context.platform, one, type_name, "out") == {}


@then('"{other}" is what "{one}" "{type_name}"')
def is_led_to(context, other, one, type_name):
    assert one in found(context.platform, other, type_name, "in")


@then('"{one}" "{type_name}" "{other}" with {bar:d} bar')
def leads_to_with(context, one, type_name, other, bar):
    assert found(context.platform, one, type_name, "out") == {other: {"bar": bar}}
