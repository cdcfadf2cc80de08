from typing import Any
from uuid import uuid4

import pytest

from tests.api.assets.conftest import Api

COUNT = {"op": "count"}
KW = {"op": "avg", "of": "properties.rated_power_kw"}


async def ask(api: Api, *, by: str = "ours-viewer", **body: Any) -> tuple[int, dict[str, Any]]:
    answer = await api.call("POST", "/assets/aggregate", by=by, json=body)
    return answer.status_code, await answer.get_json()


async def test_figures_are_told_by_groups_the_largest_first(api: Api) -> None:
    for kw in (1, 2.5):
        await api.add(properties={"manufacturer": "Grundfos", "rated_power_kw": kw})
    await api.add(properties={"manufacturer": "Wilo"})
    await api.add(by="theirs-operator", properties={"manufacturer": "KSB"})

    status, found = await ask(api, group_by="properties.manufacturer", measures=[COUNT, KW])

    assert status == 200
    assert found == {
        "groups": [
            {"group": "Grundfos", "measures": [COUNT | {"value": 2}, KW | {"value": 1.75}]},
            {"group": "Wilo", "measures": [COUNT | {"value": 1}, KW | {"value": None}]},
        ],
        "total_groups": 2,
    }


async def test_groups_of_several_things_are_lists_and_all_together_is_none(api: Api) -> None:
    hall = await api.add(asset_type="hall", name="Hall 1")
    await api.add(parent_id=hall["id"], properties={"fluid": "water"})
    await api.add(parent_id=hall["id"])

    _, several = await ask(api, group_by=["ancestor.hall", "properties.fluid"], measures=[COUNT])
    _, of_one = await ask(api, group_by=["asset_type"], measures=[COUNT])
    _, together = await ask(api, measures=[COUNT])

    assert [group["group"] for group in several["groups"]] == [
        [hall["id"], "water"],
        [hall["id"], None],
        [None, None],
    ]
    assert [group["group"] for group in of_one["groups"]] == [["pump"], ["hall"]]
    assert together == {"groups": [{"measures": [COUNT | {"value": 3}]}], "total_groups": 1}


async def test_assets_by_which_others_are_grouped_are_told_by_their_names_too(api: Api) -> None:
    hall = await api.add(asset_type="hall", name="Hall 1")
    await api.add(parent_id=hall["id"], properties={"fluid": "water"})

    _, by_parent = await ask(api, group_by="parent_id", measures=[COUNT])
    _, by_both = await ask(api, group_by=["properties.fluid", "ancestor.hall"], measures=[COUNT])
    _, by_type = await ask(api, group_by="asset_type", measures=[COUNT])

    assert [(group["group"], group["group_name"]) for group in by_parent["groups"]] == [
        (hall["id"], "Hall 1"),
        (None, None),
    ]
    assert [(group["group"], group["group_name"]) for group in by_both["groups"]] == [
        (["water", hall["id"]], [None, "Hall 1"]),
        ([None, None], [None, None]),
    ]
    assert ["group_name" in group for group in by_type["groups"]] == [False, False]


@pytest.mark.parametrize(
    ("narrowed_to", "count"),
    [
        ({}, 3),
        ({"asset_type": "pump"}, 2),
        ({"match": {"maker": "x"}}, 1),
        ({"path": "$.kw > 1"}, 1),
        ({"q": "feed"}, 1),
        ({"match": {"maker": "x"}, "path": "$.kw > 1"}, 0),
    ],
)
async def test_what_is_looked_for_is_said_as_in_a_search(api: Api, narrowed_to: dict[str, Any], count: int) -> None:
    await api.add(name="Feed pump", properties={"maker": "x", "kw": 1})
    await api.add(properties={"kw": 2})
    await api.add(asset_type="hall")

    status, found = await ask(api, measures=[COUNT], filter=narrowed_to)

    assert status == 200
    assert found["groups"][0]["measures"] == [COUNT | {"value": count}]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "measures"),
        ({"measures": []}, "measures"),
        ({"measures": [COUNT] * 21}, "measures"),
        ({"measures": [{"op": "median"}]}, "measures.0.op"),
        ({"measures": [{"op": "count", "over": 1}]}, "measures.0.over"),
        ({"measures": [COUNT, {"op": "avg"}]}, "measures.1.of"),
        ({"measures": [{"op": "avg", "of": "name"}]}, "measures.0.of"),
        ({"measures": [{"op": "avg", "of": "properties."}]}, "measures.0.of"),
        ({"measures": [{"op": "avg", "of": "properties.a..b"}]}, "measures.0.of"),
        ({"measures": [{"op": "avg", "of": f"properties.{'x' * 600}"}]}, "measures.0.of"),
        ({"measures": [COUNT], "group_by": None}, "group_by"),
        ({"measures": [COUNT], "group_by": 7}, "group_by"),
        ({"measures": [COUNT], "group_by": {}}, "group_by"),
        ({"measures": [COUNT], "group_by": "name"}, "group_by"),
        ({"measures": [COUNT], "group_by": "ancestor"}, "group_by"),
        ({"measures": [COUNT], "group_by": "ancestor.Hall"}, "group_by"),
        ({"measures": [COUNT], "group_by": ["asset_type", 7]}, "group_by"),
        ({"measures": [COUNT], "group_by": ["asset_type", "asset_type"]}, "group_by"),
        ({"measures": [COUNT], "group_by": ["asset_type", "parent_id", "properties.a", "properties.b"]}, "group_by"),
        ({"measures": [COUNT], "filter": []}, "filter"),
        ({"measures": [COUNT], "filter": {"name": "P1"}}, "filter.name"),
        ({"measures": [COUNT], "filter": {"match": '{"a": 1}'}}, "filter.match"),
        ({"measures": [COUNT], "filter": {"match": {"a": "x" * 5000}}}, "filter.match"),
        ({"measures": [COUNT], "filter": {"path": "$.a =="}}, "filter.path"),
        ({"measures": [COUNT], "filter": {"direction": "in"}}, "filter.direction"),
        ({"measures": [COUNT], "limit": 10}, "limit"),
    ],
)
async def test_what_cannot_be_asked_is_refused(api: Api, body: dict[str, Any], field: str) -> None:
    status, problem = await ask(api, **body)

    assert status == 422
    assert list(problem["errors"]) == [field]


@pytest.mark.parametrize("member", ["ancestor", "parent_id", "related_to"])
async def test_what_is_below_others_assets_is_as_unknown_as_what_is_below_none(api: Api, member: str) -> None:
    theirs = await api.add(by="theirs-operator")

    for asset_id in (theirs["id"], str(uuid4())):
        status, problem = await ask(api, measures=[COUNT], filter={member: asset_id})
        assert (status, problem["code"]) == (404, "assets.asset.not_found")


async def test_numbers_that_make_no_figure_are_said_so(api: Api) -> None:
    for _ in range(2):
        await api.add(properties={"rated_power_kw": 1e308})

    status, problem = await ask(api, measures=[KW | {"op": "sum"}])

    assert (status, problem["code"]) == (422, "assets.aggregate.overflow")
