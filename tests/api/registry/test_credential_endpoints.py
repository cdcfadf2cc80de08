from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from iotsphere.kernel.clock import utc_now
from iotsphere.kernel.times import format_time
from iotsphere.registry.model import DeviceStatus
from tests.api.bench import ApiBench


async def test_a_key_is_shown_once_and_works(bench: ApiBench) -> None:
    device = bench.add_device()
    path = f"/devices/{device.id}/credentials"
    expires_at = format_time(utc_now() + timedelta(days=1))

    issued = await bench.post(path, {"label": "workshop", "expires_at": expires_at})

    assert issued.status == 201
    api_key = issued.json["api_key"]
    assert issued.json == {
        "id": issued.json["id"],
        "label": "workshop",
        "created_at": issued.json["created_at"],
        "expires_at": expires_at,
        "api_key": api_key,
    }
    assert api_key.startswith("iot_")
    assert (await bench.get(f"/devices/{device.id}", by={"X-API-Key": api_key})).status == 200
    listed = await bench.get(path)
    assert listed.json == {
        "items": [{name: issued.json[name] for name in ("id", "label", "created_at", "expires_at")}],
        "next_cursor": None,
    }
    assert api_key not in repr(bench.tables)


async def test_a_credential_needs_neither_label_nor_end(bench: ApiBench) -> None:
    path = f"/devices/{bench.add_device().id}/credentials"

    for body in ({}, {"label": None, "expires_at": None}):
        issued = await bench.post(path, body)
        assert (issued.status, issued.json["label"], issued.json["expires_at"]) == (201, None, None)


async def test_an_end_in_milliseconds_is_understood(bench: ApiBench) -> None:
    path = f"/devices/{bench.add_device().id}/credentials"

    issued = await bench.post(path, {"expires_at": 4_102_444_800_000})

    assert issued.json["expires_at"] == "2100-01-01T00:00:00.000000Z"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"expires_at": "2100-01-01T00:00:00"}, "expires_at"),
        ({"expires_at": "2100-01-01"}, "expires_at"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": -1}, "expires_at"),
        ({"expires_at": 10**30}, "expires_at"),
        ({"expires_at": 1.5}, "expires_at"),
        ({"expires_at": True}, "expires_at"),
        ({"label": ""}, "label"),
        ({"label": "x" * 129}, "label"),
        ({"secret": "mine"}, "secret"),
    ],
)
async def test_a_credential_that_cannot_be_is_refused(bench: ApiBench, body: dict[str, Any], field: str) -> None:
    refused = await bench.post(f"/devices/{bench.add_device().id}/credentials", body)

    assert refused.refusal == (422, "request.payload.invalid")
    assert list(refused.json["errors"]) == [field]
    assert bench.tables.credentials == {}


async def test_a_revoked_key_is_refused_from_the_next_request_on(bench: ApiBench) -> None:
    device = bench.add_device()
    issued = (await bench.post(f"/devices/{device.id}/credentials", {})).json
    path = f"/devices/{device.id}/credentials/{issued['id']}"
    other_key = bench.give_key(device)

    revoked = await bench.delete(path)

    assert (revoked.status, revoked.body) == (204, b"")
    assert (await bench.get(f"/devices/{device.id}", by={"X-API-Key": issued["api_key"]})).refusal == (
        401,
        "identity.credential.invalid",
    )
    assert (await bench.get(f"/devices/{device.id}", by=other_key)).status == 200
    assert (await bench.delete(path)).refusal == (404, "registry.credential.not_found")


async def test_only_a_devices_own_credentials_can_be_revoked_through_it(bench: ApiBench) -> None:
    device, other = bench.add_device(), bench.add_device()
    issued = (await bench.post(f"/devices/{device.id}/credentials", {})).json

    for credential_id in (issued["id"], uuid4()):
        refused = await bench.delete(f"/devices/{other.id}/credentials/{credential_id}")
        assert refused.refusal == (404, "registry.credential.not_found")

    assert (await bench.get(f"/devices/{device.id}", by={"X-API-Key": issued["api_key"]})).status == 200


async def test_administrators_alone_handle_credentials(bench: ApiBench) -> None:
    path = f"/devices/{bench.add_device().id}/credentials"

    for role in ("viewer", "engineer", "operator"):
        for answer in (
            await bench.get(path, by=role),
            await bench.post(path, {}, by=role),
            await bench.delete(f"{path}/{uuid4()}", by=role),
        ):
            assert answer.refusal == (403, "identity.role.too_low")


async def test_keys_that_do_not_count_look_the_same(bench: ApiBench) -> None:
    device = bench.add_device()
    path = f"/devices/{device.id}"
    expired = bench.give_key(device, expires_at=utc_now())
    revoked = bench.give_key(device, revoked_at=utc_now())
    wrong = {"X-API-Key": bench.give_key(device)["X-API-Key"] + "x"}
    retired = bench.give_key(bench.add_device(status=DeviceStatus.RETIRED))
    unknown = {"X-API-Key": f"iot_{uuid4().hex}_secret"}
    no_key = {"X-API-Key": "secret"}

    answers = [await bench.get(path, by=key) for key in (expired, revoked, wrong, retired, unknown, no_key)]

    assert {answer.refusal for answer in answers} == {(401, "identity.credential.invalid")}
    assert len({answer.json["detail"] for answer in answers}) == 1


async def test_credentials_are_listed_page_by_page(bench: ApiBench) -> None:
    device = bench.add_device()
    for _ in range(3):
        bench.give_key(device)
    path = f"/devices/{device.id}/credentials?limit=2"

    first = (await bench.get(path)).json
    second = (await bench.get(f"{path}&cursor={first['next_cursor']}")).json

    ids = [item["id"] for item in first["items"] + second["items"]]
    assert ids == [str(credential_id) for credential_id in bench.tables.credentials]
    assert second["next_cursor"] is None
