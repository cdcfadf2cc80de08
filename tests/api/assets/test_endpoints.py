import json
from typing import Any

import pytest
from quart import Response

from tests.api.assets.conftest import Api

NOBODYS = "00000000-0000-0000-0000-00000000dead"


async def refusal(answer: Response) -> tuple[int, str, list[str]]:
    """The status, the code and the fields of a refusal."""
    assert answer.content_type == "application/problem+json", await answer.get_data(as_text=True)
    problem = await answer.get_json()
    assert problem["status"] == answer.status_code
    return answer.status_code, problem["code"], sorted(problem.get("errors", {}))


def invalid(*fields: str) -> tuple[int, str, list[str]]:
    return 422, "request.payload.invalid", list(fields)


async def test_an_added_asset_is_shown_with_its_place_and_its_version(api: Api) -> None:
    answer = await api.call(
        "POST",
        "/assets",
        json={"asset_type": "pump", "name": "P1", "properties": {"a": None}, "capabilities": [{"name": "dosing"}]},
    )

    asset = await answer.get_json()
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/api/v1/assets/{asset['id']}"
    assert answer.headers["ETag"] == '"1"'
    assert asset == {
        "id": asset["id"],
        "asset_type": "pump",
        "name": "P1",
        "properties": {"a": None},
        "capabilities": [{"name": "dosing"}],
        "created_at": "2026-11-20T00:00:00.000000Z",
        "updated_at": "2026-11-20T00:00:00.000000Z",
        "version": 1,
    }
    shown = await api.call("GET", f"/assets/{asset['id']}", by="ours-viewer")
    assert (shown.status_code, await shown.get_json(), shown.headers["ETag"]) == (200, asset, '"1"')


async def test_properties_come_back_as_the_json_that_was_sent(api: Api) -> None:
    properties = '{"big":36893488147419103233,"one":1,"one_point_zero":1.0,"list":[],"object":{},"":"\\u00fc"}'
    body = f'{{"asset_type":"pump","name":"P","properties":{properties}}}'

    answer = await api.call("POST", "/assets", data=body, headers={"Content-Type": "application/json"})

    assert properties.replace("\\u00fc", "ü").encode() in await answer.get_data(as_text=False)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["asset_type", "name"]),
        ([], ["body"]),
        ({"asset_type": "Pump"}, ["asset_type"]),
        ({"asset_type": None}, ["asset_type"]),
        ({"name": ""}, ["name"]),
        ({"name": "n" * 257}, ["name"]),
        ({"name": "a\0"}, ["name"]),
        ({"name": 5}, ["name"]),
        ({"properties": []}, ["properties"]),
        ({"properties": None}, ["properties"]),
        ({"properties": {"a": {"b": ["\0"]}}}, ["properties.a.b.0"]),
        ({"capabilities": {}}, ["capabilities"]),
        ({"capabilities": ["dosing"]}, ["capabilities.0"]),
        ({"capabilities": [{"name": "dosing"}, {}]}, ["capabilities.1.name"]),
        ({"capabilities": [{"name": "c"}] * 201}, ["capabilities"]),
        ({"device_id": "not an id"}, ["device_id"]),
        ({"device_id": NOBODYS}, ["device_id"]),
        ({"parent_id": NOBODYS}, ["parent_id"]),
        ({"parent_id": "not an id"}, ["parent_id"]),
        ({"parent_id": None}, ["parent_id"]),
        ({"id": NOBODYS, "version": 5, "organisation_id": NOBODYS}, ["id", "organisation_id", "version"]),
    ],
)
async def test_an_asset_that_does_not_fit_is_refused_by_field(api: Api, body: Any, fields: list[str]) -> None:
    whole = {"asset_type": "pump", "name": "P"} | body if isinstance(body, dict) and body else body

    answer = await api.call("POST", "/assets", json=whole)

    assert await refusal(answer) == invalid(*fields)
    assert (await (await api.call("GET", "/assets")).get_json())["items"] == []


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b'{"a":NaN}', b'{"a":1e999}', b"[" * 100_000, b'{"a":"\\ud800"}', b"1" * 5000]
)
async def test_a_body_that_is_no_json_is_malformed(api: Api, body: bytes) -> None:
    answer = await api.call("POST", "/assets", data=body, headers={"Content-Type": "application/json"})

    assert await refusal(answer) == (400, "request.json.malformed", [])


async def test_properties_may_be_32_levels_deep_and_256_kib_large(api: Api) -> None:
    deepest: dict[str, Any] = {}
    for _ in range(31):
        deepest = {"a": deepest}
    largest = {"a": "x" * (256 * 1024 - len('{"a":""}'))}

    await api.add(properties=deepest)
    await api.add(properties=largest)
    too_deep = await api.call("POST", "/assets", json={"asset_type": "p", "name": "P", "properties": {"a": deepest}})
    too_large = await api.call(
        "POST", "/assets", json={"asset_type": "p", "name": "P", "properties": {"a": largest["a"] + "x"}}
    )

    assert (await refusal(too_deep))[:2] == (422, "request.payload.invalid")
    assert await refusal(too_large) == (413, "assets.asset.too_large", [])


async def test_a_device_of_the_organisation_may_be_given_an_asset_once(api: Api) -> None:
    device_id = api.add_device()

    asset = await api.add(device_id=str(device_id))
    again = await api.call("POST", "/assets", json={"asset_type": "p", "name": "P", "device_id": str(device_id)})

    assert asset["device_id"] == str(device_id)
    assert await refusal(again) == (409, "assets.asset.device_taken", [])
    shown = await api.call("GET", f"/devices/{device_id}/asset", by="ours-viewer")
    assert (await shown.get_json(), shown.headers["ETag"]) == (asset, '"1"')


async def test_a_device_of_another_organisation_is_as_good_as_absent(api: Api) -> None:
    theirs = api.add_device("theirs")

    added = await api.call("POST", "/assets", json={"asset_type": "p", "name": "P", "device_id": str(theirs)})
    shown = await api.call("GET", f"/devices/{theirs}/asset")

    assert await refusal(added) == invalid("device_id")
    assert await refusal(shown) == (404, "registry.device.not_found", [])


async def test_a_device_sees_its_own_asset_and_no_other(api: Api) -> None:
    own, other = api.add_device(), api.add_device()
    asset = await api.add(device_id=str(own))
    await api.add(device_id=str(other))

    shown = await api.call_as_device(own, f"/devices/{own}/asset")
    foreign = await api.call_as_device(own, f"/devices/{other}/asset")
    listed = await api.call_as_device(own, "/assets")
    by_id = await api.call_as_device(own, f"/assets/{asset['id']}")

    assert await shown.get_json() == asset
    assert (await refusal(foreign))[0] == 404
    assert (await refusal(listed))[0] == 403
    assert (await refusal(by_id))[0] == 403


async def test_a_device_without_an_asset_has_none_to_show(api: Api) -> None:
    answer = await api.call("GET", f"/devices/{api.add_device()}/asset")

    assert await refusal(answer) == (404, "assets.asset.not_found", [])


@pytest.mark.parametrize("asset_id", [NOBODYS, "theirs"])
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_an_asset_that_is_not_ours_is_not_there(api: Api, method: str, asset_id: str) -> None:
    if asset_id == "theirs":
        asset_id = (await api.add(by="theirs-operator"))["id"]

    answer = await api.call(method, f"/assets/{asset_id}", json={} if method == "PATCH" else None)

    assert await refusal(answer) == (404, "assets.asset.not_found", [])


async def test_an_asset_that_the_client_has_already_is_not_sent_again(api: Api) -> None:
    path = f"/assets/{(await api.add())['id']}"

    same = await api.call("GET", path, headers={"If-None-Match": '"1"'})
    other = await api.call("GET", path, headers={"If-None-Match": '"2"'})

    assert (same.status_code, await same.get_data(as_text=False), same.headers["ETag"]) == (304, b"", '"1"')
    assert other.status_code == 200


@pytest.mark.parametrize("media_type", ["application/merge-patch+json", "application/json"])
async def test_a_patch_is_merged_and_answered_with_the_whole(api: Api, media_type: str) -> None:
    asset = await api.add(properties={"a": {"b": 1, "c": 2}}, capabilities=[{"name": "dosing"}])

    answer = await api.call(
        "PATCH",
        f"/assets/{asset['id']}",
        data=json.dumps({"name": "P2", "properties": {"a": {"b": None}, "d": [None]}, "capabilities": None}),
        headers={"Content-Type": media_type},
    )

    assert (answer.status_code, answer.headers["ETag"]) == (200, '"2"')
    changed = {"name": "P2", "properties": {"a": {"c": 2}, "d": [None]}, "capabilities": [], "version": 2}
    assert await answer.get_json() == asset | changed


@pytest.mark.parametrize(
    ("patch", "fields"),
    [
        ([], ["body"]),
        ({"name": None}, ["name"]),
        ({"asset_type": None}, ["asset_type"]),
        ({"asset_type": "2"}, ["asset_type"]),
        ({"properties": [1]}, ["properties"]),
        ({"properties": {"a": "\0"}}, ["properties.a"]),
        ({"capabilities": [{"name": ""}]}, ["capabilities.0.name"]),
        ({"capabilities": [None]}, ["capabilities.0"]),
        ({"device_id": NOBODYS}, ["device_id"]),
        ({"parent_id": NOBODYS}, ["parent_id"]),
        ({"parent_id": "not an id"}, ["parent_id"]),
        ({"parent_id": []}, ["parent_id"]),
        ({"version": 1}, ["version"]),
    ],
)
async def test_a_patch_that_does_not_fit_changes_nothing(api: Api, patch: Any, fields: list[str]) -> None:
    asset = await api.add(properties={"kept": True})

    answer = await api.call("PATCH", f"/assets/{asset['id']}", json=patch)

    assert await refusal(answer) == invalid(*fields)
    assert await (await api.call("GET", f"/assets/{asset['id']}")).get_json() == asset


async def test_a_patch_of_another_kind_is_not_read(api: Api) -> None:
    asset = await api.add()

    for media_type in ("application/json-patch+json", "text/plain"):
        answer = await api.call("PATCH", f"/assets/{asset['id']}", data=b"{}", headers={"Content-Type": media_type})
        assert (await refusal(answer))[0] == 415


async def test_writes_of_another_version_than_the_expected_one_are_refused(api: Api) -> None:
    path = f"/assets/{(await api.add())['id']}"

    for tag in ('"2"', 'W/"1"', '"none"'):
        patched = await api.call("PATCH", path, json={"name": "Q"}, headers={"If-Match": tag})
        removed = await api.call("DELETE", path, headers={"If-Match": tag})
        assert (await refusal(patched))[0] == (await refusal(removed))[0] == 412
    expected = await api.call("PATCH", path, json={"name": "Q"}, headers={"If-Match": '"1"'})
    assert (await expected.get_json())["version"] == 2
    assert (await api.call("DELETE", path, headers={"If-Match": '"2"'})).status_code == 204


async def test_a_removed_asset_is_gone(api: Api) -> None:
    path = f"/assets/{(await api.add())['id']}"

    removed = await api.call("DELETE", path)

    assert (removed.status_code, await removed.get_data(as_text=False)) == (204, b"")
    assert (await api.call("GET", path)).status_code == 404
    assert (await api.call("DELETE", path)).status_code == 404


async def test_the_asset_of_a_device_is_not_removed(api: Api) -> None:
    asset = await api.add(device_id=str(api.add_device()))

    answer = await api.call("DELETE", f"/assets/{asset['id']}")

    assert await refusal(answer) == (409, "assets.asset.bound_to_device", [])


@pytest.mark.parametrize(
    ("method", "by", "status"),
    [
        ("GET", "ours-viewer", 200),
        ("PATCH", "ours-viewer", 403),
        ("DELETE", "ours-viewer", 403),
        ("PATCH", "ours-engineer", 403),
        ("DELETE", "ours-engineer", 403),
        ("PATCH", "ours-operator", 200),
        ("DELETE", "ours-operator", 204),
        ("GET", "strangers-viewer", 401),
    ],
)
async def test_operators_write_and_viewers_read(api: Api, method: str, by: str, status: int) -> None:
    asset = await api.add()

    answer = await api.call(method, f"/assets/{asset['id']}", by=by, json={} if method == "PATCH" else None)

    assert answer.status_code == status


@pytest.mark.parametrize("by", ["ours-viewer", "ours-engineer"])
async def test_assets_are_added_by_operators_alone(api: Api, by: str) -> None:
    answer = await api.call("POST", "/assets", by=by, json={"asset_type": "pump", "name": "P"})

    assert (await refusal(answer))[0] == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/assets/x"),
        ("GET", "/assets/x/ancestors"),
        ("PUT", f"/assets/{NOBODYS}/relationships/feeds/x"),
    ],
)
async def test_what_has_no_id_is_a_path_that_is_not_found(api: Api, method: str, path: str) -> None:
    assert await refusal(await api.call(method, path)) == (404, "request.path.not_found", [])


async def test_other_methods_are_not_allowed(api: Api) -> None:
    assert (await refusal(await api.call("PUT", f"/assets/{NOBODYS}", json={})))[0] == 405
