"""What the page of the API proposes to be sent, sent as it stands."""

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.api.bench import ApiBench
from tests.api.edge.test_openapi import operations

OF_ASSETS = {
    "asset_aggregate", "asset_bulk", "assets", "device_types", "maintenance", "maintenance_bulk", "relationships",
}  # fmt: skip
OF_DEVICES = {"/api/v1/devices", "/api/v1/devices/import"}


async def propose(bench: ApiBench) -> list[tuple[str, str, str, str]]:
    """Give method, path, media type and body of every example, those first that others need."""
    document: dict[str, Any] = (await bench.get("/openapi.json", by=None)).json
    device_id = (await bench.register(serial_number="BY-HAND")).json["id"]
    assets = [(await bench.post("/assets", {"asset_type": "line", "name": "Line"})).json["id"] for _ in range(2)]
    names = {
        "asset_id": assets[0],
        "other_id": assets[1],
        "relationship_type": "feeds",
        "device_id": device_id,
        "device_type": "boiler",
    }
    proposed = [
        (method.upper(), path.format_map(names), media, content["example"])
        for path, method, described in operations(document)
        if described["tags"][0] in OF_ASSETS or path in OF_DEVICES
        for media, content in described.get("requestBody", {"content": {}})["content"].items()
    ]
    return [
        (method, path, media, body if isinstance(body, str) else json.dumps(body))
        for method, path, media, body in sorted(proposed, key=lambda example: not example[1].endswith("/devices"))
    ]


async def test_every_body_that_is_proposed_of_devices_and_assets_is_taken(bench: ApiBench) -> None:
    proposed = await propose(bench)

    assert len(proposed) > len(OF_ASSETS)
    for method, path, media, body in proposed:
        answer = await bench.call(method, path, data=body, headers={"Content-Type": media})
        assert answer.status < 300, (path, media, answer.body)
        if path.endswith("/import"):
            assert {line["status"] for line in map(json.loads, answer.body.splitlines())} == {"created"}, answer.body


@pytest.mark.parametrize("name", ["path", "match", "q", "sort"])
async def test_a_search_proposes_nothing_that_narrows_it_unasked(bench: ApiBench, name: str) -> None:
    document: dict[str, Any] = (await bench.get("/openapi.json", by=None)).json
    described = document["paths"]["/api/v1/assets"]["get"]["parameters"]
    schema = next(parameter["schema"] for parameter in described if parameter["name"] == name)

    assert "example" not in schema  # the page would send it
    query = urlencode({name: schema["examples"][0]})
    assert (await bench.get(f"/assets?{query}")).status == 200
