import json
from concurrent.futures import ThreadPoolExecutor

from behave import given, then, when

from features.support.platform import Platform
from features.support.running import eventually


def add(context, name, **description):
    body = {"asset_type": "pump", "name": name} | description
    answer = context.platform.request("POST", "/assets", json=body)
    assert answer.status_code == 201, answer.text
    context.platform.assets[name] = answer.json()


def look_for(platform, **query):
    platform.request("GET", "/assets", by="engineer", params=query)


def names_found(platform):
    assert platform.answer.status_code == 200, platform.answer.text
    return [asset["name"] for asset in platform.answer.json()["items"]]


def path_of(platform, name):
    return f"/assets/{platform.assets[name]['id']}"


def asset_of(platform, device):
    return platform.get(f"{platform.path_of(device)}/asset")


@given('the {asset_type} "{name}" made by "{manufacturer}"')
def asset_made_by(context, asset_type, name, manufacturer):
    add(context, name, asset_type=asset_type, properties={"manufacturer": manufacturer})


@given('the pump "{name}" with the properties')
def pump_with_properties(context, name):
    add(context, name, properties=json.loads(context.text))


@when('an engineer looks for pumps made by "{manufacturer}"')
def look_for_pumps(context, manufacturer):
    look_for(context.platform, asset_type="pump", match=json.dumps({"manufacturer": manufacturer}))


@when("an engineer looks for assets with the properties")
def look_for_properties(context):
    look_for(context.platform, match=context.text)


@when('an engineer of another organisation looks for pumps made by "{manufacturer}"')
def look_from_elsewhere(context, manufacturer):
    stranger = Platform(context.running.url)
    look_for(stranger, match=json.dumps({"manufacturer": manufacturer}))
    context.platform.answer = stranger.answer
    stranger.http.close()


@when('an engineer of another organisation asks for "{name}"')
def ask_from_elsewhere(context, name):
    stranger = Platform(context.running.url)
    context.platform.answer = stranger.request("GET", path_of(context.platform, name), by="engineer")
    stranger.http.close()


@then('exactly "{name}" is found')
def is_found(context, name):
    assert names_found(context.platform) == [name], names_found(context.platform)


@then("nothing is found")
def nothing_is_found(context):
    assert names_found(context.platform) == []


@when('an operator changes the properties of "{name}" by')
def change_properties(context, name):
    patch = {"properties": json.loads(context.text)}
    answer = context.platform.request("PATCH", path_of(context.platform, name), json=patch)
    assert answer.status_code == 200, answer.text


@then('the properties of "{name}" are')
def properties_are(context, name):
    kept = context.platform.get(path_of(context.platform, name))["properties"]
    # As text, since Python takes 1 for 1.0.
    assert json.dumps(kept, sort_keys=True) == json.dumps(json.loads(context.text), sort_keys=True), kept


@then('"{name}" is at version {version:d}')
def is_at_version(context, name, version):
    assert context.platform.get(path_of(context.platform, name))["version"] == version


@when('two operators rename "{name}" who both saw version {version:d}')
def rename_twice(context, name, version):
    options = {"headers": {"If-Match": f'"{version}"'}, "json": {"name": "renamed"}}
    path = path_of(context.platform, name)
    context.answers = [context.platform.request("PATCH", path, **options) for _ in range(2)]


@then("one of them is told that it has another version")
def one_is_refused(context):
    assert sorted(answer.status_code for answer in context.answers) == [200, 412], context.answers


@when('{number:d} operators at once each set a property of "{name}"')
def set_properties_at_once(context, number, name):
    headers = context.platform.credential_of("operator")
    url = f"/api/v1{path_of(context.platform, name)}"
    patches = [{"properties": {f"p{index}": index}} for index in range(number)]
    with ThreadPoolExecutor(number) as operators:
        send = operators.map(lambda patch: context.platform.http.patch(url, headers=headers, json=patch), patches)
        assert {answer.status_code for answer in send} == {200}


@then('"{name}" has all {number:d} properties')
def has_all_properties(context, name, number):
    properties = context.platform.get(path_of(context.platform, name))["properties"]
    assert {key: properties.get(key) for key in map("p{}".format, range(number))} == {
        f"p{index}": index for index in range(number)
    }


@when('an operator registers the device "{device}" described as the boiler "{name}" of {litres:d} litres')
def register_described(context, device, name, litres):
    asset = {"asset_type": "boiler", "name": name, "properties": {"litres": litres}}
    context.platform.register_device(device, asset=asset)


@then('within 2 seconds the asset of "{device}" is the boiler "{name}" of {litres:d} litres')
def is_described(context, device, name, litres):
    path = f"{context.platform.path_of(device)}/asset"
    eventually(lambda: context.platform.request("GET", path).status_code == 200, within=2, what="it has an asset")
    asset = asset_of(context.platform, device)
    assert (asset["asset_type"], asset["name"], asset["properties"]) == ("boiler", name, {"litres": litres}), asset


@when('an operator removes the asset of "{device}"')
def remove_asset_of(context, device):
    context.platform.request("DELETE", f"/assets/{asset_of(context.platform, device)['id']}")


@when('an operator adds another asset for "{device}"')
def add_another(context, device):
    body = {"asset_type": "pump", "name": "another", "device_id": context.platform.devices[device]["id"]}
    context.platform.request("POST", "/assets", json=body)


@when('an operator removes "{name}"')
def remove(context, name):
    answer = context.platform.request("DELETE", path_of(context.platform, name))
    assert answer.status_code == 204, answer.text


@then('"{name}" is gone')
def is_gone(context, name):
    assert context.platform.request("GET", path_of(context.platform, name)).status_code == 404


@when('an operator adds the pump "{name}" twice under one idempotency key')
def add_twice(context, name):
    options = {"headers": {"Idempotency-Key": name}, "json": {"asset_type": "pump", "name": name}}
    first, second = (context.platform.request("POST", "/assets", **options) for _ in range(2))
    assert (first.status_code, second.status_code, second.json()) == (201, 201, first.json()), second.text


@then('an engineer who looks for pumps finds exactly "{name}"')
def finds_exactly(context, name):
    look_for(context.platform, asset_type="pump")
    is_found(context, name)
