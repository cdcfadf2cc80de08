from concurrent.futures import ThreadPoolExecutor

from behave import given, then, when

from features.support.platform import Platform
from features.support.running import eventually

INDENT = 2


def path_of(platform, name):
    return f"/assets/{platform.assets[name]['id']}"


def add(platform, name, parent=None):
    body = {"asset_type": "place", "name": name} | ({"parent_id": platform.assets[parent]["id"]} if parent else {})
    answer = platform.request("POST", "/assets", json=body)
    assert answer.status_code == 201, answer.text
    platform.assets[name] = answer.json()


def move(platform, name, parent, *, by="operator"):
    patch = {"parent_id": platform.assets[parent]["id"] if parent else None}
    return platform.request("PATCH", path_of(platform, name), by=by, json=patch)


def names_in(page):
    return ", ".join(asset["name"] for asset in page["items"])


def names_above(platform, name):
    return names_in(platform.get(f"{path_of(platform, name)}/ancestors"))


def names_below(platform, name, **query):
    return names_in(platform.get(f"{path_of(platform, name)}/descendants", params=query))


@given("the assets")
def grow(context):
    above = []
    for line in context.text.splitlines():
        name = line.strip()
        level = (len(line) - len(line.lstrip())) // INDENT
        add(context.platform, name, above[level - 1] if level else None)
        above[level:] = [name]


@when('an operator moves "{name}" to "{parent}"')
def move_to(context, name, parent):
    answer = move(context.platform, name, parent)
    assert answer.status_code == 200, answer.text


@when('an operator takes "{name}" out of "{parent}"')
def take_out(context, name, parent):
    assert context.platform.get(path_of(context.platform, name))["parent_id"] == context.platform.assets[parent]["id"]
    answer = move(context.platform, name, None)
    assert answer.status_code == 200, answer.text


@when('an {role} tries to move "{name}" to "{parent}"')
def try_to_move(context, role, name, parent):
    move(context.platform, name, parent, by=role)


@when('an operator tries to move "{name}" to a hall of a stranger\'s')
def try_to_move_to_strangers(context, name):
    stranger = Platform(context.running.url)
    add(stranger, "theirs")
    context.platform.assets["theirs"] = stranger.assets["theirs"]
    move(context.platform, name, "theirs")
    stranger.http.close()


@when('a stranger tries to move "{name}" to a hall of theirs')
def stranger_tries_to_move(context, name):
    stranger = Platform(context.running.url)
    add(stranger, "theirs")
    stranger.assets[name] = context.platform.assets[name]
    context.platform.answer = move(stranger, name, "theirs")
    stranger.http.close()


@when('two operators at once move "{one}" to "{other}" and "{third}" to "{fourth}"')
def move_at_once(context, one, other, third, fourth):
    platform = context.platform
    headers = platform.credential_of("operator")

    def send(pair):
        name, parent = pair
        patch = {"parent_id": platform.assets[parent]["id"]}
        return platform.http.patch(f"/api/v1{path_of(platform, name)}", headers=headers, json=patch)

    with ThreadPoolExecutor(2) as operators:
        context.answers = list(operators.map(send, [(one, other), (third, fourth)]))


@then("one of the two is refused because nothing can be below itself")
def one_of_two_is_refused(context):
    assert sorted(answer.status_code for answer in context.answers) == [200, 409], context.answers
    refused = next(answer for answer in context.answers if answer.status_code == 409)
    assert refused.json()["code"] == "assets.asset.cycle"


@then('one of "{one}" and "{other}" is below the other, and that directly below "{top}"')
def one_is_below_the_other(context, one, other, top):
    seen = {names_above(context.platform, name) for name in (one, other)}
    assert seen in ({top, f"{top}, {one}"}, {top, f"{top}, {other}"}), seen


@when('an operator tries to remove "{name}"')
def try_to_remove(context, name):
    context.platform.request("DELETE", path_of(context.platform, name))


@when('an operator moves the asset of "{device}" to "{parent}"')
def move_device(context, device, parent):
    platform = context.platform
    platform.assets[device] = platform.get(f"{platform.path_of(device)}/asset")
    answer = move(platform, device, parent)
    assert answer.status_code == 200, answer.text


@when('an operator puts the new device "{device}" into "{parent}"')
def register_in_place(context, device, parent):
    platform = context.platform
    platform.register_device(device, asset={"parent_id": platform.assets[parent]["id"]})
    assert platform.answer.status_code == 201, platform.answer.text
    asset = f"{platform.path_of(device)}/asset"
    eventually(lambda: platform.request("GET", asset).status_code == 200, within=10, what="it has an asset")


@when('an operator tries to put the new device "{device}" into a hall of a stranger\'s')
def try_to_register_in_strangers(context, device):
    stranger = Platform(context.running.url)
    add(stranger, "theirs")
    context.platform.register_device(device, asset={"parent_id": stranger.assets["theirs"]["id"]})
    stranger.http.close()


@then('there is no device with the serial number of "{device}"')
def is_not_registered(context, device):
    assert context.platform.get("/devices", params={"q": f"SN-{device}"})["items"] == []


@then('all that is below "{name}" is "{names}"')
def all_below(context, name, names):
    assert names_below(context.platform, name) == names, names_below(context.platform, name)


@then('directly below "{name}" is "{names}"')
def directly_below(context, name, names):
    assert names_below(context.platform, name, depth=1) == names, names_below(context.platform, name, depth=1)


@then('"{name}" is part of "{names}"')
def is_part_of(context, name, names):
    assert names_above(context.platform, name) == names, names_above(context.platform, name)


@then('"{name}" is part of nothing')
def is_part_of_nothing(context, name):
    assert names_above(context.platform, name) == ""


def go_through(platform, path):
    """Give all items of a list, and the bytes of each of its pages."""
    items, sizes, cursor = [], [], {}
    while not sizes or cursor["cursor"]:
        page = platform.get(path, by="engineer", params={"limit": 500} | cursor)
        items += page["items"]
        sizes.append(len(platform.answer.content))
        cursor = {"cursor": page["next_cursor"]}
    return items, sizes


@given('{number:d} machines in "{parent}", of each of which {size:d} KiB are said')
def add_described(context, number, parent, size):
    parent_id = context.platform.assets[parent]["id"]
    for nth in range(number):
        body = {"asset_type": "machine", "name": f"machine {nth}", "parent_id": parent_id}
        answer = context.platform.request("POST", "/assets", json=body | {"properties": {"text": "x" * size * 1024}})
        assert answer.status_code == 201, answer.text


@when('an engineer goes through all that is in "{name}", 500 on a page')
def go_through_tree(context, name):
    context.items, context.sizes = go_through(context.platform, f"{path_of(context.platform, name)}/descendants")


@when('an operator describes "{name}" anew {number:d} times, each time with {size:d} KiB')
def describe_anew(context, name, number, size):
    for nth in range(number):
        patch = {"properties": {"text": f"{nth} {'x' * size * 1024}"}}
        answer = context.platform.request("PATCH", path_of(context.platform, name), json=patch)
        assert answer.status_code == 200, answer.text


@when('an engineer goes through the history of "{name}", 500 on a page')
def go_through_history(context, name):
    context.items, context.sizes = go_through(context.platform, f"{path_of(context.platform, name)}/history")


@then("no page has more than {size:d} MiB")
def pages_are_bounded(context, size):
    assert max(context.sizes) <= size * 1024 * 1024, context.sizes


@then("each of the {number:d} machines was on one of them")
def each_machine_was_met(context, number):
    assert [asset["name"] for asset in context.items] == [f"machine {nth}" for nth in range(number)]


@then("each of the {number:d} versions was on one of them")
def each_version_was_met(context, number):
    assert [told["version"] for told in context.items] == [*range(number, 0, -1)]
