from typing import Any
from uuid import uuid4

import pytest

from tests.api.assets.conftest import Api
from tests.api.assets.test_endpoints import NOBODYS, refusal


async def listed(api: Api, **query: str) -> dict[str, Any]:
    answer = await api.call("GET", "/assets", by="ours-viewer", query_string=query)
    assert answer.status_code == 200, await answer.get_data(as_text=True)
    page: dict[str, Any] = await answer.get_json()
    return page


async def test_a_list_is_narrowed_by_type_device_and_properties(api: Api) -> None:
    device_id = str(api.add_device())
    pump = await api.add(properties={"manufacturer": "Grundfos", "ratings": [1, 2]}, device_id=device_id)
    robot = await api.add(asset_type="robot", properties={"manufacturer": "Grundfos"})
    await api.add(by="theirs-operator", properties={"manufacturer": "Grundfos"})

    assert (await listed(api))["items"] == [pump, robot]
    assert (await listed(api, asset_type="robot"))["items"] == [robot]
    assert (await listed(api, device_id=device_id))["items"] == [pump]
    assert (await listed(api, device_id=str(uuid4())))["items"] == []
    assert (await listed(api, match='{"manufacturer":"Grundfos"}'))["items"] == [pump, robot]
    assert (await listed(api, match='{"ratings":[2.0]}'))["items"] == [pump]
    assert (await listed(api, match="{}", asset_type="pump"))["items"] == [pump]


async def test_pages_follow_one_another_to_the_end(api: Api) -> None:
    assets = [await api.add() for _ in range(3)]

    first = await listed(api, limit="2")
    second = await listed(api, limit="2", cursor=first["next_cursor"])

    assert first["items"] + second["items"] == assets
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("match=", "match"),
        ("match={", "match"),
        ("match=[]", "match"),
        ("match=null", "match"),
        ("match=5", "match"),
        ('match={"a":NaN}', "match"),
        ('match={"a":"\\u0000"}', "match"),
        ('match={"a":"%00"}', "match"),
        ('match={"a\\u0000":1}', "match"),
        ('match={"a":"\\ud800"}', "match"),
        ("match=" + '{"a":' * 33 + "1" + "}" * 33, "match"),
        ("match=" + "[" * 3000, "match"),
        ('match={"a":"' + "x" * 4096 + '"}', "match"),
        ('match={"a":"' + "%C3%BC" * 2050 + '"}', "match"),
        ("match={}&match={}", "match"),
        ("asset_type=Pump", "asset_type"),
        ("asset_type=%00", "asset_type"),
        ("device_id=1", "device_id"),
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=ten", "limit"),
        ("parent_id=1", "parent_id"),
        ("ancestor=1", "ancestor"),
        ("related_to=1", "related_to"),
        ("relationship=feeds", "relationship"),
        ("direction=in", "direction"),
        (f"related_to={NOBODYS}&direction=both", "direction"),
        (f"related_to={NOBODYS}&relationship=Feeds", "relationship"),
        ("q=", "q"),
        ("q=%00", "q"),
        ("q=...", "q"),
        ("q=" + "a" * 257, "q"),
        ("sort=", "sort"),
        ("sort=version", "sort"),
        ("sort=properties", "sort"),
        ("sort=properties.a%00", "sort"),
        ("sort=name&sort=name", "sort"),
        ("path=", "path"),
        ("path=" + "a" * 5000, "path"),
        ("filter=x", "filter"),
    ],
)
async def test_a_list_that_cannot_be_asked_for_is_refused_by_parameter(api: Api, query: str, field: str) -> None:
    answer = await api.call("GET", f"/assets?{query}")

    status, code, fields = await refusal(answer)
    assert (status, code) == (422, "request.payload.invalid")
    assert [named.partition(".")[0] for named in fields] == [field]


@pytest.mark.parametrize("cursor", ["!", "made-up", "W10", "a" * 1000])
async def test_a_made_up_cursor_is_malformed(api: Api, cursor: str) -> None:
    answer = await api.call("GET", f"/assets?cursor={cursor}")

    assert await refusal(answer) == (400, "request.cursor.malformed", [])


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("$", "assets.predicate.malformed"),
        ("$.a == ", "assets.predicate.malformed"),
        ("$.a == $.b", "assets.predicate.malformed"),
        ("$.a%20==%20%221%22);--", "assets.predicate.malformed"),
        ('$.a == "\\u0000"', "assets.predicate.malformed"),
        ('$.a like_regex "(a%2B)%2B"', "assets.predicate.pattern_unsupported"),
        ("%26%26".join(["$.a==1"] * 200), "assets.predicate.too_large"),
    ],
)
async def test_a_predicate_that_is_none_is_refused_with_where_and_why(api: Api, path: str, code: str) -> None:
    assert await refusal(await api.call("GET", f"/assets?path={path}")) == (422, code, ["path"])


async def test_assets_are_found_by_where_they_are_and_what_they_have_to_do_with(api: Api) -> None:
    site = await api.add(name="Site")
    hall = await api.add(name="Hall B", parent_id=site["id"])
    pump = await api.add(name="Feed pump", parent_id=hall["id"], properties={"kw": 7})
    boiler = await api.add(name="Boiler", properties={"kw": 40.5})
    related = await api.call("PUT", f"/assets/{pump['id']}/relationships/feeds/{boiler['id']}", json={})
    assert related.status_code == 201

    assert (await listed(api, ancestor=site["id"]))["items"] == [hall, pump]
    assert (await listed(api, parent_id=site["id"]))["items"] == [hall]
    assert (await listed(api, related_to=boiler["id"]))["items"] == [pump]
    assert (await listed(api, related_to=boiler["id"], relationship="serves"))["items"] == []
    assert (await listed(api, related_to=pump["id"], direction="in"))["items"] == [boiler]
    assert (await listed(api, q="PUMP feed"))["items"] == [pump]
    assert (await listed(api, path='$."kw" > 10'))["items"] == [boiler]
    assert (await listed(api, sort="-properties.kw"))["items"] == [boiler, pump, site, hall]
    assert (await listed(api, sort="name"))["items"] == [boiler, pump, hall, site]


@pytest.mark.parametrize("member", ["ancestor", "parent_id", "related_to"])
async def test_what_is_looked_for_below_or_around_what_is_not_there_is_not_found(api: Api, member: str) -> None:
    theirs = await api.add(by="theirs-operator")

    answers = [await api.call("GET", f"/assets?{member}={asset_id}") for asset_id in (theirs["id"], NOBODYS)]

    assert [await refusal(answer) for answer in answers] == [(404, "assets.asset.not_found", [])] * 2
    details = [(await answer.get_json())["detail"] for answer in answers]
    assert details[0] == details[1]


async def test_a_cursor_of_another_search_is_malformed(api: Api) -> None:
    for _ in range(3):
        await api.add()
    cursor = (await listed(api, limit="1"))["next_cursor"]

    for query in ("sort=-created_at", "sort=name", "match={}", "asset_type=pump", "q=p", "path=$.a==1"):
        answer = await api.call("GET", f"/assets?{query}&cursor={cursor}")
        assert await refusal(answer) == (400, "request.cursor.malformed", [])
    assert len((await listed(api, limit="5", cursor=cursor))["items"]) == 2
