import json
from typing import Any

import pytest
from quart import Response

from tests.api.assets.conftest import Api
from tests.api.assets.test_endpoints import NOBODYS, invalid, refusal


def path_of(one: dict[str, Any], other: dict[str, Any], type_name: str = "feeds") -> str:
    return f"/assets/{one['id']}/relationships/{type_name}/{other['id']}"


async def relate(api: Api, one: dict[str, Any], other: dict[str, Any], type_name: str = "feeds", **body: Any) -> Any:
    answer = await api.call("PUT", path_of(one, other, type_name), json=body)
    assert answer.status_code in {200, 201}, await answer.get_data(as_text=True)
    return await answer.get_json()


async def listed(api: Api, asset: dict[str, Any], **query: Any) -> dict[str, Any]:
    answer = await api.call("GET", f"/assets/{asset['id']}/relationships", by="ours-viewer", query_string=query)
    assert answer.status_code == 200, await answer.get_data(as_text=True)
    page: dict[str, Any] = await answer.get_json()
    return page


async def test_two_assets_are_related_and_what_is_said_of_that_can_be_replaced(api: Api) -> None:
    pump, boiler = await api.add(), await api.add()
    path = path_of(pump, boiler)

    made = await api.call("PUT", path, json={"properties": {"bar": 4, "gone": True}})
    replaced = await api.call("PUT", path, json={"properties": {"bar": 5.0}})
    emptied = await api.call("PUT", path, json={})

    first = await made.get_json()
    assert (made.status_code, made.headers["ETag"], made.headers["Location"]) == (201, '"1"', f"/api/v1{path}")
    assert first == {
        "asset_id": pump["id"],
        "type": "feeds",
        "other_id": boiler["id"],
        "properties": {"bar": 4, "gone": True},
        "created_at": "2026-11-20T00:00:00.000000Z",
        "updated_at": "2026-11-20T00:00:00.000000Z",
        "version": 1,
    }
    assert (replaced.status_code, replaced.headers["ETag"]) == (200, '"2"')
    assert "Location" not in replaced.headers
    assert '"bar":5.0' in await replaced.get_data(as_text=True)
    # However late it is by a clock that stands still, what changes something is later than that.
    later = {"updated_at": "2026-11-20T00:00:00.000002Z"}
    assert await emptied.get_json() == first | later | {"properties": {}, "version": 3}
    shown = await api.call("GET", path, by="ours-viewer")
    assert (await shown.get_json(), shown.headers["ETag"]) == (await emptied.get_json(), '"3"')


async def test_relationships_are_listed_by_direction_and_type(api: Api) -> None:
    pump, boiler, spare = [await api.add() for _ in range(3)]
    feeds = await relate(api, pump, boiler)
    replaces = await relate(api, pump, spare, "replaces")
    back = await relate(api, boiler, pump)

    assert (await listed(api, pump))["items"] == [feeds, replaces]
    assert (await listed(api, pump, direction="out"))["items"] == [feeds, replaces]
    assert (await listed(api, pump, direction="in"))["items"] == [back]
    assert (await listed(api, pump, type="replaces"))["items"] == [replaces]
    assert (await listed(api, spare, direction="in", type="feeds"))["items"] == []


async def test_pages_of_relationships_follow_one_another_to_the_end(api: Api) -> None:
    pump, *others = [await api.add() for _ in range(4)]
    made = [await relate(api, pump, other) for other in others]

    first = await listed(api, pump, limit=2)
    second = await listed(api, pump, limit=2, cursor=first["next_cursor"])

    assert first["items"] + second["items"] == made
    assert second["next_cursor"] is None


async def test_an_ended_relationship_is_gone(api: Api) -> None:
    pump, boiler = await api.add(), await api.add()
    await relate(api, pump, boiler)

    ended = await api.call("DELETE", path_of(pump, boiler))

    assert (ended.status_code, await ended.get_data(as_text=False)) == (204, b"")
    for method in ("GET", "DELETE"):
        again = await api.call(method, path_of(pump, boiler))
        assert await refusal(again) == (404, "assets.relationship.not_found", [])
    assert (await listed(api, pump))["items"] == []


@pytest.mark.parametrize("end", [0, 1])
async def test_relationships_go_with_either_asset(api: Api, end: int) -> None:
    pair = [await api.add(), await api.add()]
    await relate(api, pair[0], pair[1])

    assert (await api.call("DELETE", f"/assets/{pair[end]['id']}")).status_code == 204

    assert (await listed(api, pair[1 - end], direction=("out", "in")[1 - end]))["items"] == []


async def test_nothing_is_related_to_itself_but_circles_are_fine(api: Api) -> None:
    pump, boiler = await api.add(), await api.add()

    refused = await api.call("PUT", path_of(pump, pump), json={})
    assert await refusal(refused) == (409, "assets.relationship.to_itself", [])

    await relate(api, pump, boiler)
    await relate(api, boiler, pump)


@pytest.mark.parametrize("end", [0, 1])
@pytest.mark.parametrize("whose", ["nobody", "theirs"])
async def test_nothing_is_related_to_what_is_not_ours(api: Api, end: int, whose: str) -> None:
    ours = await api.add()
    foreign = {"id": NOBODYS} if whose == "nobody" else await api.add(by="theirs-operator")
    path = path_of(foreign, ours) if end == 0 else path_of(ours, foreign)

    answer = await api.call("PUT", path, json={})

    assert await refusal(answer) == (404, "assets.asset.not_found", [])


async def test_nobody_else_sees_changes_or_ends_a_relationship(api: Api) -> None:
    pump, boiler = await api.add(), await api.add()
    made = await relate(api, pump, boiler)

    for method, code in (("GET", "relationship"), ("PUT", "asset"), ("DELETE", "relationship")):
        body: dict[str, Any] | None = {} if method == "PUT" else None
        answer = await api.call(method, path_of(pump, boiler), by="theirs-operator", json=body)
        assert await refusal(answer) == (404, f"assets.{code}.not_found", [])

    assert (await listed(api, pump))["items"] == [made]


@pytest.mark.parametrize("type_name", ["Feeds", "1", "a_b", "a" * 64, "a%00", "%C3%BC", "a%0A", "a%20b"])
async def test_a_type_is_a_name_of_small_letters(api: Api, type_name: str) -> None:
    pump, boiler = await api.add(), await api.add()
    path = path_of(pump, boiler, type_name)

    assert await refusal(await api.call("PUT", path, json={})) == invalid("type")
    for method in ("GET", "DELETE"):
        assert await refusal(await api.call(method, path)) == (404, "assets.relationship.not_found", [])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], "body"),
        ({"properties": None}, "properties"),
        ({"properties": []}, "properties"),
        ({"properties": {"a": ["\0"]}}, "properties.a.0"),
        ({"type": "feeds"}, "type"),
        ({"version": 1}, "version"),
    ],
)
async def test_a_relationship_that_does_not_fit_is_refused_by_field(api: Api, body: Any, field: str) -> None:
    pump, boiler = await api.add(), await api.add()

    assert await refusal(await api.call("PUT", path_of(pump, boiler), json=body)) == invalid(field)
    assert (await listed(api, pump))["items"] == []


async def test_properties_of_a_relationship_may_take_16_kib(api: Api) -> None:
    pump, boiler = await api.add(), await api.add()
    largest = {"a": "x" * (16 * 1024 - len('{"a":""}'))}

    await relate(api, pump, boiler, properties=largest)
    too_large = await api.call("PUT", path_of(pump, boiler), json={"properties": {"a": largest["a"] + "x"}})

    assert await refusal(too_large) == (413, "assets.relationship.too_large", [])


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("direction=both", "direction"),
        ("direction=OUT", "direction"),
        ("direction=", "direction"),
        ("type=Feeds", "type"),
        ("type=%00", "type"),
        ("limit=0", "limit"),
        ("other=x", "other"),
    ],
)
async def test_relationships_that_cannot_be_asked_for_are_refused_by_parameter(
    api: Api, query: str, field: str
) -> None:
    pump = await api.add()

    assert await refusal(await api.call("GET", f"/assets/{pump['id']}/relationships?{query}")) == invalid(field)


async def test_writes_of_another_version_than_the_expected_one_are_refused(api: Api) -> None:
    pump, boiler = await api.add(), await api.add()
    path = path_of(pump, boiler)

    async def put(tag: str) -> Response:
        return await api.call("PUT", path, json={}, headers={"If-Match": tag})

    assert (await refusal(await put('"1"')))[0] == 412
    await relate(api, pump, boiler)
    assert (await refusal(await put('"2"')))[0] == 412
    assert (await refusal(await api.call("DELETE", path, headers={"If-Match": '"2"'})))[0] == 412
    assert (await put('"1"')).status_code == 200
    assert (await api.call("DELETE", path, headers={"If-Match": '"2"'})).status_code == 204


@pytest.mark.parametrize(
    ("method", "by", "status"),
    [
        ("GET", "ours-viewer", 200),
        ("PUT", "ours-engineer", 403),
        ("DELETE", "ours-engineer", 403),
        ("PUT", "ours-operator", 200),
        ("DELETE", "ours-operator", 204),
        ("GET", "strangers-viewer", 401),
    ],
)
async def test_operators_relate_and_viewers_look(api: Api, method: str, by: str, status: int) -> None:
    pump, boiler = await api.add(), await api.add()
    await relate(api, pump, boiler)

    answer = await api.call(method, path_of(pump, boiler), by=by, json={} if method == "PUT" else None)

    assert answer.status_code == status


async def test_a_relationship_is_sent_as_json(api: Api) -> None:
    pump, boiler = await api.add(), await api.add()

    answer = await api.call("PUT", path_of(pump, boiler), data=json.dumps({}), headers={"Content-Type": "text/plain"})

    assert (await refusal(answer))[0] == 415
