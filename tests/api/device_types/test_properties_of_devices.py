"""The properties of a device's asset, held against the device's type wherever they are said."""

import json
from typing import Any

from tests.api.bench import ApiBench

SCHEMA = {"properties": {"litres": {"type": "number", "minimum": 1}, "tank": {"items": {"type": "string"}}}}


async def define(bench: ApiBench, schema: dict[str, Any] | None = None) -> None:
    body = {"properties_schema": SCHEMA if schema is None else schema}
    assert (await bench.call("PUT", "/api/v1/device-types/boiler", json=body)).status in {200, 201}


async def test_a_device_is_not_registered_with_what_its_type_does_not_let_it_be(bench: ApiBench) -> None:
    await define(bench)

    refused = await bench.register(device_type="boiler", asset={"properties": {"litres": 0, "tank": ["a", 1]}})

    assert refused.refusal == (422, "request.payload.invalid")
    assert refused.json["errors"] == {
        "asset.properties.litres": ["It is less than the minimum of 1"],
        "asset.properties.tank.1": ['It is not of type "string"'],
    }
    assert bench.tables.devices == {}


async def test_an_import_refuses_the_line_alone(bench: ApiBench) -> None:
    await define(bench)
    lines = [
        {"serial_number": str(litres), "device_type": "boiler", "asset": {"properties": {"litres": litres}}}
        for litres in (0, 1)
    ]

    imported = await bench.call(
        "POST",
        "/api/v1/devices/import",
        data="\n".join(map(json.dumps, lines)),
        headers={"Content-Type": "application/x-ndjson"},
    )

    answers = [json.loads(line) for line in imported.body.splitlines()]
    assert [answer["status"] for answer in answers] == ["rejected", "created"]
    assert (answers[0]["code"], list(answers[0]["errors"])) == (
        "request.payload.invalid",
        ["asset.properties.litres"],
    )


async def test_neither_what_is_added_nor_what_is_changed_may_break_it(bench: ApiBench) -> None:
    await define(bench)
    device = bench.add_device(device_type="boiler")
    body = {"asset_type": "boiler", "name": "B", "device_id": str(device.id)}

    refused = await bench.post("/assets", body | {"properties": {"litres": 0}})
    added = await bench.post("/assets", body | {"properties": {"litres": 1}})
    worse = await bench.patch(f"/assets/{added.json['id']}", {"properties": {"litres": 0}})

    for answer in (refused, worse):
        assert answer.refusal == (422, "request.payload.invalid")
        assert list(answer.json["errors"]) == ["properties.litres"]
    assert (await bench.get(f"/assets/{added.json['id']}")).json["properties"] == {"litres": 1}


async def test_numbers_and_depths_of_every_kind_pass_a_shipped_type_as_they_are(bench: ApiBench) -> None:
    nested = "[" * 30 + "]" * 30
    properties = f'{{"big":{2**70},"one":1.0,"rated_power_kw":1.5,"nested":{nested},"text":"\\u2028"}}'
    body = f'{{"serial_number":"a","device_type":"pump","asset":{{"properties":{properties}}}}}'

    registered = await bench.send("/devices", body.encode())

    assert registered.status == 201
    shown = await bench.get(f"/devices/{registered.json['id']}/asset")
    assert shown.json["properties"] == json.loads(properties)
