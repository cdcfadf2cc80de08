from typing import Any

import pytest
from quart import Response

from iotsphere.assets.place import MAX_LEVELS
from tests.api.assets.conftest import Api
from tests.api.assets.test_endpoints import NOBODYS, invalid, refusal


async def page_of(api: Api, path: str, **query: Any) -> dict[str, Any]:
    answer = await api.call("GET", path, by="ours-viewer", query_string=query)
    assert answer.status_code == 200, await answer.get_data(as_text=True)
    page: dict[str, Any] = await answer.get_json()
    return page


async def grow(api: Api, *names: str) -> list[dict[str, Any]]:
    """Add assets each below the one before."""
    chain: list[dict[str, Any]] = []
    for name in names:
        above = {"parent_id": chain[-1]["id"]} if chain else {}
        chain.append(await api.add(name=name, **above))
    return chain


async def patch(api: Api, asset: dict[str, Any], **changes: Any) -> Response:
    return await api.call("PATCH", f"/assets/{asset['id']}", json=changes)


async def test_an_asset_tells_of_what_it_is_part(api: Api) -> None:
    site, hall = await grow(api, "site", "hall")

    assert "parent_id" not in site
    assert hall["parent_id"] == site["id"]
    assert await (await api.call("GET", f"/assets/{hall['id']}")).get_json() == hall


async def test_ancestors_come_from_the_root_down_and_descendants_each_before_its_own(api: Api) -> None:
    site, hall, line, pump = await grow(api, "site", "hall", "line", "pump")
    yard = await api.add(name="yard", parent_id=site["id"])

    assert (await page_of(api, f"/assets/{pump['id']}/ancestors"))["items"] == [site, hall, line]
    assert (await page_of(api, f"/assets/{site['id']}/descendants"))["items"] == [hall, line, pump, yard]
    assert (await page_of(api, f"/assets/{site['id']}/descendants", depth=1))["items"] == [hall, yard]
    assert (await page_of(api, f"/assets/{site['id']}/descendants", depth=2))["items"] == [hall, line, yard]
    assert await page_of(api, f"/assets/{site['id']}/ancestors") == {"items": [], "next_cursor": None}
    assert await page_of(api, f"/assets/{pump['id']}/descendants") == {"items": [], "next_cursor": None}


@pytest.mark.parametrize("relatives", ["ancestors", "descendants"])
async def test_pages_of_relatives_follow_one_another_to_the_end(api: Api, relatives: str) -> None:
    chain = await grow(api, "site", "hall", "line", "pump")
    path = f"/assets/{chain[3 if relatives == 'ancestors' else 0]['id']}/{relatives}"

    first = await page_of(api, path, limit=2)
    second = await page_of(api, path, limit=2, cursor=first["next_cursor"])

    assert first["items"] + second["items"] == (chain[:3] if relatives == "ancestors" else chain[1:])
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("depth=0", "depth"),
        ("depth=-1", "depth"),
        (f"depth={MAX_LEVELS + 1}", "depth"),
        ("depth=x", "depth"),
        ("depth=", "depth"),
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("level=1", "level"),
    ],
)
async def test_descendants_that_cannot_be_asked_for_are_refused_by_parameter(
    api: Api, query: str, field: str
) -> None:
    asset = await api.add()

    assert await refusal(await api.call("GET", f"/assets/{asset['id']}/descendants?{query}")) == invalid(field)


@pytest.mark.parametrize("relatives", ["ancestors", "descendants"])
@pytest.mark.parametrize("cursor", ["!", "made-up", "W10", "WzBd", "WyJhIl0", "a" * 1000])
async def test_a_made_up_cursor_of_relatives_is_malformed(api: Api, relatives: str, cursor: str) -> None:
    asset = await api.add()

    answer = await api.call("GET", f"/assets/{asset['id']}/{relatives}?cursor={cursor}")

    assert await refusal(answer) == (400, "request.cursor.malformed", [])


@pytest.mark.parametrize("relatives", ["ancestors", "descendants", "relationships"])
@pytest.mark.parametrize("asset_id", [NOBODYS, "theirs"])
async def test_what_is_not_ours_has_no_relatives(api: Api, relatives: str, asset_id: str) -> None:
    if asset_id == "theirs":
        asset_id = (await api.add(by="theirs-operator"))["id"]

    answer = await api.call("GET", f"/assets/{asset_id}/{relatives}")

    assert await refusal(answer) == (404, "assets.asset.not_found", [])


async def test_a_patch_moves_an_asset_with_all_below_it_and_changes_what_else_it_says(api: Api) -> None:
    site, hall, line, pump = await grow(api, "site", "hall", "line", "pump")
    yard = await api.add(name="yard", parent_id=site["id"])

    answer = await patch(api, line, parent_id=yard["id"], name="line 2", properties={"moved": True})

    moved = await answer.get_json()
    changes = {"parent_id": yard["id"], "name": "line 2", "version": 2}
    assert moved == line | changes | {"properties": {"moved": True}}
    assert (await page_of(api, f"/assets/{pump['id']}/ancestors"))["items"] == [site, yard, moved]
    assert (await page_of(api, f"/assets/{hall['id']}/descendants"))["items"] == []


async def test_null_makes_an_asset_a_root_and_a_patch_that_says_nothing_leaves_it(api: Api) -> None:
    site, hall, pump = await grow(api, "site", "hall", "pump")

    renamed = await (await patch(api, hall, name="Hall")).get_json()
    root = await (await patch(api, hall, parent_id=None)).get_json()

    assert renamed["parent_id"] == site["id"]
    assert "parent_id" not in root
    assert (await page_of(api, f"/assets/{pump['id']}/ancestors"))["items"] == [root]


async def test_a_move_to_where_it_is_changes_the_version_alone(api: Api) -> None:
    site, hall = await grow(api, "site", "hall")

    answer = await patch(api, hall, parent_id=site["id"])

    assert await answer.get_json() == hall | {"version": 2}


async def test_nothing_is_put_below_itself(api: Api) -> None:
    chain = await grow(api, "site", "hall", "line", "pump")

    for target in chain[1:]:
        answer = await patch(api, chain[1], parent_id=target["id"], name="changed")
        assert await refusal(answer) == (409, "assets.asset.cycle", [])

    assert (await page_of(api, f"/assets/{chain[0]['id']}/descendants"))["items"] == chain[1:]


@pytest.mark.parametrize("parent", [NOBODYS, "theirs"])
async def test_a_parent_that_is_not_ours_is_no_parent(api: Api, parent: str) -> None:
    if parent == "theirs":
        parent = (await api.add(by="theirs-operator"))["id"]
    asset = await api.add()

    added = await api.call("POST", "/assets", json={"asset_type": "p", "name": "P", "parent_id": parent})
    moved = await patch(api, asset, parent_id=parent, name="changed")

    assert await refusal(added) == await refusal(moved) == invalid("parent_id")
    assert await added.get_json() | {"correlation_id": ""} == await moved.get_json() | {"correlation_id": ""}
    assert await (await api.call("GET", f"/assets/{asset['id']}")).get_json() == asset


async def test_a_tree_has_64_levels_at_the_most(api: Api) -> None:
    chain = await grow(api, *map(str, range(MAX_LEVELS)))
    pair = await grow(api, "one", "other")

    added = await api.call("POST", "/assets", json={"asset_type": "p", "name": "P", "parent_id": chain[-1]["id"]})
    moved = await patch(api, pair[0], parent_id=chain[-2]["id"])

    assert await refusal(added) == await refusal(moved) == invalid("parent_id")
    assert (await patch(api, pair[0], parent_id=chain[-3]["id"])).status_code == 200


async def test_an_asset_with_others_below_it_is_not_removed(api: Api) -> None:
    site, hall = await grow(api, "site", "hall")

    refused = await api.call("DELETE", f"/assets/{site['id']}")
    assert await refusal(refused) == (409, "assets.asset.has_children", [])

    assert (await api.call("DELETE", f"/assets/{hall['id']}")).status_code == 204
    assert (await api.call("DELETE", f"/assets/{site['id']}")).status_code == 204


async def test_a_move_heeds_the_version(api: Api) -> None:
    site, hall = await grow(api, "site", "hall")
    path = f"/assets/{hall['id']}"

    stale = await api.call("PATCH", path, json={"parent_id": None}, headers={"If-Match": '"2"'})

    assert (await refusal(stale))[0] == 412
    assert (await page_of(api, f"{path}/ancestors"))["items"] == [site]
    assert (await api.call("PATCH", path, json={"parent_id": None}, headers={"If-Match": '"1"'})).status_code == 200


@pytest.mark.parametrize("relatives", ["ancestors", "descendants"])
async def test_a_device_may_not_look_around(api: Api, relatives: str) -> None:
    device_id = api.add_device()
    asset = await api.add(device_id=str(device_id))

    assert (await refusal(await api.call_as_device(device_id, f"/assets/{asset['id']}/{relatives}")))[0] == 403
