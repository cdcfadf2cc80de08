"""An asset as it was, and its history, over HTTP."""

from typing import Any

import pytest
from quart import Response

from iotsphere.kernel.pagination import encode_cursor
from tests.api.assets.conftest import Api
from tests.api.assets.test_endpoints import NOBODYS, invalid, refusal

ADDED_AT = "2026-11-20T00:00:00.000000Z"


async def get(api: Api, path: str) -> Any:
    answer = await api.call("GET", path, by="ours-viewer")
    assert answer.status_code == 200, await answer.get_data(as_text=True)
    return await answer.get_json()


async def patch(api: Api, asset: dict[str, Any], **changes: Any) -> dict[str, Any]:
    answer = await api.call("PATCH", f"/assets/{asset['id']}", json=changes)
    assert answer.status_code == 200, await answer.get_data(as_text=True)
    changed: dict[str, Any] = await answer.get_json()
    return changed


async def test_the_history_tells_what_was_changed_by_whom_and_when(api: Api) -> None:
    site = await api.add(name="site")
    asset = await api.add(properties={"a": 1, "n": None}, parent_id=site["id"])
    await patch(api, asset, properties={"a": None, "b": {"c": [None]}}, name="P1")
    await patch(api, asset, parent_id=None)

    page = await get(api, f"/assets/{asset['id']}/history")

    assert page["next_cursor"] is None
    assert all(change.pop("actor").startswith("user:") for change in page["items"])
    described = {"asset_type": "pump", "name": "P1", "properties": {"a": 1, "n": None}, "capabilities": []}
    assert page["items"] == [
        {"version": 3, "kind": "changed", "at": ADDED_AT, "patch": {"parent_id": None}},
        {"version": 2, "kind": "changed", "at": ADDED_AT, "patch": {"properties": {"a": None, "b": {"c": [None]}}}},
        {"version": 1, "kind": "added", "at": ADDED_AT, "patch": described | {"parent_id": site["id"]}},
    ]


async def test_an_asset_is_shown_as_it_was(api: Api) -> None:
    first = await api.add(properties={"a": 1}, device_id=str(api.add_device()))
    second = await patch(api, first, properties={"a": 1.0})
    third = await patch(api, first, capabilities=[{"name": "dosing"}])
    path = f"/assets/{first['id']}"

    assert [repr(await get(api, f"{path}?version={number}")) for number in (1, 2, 3)] == [
        repr(version) for version in (first, second, third)
    ]
    assert await get(api, f"{path}?at={ADDED_AT}") == third
    assert await get(api, f"{path}?at=9999-12-31T23:59:59Z") == third


async def test_an_asset_as_it_was_carries_the_tag_of_its_version(api: Api) -> None:
    asset = await api.add()
    await patch(api, asset, name="P2")
    path = f"/assets/{asset['id']}?version=1"

    answer = await api.call("GET", path)
    assert (answer.status_code, answer.headers["ETag"]) == (200, '"1"')
    answer = await api.call("GET", path, headers={"If-None-Match": '"1"'})
    assert (answer.status_code, await answer.get_data()) == (304, b"")
    assert (await api.call("GET", path, headers={"If-None-Match": '"2"'})).status_code == 200


@pytest.mark.parametrize(
    "query", ["version=2", "version=2147483647", "at=2026-11-19T23:59:59.999999Z", "at=0001-01-01T00:00:00Z", "at=0"]
)
async def test_what_an_asset_never_was_is_not_found(api: Api, query: str) -> None:
    asset = await api.add()

    answer = await api.call("GET", f"/assets/{asset['id']}?{query}")

    assert await refusal(answer) == (404, "assets.version.not_found", [])


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("version=x", "version"),
        ("version=0", "version"),
        ("version=-1", "version"),
        ("version=1.0", "version"),
        ("version=", "version"),
        ("version=2147483648", "version"),
        ("version=" + "9" * 5000, "version"),
        ("version=1%00", "version"),
        ("version=1&version=2", "version"),
        ("at=yesterday", "at"),
        ("at=", "at"),
        ("at=2026-11-20T00:00:00", "at"),
        ("at=0000-01-01T00:00:00Z", "at"),
        ("at=9999-12-31T23:59:59-14:00", "at"),
        ("version=1&at=0", "at"),
        ("when=0", "when"),
    ],
)
async def test_what_cannot_be_asked_is_refused_by_parameter(api: Api, query: str, parameter: str) -> None:
    asset = await api.add()

    assert await refusal(await api.call("GET", f"/assets/{asset['id']}?{query}")) == invalid(parameter)


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("start=yesterday", "start"),
        ("end=2026-11-20T00:00:00", "end"),
        ("start=2026-11-20T00:00:01Z&end=2026-11-20T00:00:00Z", "end"),
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("actor=user:1", "actor"),
    ],
)
async def test_a_history_that_cannot_be_asked_for_is_refused_by_parameter(
    api: Api, query: str, parameter: str
) -> None:
    asset = await api.add()

    assert await refusal(await api.call("GET", f"/assets/{asset['id']}/history?{query}")) == invalid(parameter)


@pytest.mark.parametrize(
    "cursor", ["!", "made-up", encode_cursor(1), encode_cursor("2026-11-20T00:00:00Z", 2**31), "a" * 1000]
)
async def test_a_made_up_cursor_is_malformed(api: Api, cursor: str) -> None:
    asset = await api.add()

    answer = await api.call("GET", f"/assets/{asset['id']}/history?cursor={cursor}")

    assert await refusal(answer) == (400, "request.cursor.malformed", [])


async def test_pages_follow_one_another_whatever_is_changed_meanwhile(api: Api) -> None:
    asset = await api.add()
    for number in range(4):
        await patch(api, asset, name=f"P{number}")
    path = f"/assets/{asset['id']}/history?limit=2"

    versions: list[int] = []
    page = await get(api, path)
    while page["next_cursor"] is not None:
        versions += [change["version"] for change in page["items"]]
        await patch(api, asset, name="later")
        page = await get(api, f"{path}&cursor={page['next_cursor']}")

    assert versions + [change["version"] for change in page["items"]] == [5, 4, 3, 2, 1]


@pytest.mark.parametrize("view", ["", "?version=1", "?at=2026-11-21T00:00:00Z", "/history", "/history?start=0"])
@pytest.mark.parametrize("whose", ["nobody's", "theirs", "removed"])
async def test_what_is_not_ours_has_no_history(api: Api, view: str, whose: str) -> None:
    asset_id = NOBODYS
    if whose == "theirs":
        asset_id = (await api.add(by="theirs-operator"))["id"]
    if whose == "removed":
        asset_id = (await api.add())["id"]
        assert (await api.call("DELETE", f"/assets/{asset_id}")).status_code == 204

    answer = await api.call("GET", f"/assets/{asset_id}{view}")

    assert await refusal(answer) == (404, "assets.asset.not_found", [])


async def test_a_history_of_a_time_without_changes_is_empty(api: Api) -> None:
    asset = await api.add()

    page = await get(api, f"/assets/{asset['id']}/history?start=2026-11-21T00:00:00Z")

    assert page == {"items": [], "next_cursor": None}


async def test_a_device_does_not_see_the_history(api: Api) -> None:
    device_id = api.add_device()
    asset = await api.add(device_id=str(device_id))

    answer: Response = await api.call_as_device(device_id, f"/assets/{asset['id']}/history")

    assert (await refusal(answer))[0] == 403
