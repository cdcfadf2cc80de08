from typing import Any

import pytest
from hypothesis import given

from iotsphere.kernel.actor import Role
from tests.api.bench import ApiBench
from tests.api.hostile import HOSTILE, JSON, OBJECTS

BOILER: dict[str, Any] = {
    "metrics": [
        {"name": "temperature", "unit": "°C", "type": "number", "min": -10, "max": 99.5, "description": "Water"},
        {"name": "burning", "unit": "", "type": "boolean"},
    ],
    "capabilities": [{"name": "heating", "max_kw": 24}],
    "shadow_schema": {"properties": {"target": {"type": "number", "maximum": 80}}},
    "maintenance": {"anode": {"every_days": 730}},
    "properties_schema": {"properties": {"volume_l": {"type": "number", "minimum": 0}}},
}


async def put(bench: ApiBench, body: Any, name: str = "boiler", **options: Any) -> Any:
    return await bench.call("PUT", f"/api/v1/device-types/{name}", json=body, **options)


async def remove(bench: ApiBench, name: str, **options: Any) -> Any:
    return await bench.delete(f"/device-types/{name}", **options)


async def test_the_first_put_makes_it_and_says_where(bench: ApiBench) -> None:
    made = await put(bench, BOILER, by="operator")

    assert made.status == 201
    assert (made.headers["Location"], made.headers["ETag"]) == ("/api/v1/device-types/boiler", '"1"')
    shown = await bench.get("/device-types/boiler", by="viewer")
    assert (shown.status, shown.json, shown.headers["ETag"]) == (200, made.json, '"1"')
    assert {name: made.json[name] for name in BOILER} == BOILER
    assert made.json.keys() - BOILER.keys() == {"name", "is_shipped", "created_at", "updated_at", "version"}
    assert not made.json["is_shipped"]


async def test_the_next_put_replaces_all_of_it(bench: ApiBench) -> None:
    await put(bench, BOILER)

    replaced = await put(bench, {"maintenance": {"pump": {}}})

    assert (replaced.status, replaced.headers["ETag"]) == (200, '"2"')
    assert "Location" not in replaced.headers
    assert (replaced.json["metrics"], replaced.json["capabilities"]) == ([], [])
    assert replaced.json["maintenance"] == {"pump": {}}
    assert not {"shadow_schema", "properties_schema"} & replaced.json.keys()


async def test_numbers_come_back_as_they_were_given(bench: ApiBench) -> None:
    metrics = [{"name": "a", "unit": "", "type": "number", "min": 1, "max": 1.0}]

    made = await put(bench, {"metrics": metrics, "maintenance": {"n": [2**64 + 1, 1.0, 1, [], {}]}})

    assert b'"min":1,"max":1.0' in made.body
    assert b"[18446744073709551617,1.0,1,[],{}]" in made.body


async def test_whoever_has_this_version_is_not_sent_it_again(bench: ApiBench) -> None:
    await put(bench, BOILER)

    same = await bench.get("/device-types/boiler", headers={"If-None-Match": '"1"'})
    other = await bench.get("/device-types/boiler", headers={"If-None-Match": '"2"'})

    assert (same.status, same.body, other.status) == (304, b"", 200)


async def test_a_put_heeds_the_version_that_it_expects(bench: ApiBench) -> None:
    early = await put(bench, BOILER, headers={"If-Match": '"1"'})
    await put(bench, BOILER)
    stale = await put(bench, {}, headers={"If-Match": '"7"'})
    fitting = await put(bench, {}, headers={"If-Match": '"1"'})

    assert early.refusal == stale.refusal == (412, "request.precondition.failed")
    assert (fitting.status, fitting.json["version"]) == (200, 2)


async def test_they_are_listed_by_name_page_by_page(bench: ApiBench) -> None:
    for name in ("pump", "boiler", "lift"):
        await put(bench, {}, name=name)
    await put(bench, {}, name="crane", by=bench.log_in(bench.add_user(bench.theirs, role=Role.OPERATOR)))

    first = await bench.get("/device-types?limit=5")
    second = await bench.get(f"/device-types?limit=5&cursor={first.json['next_cursor']}")

    assert [(item["name"], item["is_shipped"]) for item in first.json["items"]] == [
        ("boiler", False),
        ("hvac", True),
        ("lift", False),
        ("pump", False),
        ("robot", True),
    ]
    assert [item["name"] for item in second.json["items"]] == ["turbofan", "vending-machine", "water-heater"]
    assert second.json["next_cursor"] is None


async def test_a_shipped_one_is_replaced_and_taken_back(bench: ApiBench) -> None:
    shipped = await bench.get("/device-types/pump", by="viewer")
    assert (shipped.json["version"], shipped.json["is_shipped"], shipped.headers["ETag"]) == (1, True, '"1"')

    stale = await put(bench, {}, name="pump", headers={"If-Match": '"2"'})
    edited = await put(bench, {"maintenance": {"a": 1}}, name="pump", headers={"If-Match": '"1"'})
    assert stale.refusal == (412, "request.precondition.failed")
    assert (edited.status, edited.json["version"], edited.json["is_shipped"]) == (200, 2, False)
    assert (edited.json["metrics"], edited.json["maintenance"]) == ([], {"a": 1})

    removed = await remove(bench, "pump", by="operator")
    again = await bench.get("/device-types/pump")
    assert (removed.status, removed.body) == (204, b"")
    assert again.json["metrics"] == shipped.json["metrics"]
    # The version goes on: 1 and 2 have been something else for somebody.
    assert (again.json["is_shipped"], again.headers["ETag"]) == (True, '"3"')
    assert (await remove(bench, "pump")).refusal == (409, "assets.device_type.shipped")


async def test_what_was_said_of_a_type_is_taken_away(bench: ApiBench) -> None:
    await put(bench, BOILER)

    assert (await remove(bench, "boiler", headers={"If-Match": '"2"'})).status == 412
    assert (await remove(bench, "boiler", by="engineer")).status == 403
    assert (await remove(bench, "boiler", headers={"If-Match": '"1"'})).status == 204

    assert (await bench.get("/device-types/boiler")).refusal == (404, "assets.device_type.not_found")
    assert (await remove(bench, "boiler")).refusal == (404, "assets.device_type.not_found")
    anew = await put(bench, {})
    assert (anew.status, anew.headers["ETag"]) == (201, '"3"')
    entries = (await bench.get("/audit?action=remove_device_type")).json["items"]
    assert [entry["outcome"] for entry in entries if entry["target"] == "device_type:boiler"].count("done") == 1


@pytest.mark.parametrize("name", ["unheard-of", "Boiler", "a" * 64, "%00", "%ff", "a%2Fb", "..", "'"])
async def test_what_is_not_there_is_not_found(bench: ApiBench, name: str) -> None:
    assert (await bench.get(f"/device-types/{name}")).status == 404
    assert (await remove(bench, name)).status == 404


@pytest.mark.parametrize("name", ["Boiler", "a" * 64, "1a", "%00", "a%0A", "a_b", "%F0%9F%98%80"])
async def test_a_name_that_no_device_could_give_is_refused(bench: ApiBench, name: str) -> None:
    refused = await put(bench, {}, name=name)

    assert refused.refusal == (422, "request.payload.invalid")
    assert list(refused.json["errors"]) == ["name"]


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"colour": 1}, "colour"),
        ({"name": "boiler"}, "name"),
        ({"metrics": None}, "metrics"),
        ({"metrics": [{"name": "a", "type": "number"}]}, "metrics.0.unit"),
        ({"metrics": [{"name": "a", "unit": "", "type": "float"}]}, "metrics.0.type"),
        ({"metrics": [{"name": "a b", "unit": "", "type": "number"}]}, "metrics.0.name"),
        ({"metrics": [{"name": "a", "unit": "", "type": "number", "min": "1"}]}, "metrics.0.min"),
        ({"metrics": [{"name": "a", "unit": "", "type": "number", "max": True}]}, "metrics.0.max"),
        ({"metrics": [{"name": "a", "unit": "", "type": "number", "min": 2, "max": 1}]}, "metrics.0.max"),
        ({"metrics": [{"name": "a", "unit": "", "type": "string", "min": 2}]}, "metrics.0.min"),
        ({"metrics": [{"name": "a", "unit": "", "type": "number", "colour": 2}]}, "metrics.0.colour"),
        ({"metrics": [{"name": "a", "unit": "x" * 65, "type": "number"}]}, "metrics.0.unit"),
        ({"metrics": ["a"]}, "metrics.0._schema"),
        ({"capabilities": [{}]}, "capabilities.0.name"),
        ({"maintenance": []}, "maintenance"),
        ({"shadow_schema": True}, "shadow_schema"),
        ({"shadow_schema": None}, "shadow_schema"),
        ({"shadow_schema": {"properties": {"a": {"type": "x"}}}}, "shadow_schema.properties.a.type"),
        ({"shadow_schema": {"$ref": "https://example.com/schema"}}, "shadow_schema.$ref"),
        ({"shadow_schema": {"$ref": "#"}}, "shadow_schema"),
        ({"properties_schema": []}, "properties_schema"),
        ({"properties_schema": {"properties": {"a": {"type": "x"}}}}, "properties_schema.properties.a.type"),
        ({"properties_schema": {"$ref": "#"}}, "properties_schema"),
        ({"metrics": [{"name": "a", "unit": "", "type": "number", "description": 1}]}, "metrics.0.description"),
        (
            {"metrics": [{"name": "a", "unit": "", "type": "number", "description": "x" * 257}]},
            "metrics.0.description",
        ),
        ({"is_shipped": True}, "is_shipped"),
    ],
)
async def test_what_breaks_a_rule_is_refused_with_its_place(bench: ApiBench, body: Any, place: str) -> None:
    refused = await put(bench, body)

    assert refused.refusal == (422, "request.payload.invalid")
    assert list(refused.json["errors"]) == [place.removesuffix("._schema")]
    assert bench.device_types == {}


async def test_what_is_too_large_is_refused(bench: ApiBench) -> None:
    refused = await put(bench, {"maintenance": {"notes": "x" * 65_536}})

    assert refused.refusal == (413, "assets.device_type.too_large")


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "colour=1"])
async def test_a_list_takes_no_nonsense(bench: ApiBench, query: str) -> None:
    assert (await bench.get(f"/device-types?{query}")).status == 422


async def test_a_made_up_cursor_is_malformed(bench: ApiBench) -> None:
    assert (await bench.get("/device-types?cursor=WyJcdTAwMDAiXQ")).refusal == (400, "request.cursor.malformed")


async def test_an_engineer_looks_and_an_operator_defines(bench: ApiBench) -> None:
    device = bench.give_key(bench.add_device())
    await put(bench, {})

    assert (await put(bench, {}, by="engineer")).status == 403
    assert (await put(bench, {}, by=device)).status == 403
    assert (await bench.get("/device-types/boiler", by=device)).status == 403
    assert (await bench.get("/device-types", by=None)).status == 401
    assert (await bench.get("/device-types/boiler", by="engineer")).status == 200


async def test_another_organisation_has_its_own(bench: ApiBench) -> None:
    stranger = bench.log_in(bench.add_user(bench.theirs))
    await put(bench, BOILER)

    assert (await bench.get("/device-types/boiler", by=stranger)).refusal == (404, "assets.device_type.not_found")
    assert all(item["is_shipped"] for item in (await bench.get("/device-types", by=stranger)).json["items"])


async def test_the_trail_tells_who_defined_what_and_who_was_refused(bench: ApiBench) -> None:
    await put(bench, BOILER, by="operator")
    await put(bench, {"metrics": 1}, by="operator")
    await put(bench, {}, name="%00", by="operator")

    entries = (await bench.get("/audit?action=define_device_type")).json["items"]
    told = [(entry["target"], entry["outcome"], entry["details"].get("version")) for entry in entries]
    assert len(told) == 3
    assert set(told) == {
        ("device_type:boiler", "done", 1),
        ("device_type:boiler", "refused", None),
        (None, "refused", None),
    }


@HOSTILE
@given(said=OBJECTS, schema=JSON, metric=JSON)
async def test_nothing_that_anybody_sends_is_a_fault_of_ours(
    bench: ApiBench, said: Any, schema: Any, metric: Any
) -> None:
    for body in (said, {"shadow_schema": schema}, {"metrics": [metric]}, {"shadow_schema": {"properties": schema}}):
        assert (await put(bench, body)).status in {200, 201, 413, 422}
