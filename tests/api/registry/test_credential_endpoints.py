from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from iotsphere.kernel.clock import utc_now
from iotsphere.kernel.times import format_time, parse_time
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
            await bench.get(f"{path}/{uuid4()}", by=role),
            await bench.post(f"{path}/{uuid4()}/rotate", {}, by=role),
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


async def test_a_rotated_key_works_until_its_grace_ends(bench: ApiBench) -> None:
    device = bench.add_device()
    old = (await bench.post(f"/devices/{device.id}/credentials", {"label": "workshop"})).json
    path = f"/devices/{device.id}/credentials/{old['id']}"

    before = utc_now()
    rotated = await bench.post(f"{path}/rotate", {"grace_seconds": 60})

    assert rotated.status == 201
    assert rotated.json.keys() == {"id", "api_key", "label", "created_at", "expires_at"}
    assert (rotated.json["label"], rotated.json["expires_at"]) == ("workshop", None)
    for issued in (old, rotated.json):
        assert (await bench.get(f"/devices/{device.id}", by={"X-API-Key": issued["api_key"]})).status == 200
    ends_at = parse_time((await bench.get(path)).json["expires_at"])
    assert before + timedelta(seconds=60) <= ends_at <= utc_now() + timedelta(seconds=60)
    assert (await bench.post(f"{path}/rotate", {})).refusal == (409, "registry.credential.rotated")


async def test_a_key_rotated_without_a_grace_is_refused_from_the_next_request_on(bench: ApiBench) -> None:
    device = bench.add_device()
    for body in ({}, {"grace_seconds": 0}):
        old = (await bench.post(f"/devices/{device.id}/credentials", {})).json
        path = f"/devices/{device.id}/credentials/{old['id']}"

        new = (await bench.post(f"{path}/rotate", body)).json

        keys = [{"X-API-Key": issued["api_key"]} for issued in (old, new)]
        assert [(await bench.get(f"/devices/{device.id}", by=key)).status for key in keys] == [401, 200]
        assert (await bench.post(f"{path}/rotate", body)).refusal == (404, "registry.credential.not_found")
        assert (await bench.get(path)).refusal == (404, "registry.credential.not_found")


@pytest.mark.parametrize("grace", [-1, 30 * 86400 + 1, 1.5, 1.0, "60", True, None, 10**30, []])
async def test_a_grace_that_cannot_be_is_refused_and_the_key_stays(bench: ApiBench, grace: Any) -> None:
    device = bench.add_device()
    old = (await bench.post(f"/devices/{device.id}/credentials", {})).json

    refused = await bench.post(f"/devices/{device.id}/credentials/{old['id']}/rotate", {"grace_seconds": grace})

    assert refused.refusal == (422, "request.payload.invalid")
    assert list(refused.json["errors"]) == ["grace_seconds"]
    assert (await bench.get(f"/devices/{device.id}", by={"X-API-Key": old["api_key"]})).status == 200


async def test_a_rotation_whose_answer_was_lost_gives_the_same_key_again(bench: ApiBench) -> None:
    device = bench.add_device()
    old = (await bench.post(f"/devices/{device.id}/credentials", {})).json
    path = f"/devices/{device.id}/credentials/{old['id']}/rotate"

    first, second = [await bench.post(path, {}, headers={"Idempotency-Key": "once"}) for _ in range(2)]

    assert (first.status, second.status) == (201, 201)
    assert first.json == second.json
    assert len(bench.tables.credentials) == 2


async def test_a_credential_is_shown_and_changed_under_its_tag(bench: ApiBench) -> None:
    device = bench.add_device()
    answer = await bench.post(f"/devices/{device.id}/credentials", {})
    issued = answer.json
    path = f"/devices/{device.id}/credentials/{issued.pop('id')}"
    del issued["api_key"]

    shown = await bench.get(path)

    assert shown.headers["ETag"] == answer.headers["ETag"] == '"1"'
    assert {name: value for name, value in shown.json.items() if name != "id"} == issued
    assert (await bench.get(path, headers={"If-None-Match": shown.headers["ETag"]})).status == 304
    await bench.post(f"{path}/rotate", {"grace_seconds": 60}, headers={"If-Match": shown.headers["ETag"]})
    for method, rest in (("DELETE", ""), ("POST", "/rotate")):
        options: dict[str, Any] = {"json": {}} if rest else {}
        refused = await bench.call(
            method, f"/api/v1{path}{rest}", headers={"If-Match": shown.headers["ETag"]}, **options
        )
        assert refused.refusal == (412, "request.precondition.failed")
    changed = await bench.get(path)
    assert (await bench.delete(path, headers={"If-Match": changed.headers["ETag"]})).status == 204


async def test_a_device_has_twenty_live_credentials_at_the_most(bench: ApiBench) -> None:
    device = bench.add_device()
    path = f"/devices/{device.id}/credentials"
    for _ in range(20):
        assert (await bench.post(path, {})).status == 201

    assert (await bench.post(path, {})).refusal == (409, "registry.credential.too_many")


async def test_only_a_devices_own_credentials_can_be_rotated_or_shown_through_it(bench: ApiBench) -> None:
    device, other = bench.add_device(), bench.add_device()
    issued = (await bench.post(f"/devices/{device.id}/credentials", {})).json

    for credential_id in (issued["id"], uuid4()):
        path = f"/devices/{other.id}/credentials/{credential_id}"
        for refused in (await bench.post(f"{path}/rotate", {}), await bench.get(path)):
            assert refused.refusal == (404, "registry.credential.not_found")


async def test_a_device_does_not_handle_credentials_even_its_own(bench: ApiBench) -> None:
    device = bench.add_device()
    key = bench.give_key(device)
    [credential_id] = bench.tables.credentials
    path = f"/devices/{device.id}/credentials"

    for answer in (
        await bench.post(path, {}, by=key),
        await bench.get(path, by=key),
        await bench.get(f"{path}/{credential_id}", by=key),
        await bench.post(f"{path}/{credential_id}/rotate", {}, by=key),
        await bench.delete(f"{path}/{credential_id}", by=key),
    ):
        assert answer.refusal == (403, "identity.device.not_allowed")
