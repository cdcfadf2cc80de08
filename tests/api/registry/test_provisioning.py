"""Devices that nobody has registered, and the keys with which they let themselves in."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from iotsphere.identity.secrets import ProvisioningKeyText, hash_secret
from iotsphere.kernel.clock import utc_now
from iotsphere.kernel.times import format_time
from tests.api.bench import Answer, ApiBench, Credentials
from tests.factories.registry import build_provisioning_key

GOOD = {"device_type": "pump", "max_devices": 2, "expires_at": "2100-01-01T00:00:00Z"}


def give_key(bench: ApiBench, **given: Any) -> Credentials:
    """Keep a key, ours if nothing else is said, and give the header that shows it."""
    description = {"organisation_id": bench.ours.id, "expires_at": utc_now() + timedelta(days=1)} | given
    key = build_provisioning_key(secret_hash=hash_secret("secret"), **description)
    bench.tables.provisioning_keys[key.id] = key
    return {"X-Provisioning-Key": str(ProvisioningKeyText(key.id, "secret"))}


async def provision(bench: ApiBench, key: Credentials | None, **given: Any) -> Answer:
    headers = given.pop("headers", {})
    return await bench.post("/provision", {"serial_number": str(uuid4())} | given, by=key, headers=headers)


async def test_a_provisioning_key_is_shown_once_and_lets_devices_in(bench: ApiBench) -> None:
    issued = await bench.post("/provisioning-keys", GOOD)

    assert issued.status == 201
    text = issued.json["provisioning_key"]
    assert issued.json == {
        "id": issued.json["id"],
        "provisioning_key": text,
        "device_type": "pump",
        "max_devices": 2,
        "provisioned": 0,
        "expires_at": "2100-01-01T00:00:00.000000Z",
        "created_at": issued.json["created_at"],
    }
    assert text.startswith("iotp_")
    assert text not in repr(bench.tables)
    assert (await provision(bench, {"X-Provisioning-Key": text})).status == 201
    shown = await bench.get(f"/provisioning-keys/{issued.json['id']}")
    listed = await bench.get("/provisioning-keys")
    expected = {name: value for name, value in issued.json.items() if name != "provisioning_key"} | {"provisioned": 1}
    assert shown.json == expected
    assert listed.json == {"items": [expected], "next_cursor": None}


async def test_a_provisioned_device_is_whole_and_its_key_works(bench: ApiBench) -> None:
    key = give_key(bench, device_type="robot")

    provisioned = await provision(bench, key, serial_number="SN-1", name="Arm")

    assert provisioned.status == 201
    assert provisioned.json.keys() == {"device", "api_key"}
    device = provisioned.json["device"]
    assert provisioned.headers["Location"] == f"/api/v1/devices/{device['id']}"
    assert device == (await bench.get(f"/devices/{device['id']}")).json
    assert (device["serial_number"], device["device_type"], device["name"]) == ("SN-1", "robot", "Arm")
    assert (device["status"], device["connectivity"]) == ("provisioned", "unknown")
    assert [asset.name for asset in bench.assets.values()] == ["Arm"]
    assert bench.tables.outbox == {}
    seen = await bench.get(f"/devices/{device['id']}", by={"X-API-Key": provisioned.json["api_key"]})
    assert (seen.status, seen.json["status"]) == (200, "active")
    [entry] = [entry for entry in bench.tables.audit.values() if entry.action == "provision_device"]
    [key_id] = bench.tables.provisioning_keys
    assert (entry.actor, entry.target) == (f"provisioning_key:{key_id}", f"device:{device['id']}")
    assert provisioned.json["api_key"] not in repr(bench.tables)


async def test_a_device_without_a_name_goes_by_its_serial_number(bench: ApiBench) -> None:
    provisioned = await provision(bench, give_key(bench), serial_number="SN-1")

    assert provisioned.json["device"]["name"] == "SN-1"


async def test_a_key_makes_so_many_devices_and_no_more(bench: ApiBench) -> None:
    key = give_key(bench, max_devices=2)

    answers = [await provision(bench, key) for _ in range(3)]

    assert [answer.status for answer in answers] == [201, 201, 403]
    assert answers[2].code == "registry.provisioning_key.spent"
    assert len(bench.tables.devices) == 2


async def test_an_expired_key_makes_none(bench: ApiBench) -> None:
    refused = await provision(bench, give_key(bench, expires_at=utc_now()))

    assert refused.refusal == (403, "registry.provisioning_key.expired")
    assert bench.tables.devices == {}


async def test_a_taken_serial_number_spends_no_use(bench: ApiBench) -> None:
    key = give_key(bench, max_devices=1)
    bench.add_device(serial_number="SN-1")

    assert (await provision(bench, key, serial_number="SN-1")).refusal == (
        409,
        "registry.device.serial_number_taken",
    )
    assert (await provision(bench, key, serial_number="SN-2")).status == 201


async def test_keys_that_do_not_count_look_the_same_to_a_stranger(bench: ApiBench) -> None:
    """Neither is a spent or an expired key told from a good one by whoever does not know its secret."""
    revoked = give_key(bench, revoked_at=utc_now())
    wrong = [
        {"X-Provisioning-Key": give_key(bench, **given)["X-Provisioning-Key"] + "x"}
        for given in ({}, {"provisioned": 10}, {"expires_at": utc_now()})
    ]
    made_up = [{"X-Provisioning-Key": text} for text in (f"iotp_{uuid4().hex}_secret", "iotp", "x", "iotp__")]

    answers = [await provision(bench, key) for key in (revoked, *wrong, *made_up)]

    assert {answer.refusal for answer in answers} == {(401, "identity.credential.invalid")}
    assert len({answer.json["detail"] for answer in answers}) == 1
    assert bench.tables.devices == {}


async def test_no_other_credential_lets_a_device_in(bench: ApiBench) -> None:
    device_key = bench.give_key(bench.add_device())
    provisioning_key = give_key(bench)["X-Provisioning-Key"]

    for credentials in (None, bench.credentials["admin"], device_key, {"X-Provisioning-Key": ""}):
        assert (await provision(bench, credentials)).refusal == (401, "identity.credential.missing")
    for text in (device_key["X-API-Key"], provisioning_key.replace("iotp_", "iot_")):
        assert (await provision(bench, {"X-Provisioning-Key": text})).refusal == (401, "identity.credential.invalid")


async def test_a_provisioning_key_is_good_for_nothing_else(bench: ApiBench) -> None:
    text = give_key(bench)["X-Provisioning-Key"]

    for credentials in (
        {"X-Provisioning-Key": text},
        {"X-API-Key": text},
        {"X-API-Key": text.replace("iotp_", "iot_")},
        {"Authorization": f"Bearer {text}"},
    ):
        for path in ("/devices", "/me", "/provisioning-keys"):
            assert (await bench.get(path, by=credentials)).status == 401


async def test_the_repeat_of_the_last_use_gets_its_answer(bench: ApiBench) -> None:
    key = give_key(bench, max_devices=1)
    body = {"serial_number": "SN-1"}

    first, second = [await provision(bench, key, headers={"Idempotency-Key": "once"}, **body) for _ in range(2)]

    assert (first.status, second.status) == (201, 201)
    assert first.json == second.json
    assert (await provision(bench, key, headers={"Idempotency-Key": "twice"})).status == 403


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"device_type": "Pump"}, "device_type"),
        ({"max_devices": 0}, "max_devices"),
        ({"max_devices": 1_000_001}, "max_devices"),
        ({"max_devices": "2"}, "max_devices"),
        ({"max_devices": 1.5}, "max_devices"),
        ({"max_devices": None}, "max_devices"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "2100-01-01T00:00:00"}, "expires_at"),
        ({"expires_at": None}, "expires_at"),
        ({"secret": "mine"}, "secret"),
    ],
)
async def test_a_key_that_cannot_be_is_refused(bench: ApiBench, change: dict[str, Any], field: str) -> None:
    refused = await bench.post("/provisioning-keys", GOOD | change)

    assert refused.refusal == (422, "request.payload.invalid")
    assert list(refused.json["errors"]) == [field]
    assert bench.tables.provisioning_keys == {}


@pytest.mark.parametrize("missing", GOOD)
async def test_all_of_a_key_has_to_be_said(bench: ApiBench, missing: str) -> None:
    refused = await bench.post("/provisioning-keys", {name: GOOD[name] for name in GOOD if name != missing})

    assert (refused.status, list(refused.json["errors"])) == (422, [missing])


@pytest.mark.parametrize(
    "body", [{}, {"serial_number": ""}, {"serial_number": "a b"}, {"serial_number": "1", "device_type": "robot"}]
)
async def test_what_is_no_device_is_refused_and_spends_no_use(bench: ApiBench, body: dict[str, str]) -> None:
    refused = await bench.post("/provision", body, by=give_key(bench))

    assert refused.refusal == (422, "request.payload.invalid")
    assert [key.provisioned for key in bench.tables.provisioning_keys.values()] == [0]


async def test_a_revoked_key_is_refused_and_its_devices_stay(bench: ApiBench) -> None:
    issued = (await bench.post("/provisioning-keys", GOOD)).json
    key, path = {"X-Provisioning-Key": issued["provisioning_key"]}, f"/provisioning-keys/{issued['id']}"
    provisioned = (await provision(bench, key)).json

    assert (await bench.delete(path)).status == 204

    assert (await provision(bench, key)).refusal == (401, "identity.credential.invalid")
    for gone in (await bench.delete(path), await bench.get(path)):
        assert gone.refusal == (404, "registry.provisioning_key.not_found")
    device_path = f"/devices/{provisioned['device']['id']}"
    assert (await bench.get(device_path, by={"X-API-Key": provisioned["api_key"]})).status == 200


async def test_a_key_is_revoked_under_its_tag(bench: ApiBench) -> None:
    answer = await bench.post("/provisioning-keys", GOOD)
    issued = answer.json
    path = f"/provisioning-keys/{issued['id']}"
    before = (await bench.get(path)).headers["ETag"]
    assert answer.headers["ETag"] == before
    assert (await bench.get(path, headers={"If-None-Match": before})).status == 304

    await provision(bench, {"X-Provisioning-Key": issued["provisioning_key"]})

    assert (await bench.delete(path, headers={"If-Match": before})).refusal == (412, "request.precondition.failed")
    after = (await bench.get(path)).headers["ETag"]
    assert (await bench.delete(path, headers={"If-Match": after})).status == 204


async def test_administrators_of_the_organisation_alone_handle_its_keys(bench: ApiBench) -> None:
    give_key(bench, organisation_id=bench.theirs.id)
    [theirs] = bench.tables.provisioning_keys
    path = f"/provisioning-keys/{theirs}"

    assert (await bench.get("/provisioning-keys")).json["items"] == []
    for answer in (await bench.get(path), await bench.delete(path)):
        assert answer.refusal == (404, "registry.provisioning_key.not_found")
    for role in ("viewer", "engineer", "operator"):
        for answer in (
            await bench.get("/provisioning-keys", by=role),
            await bench.post("/provisioning-keys", GOOD, by=role),
            await bench.get(path, by=role),
            await bench.delete(path, by=role),
        ):
            assert answer.refusal == (403, "identity.role.too_low")


async def test_a_device_comes_to_be_in_the_organisation_of_the_key(bench: ApiBench) -> None:
    bench.add_device(serial_number="SN-1")

    provisioned = await provision(bench, give_key(bench, organisation_id=bench.theirs.id), serial_number="SN-1")

    assert provisioned.status == 201
    hidden = await bench.get(f"/devices/{provisioned.json['device']['id']}")
    assert hidden.refusal == (404, "registry.device.not_found")


async def test_the_document_names_the_header_that_the_key_comes_in(bench: ApiBench) -> None:
    document = (await bench.get("/openapi.json", by=None)).json

    assert document["paths"]["/api/v1/provision"]["post"]["security"] == [{"provisioning_key": []}]
    scheme = document["components"]["securitySchemes"]["provisioning_key"]
    assert scheme == {"type": "apiKey", "in": "header", "name": "X-Provisioning-Key"}


async def test_an_issue_whose_answer_was_lost_gives_the_same_key_again(bench: ApiBench) -> None:
    first, second = [
        await bench.post("/provisioning-keys", GOOD, headers={"Idempotency-Key": "once"}) for _ in range(2)
    ]

    assert first.json == second.json
    assert len(bench.tables.provisioning_keys) == 1


async def test_an_expiry_in_milliseconds_is_understood(bench: ApiBench) -> None:
    at = utc_now().replace(microsecond=0) + timedelta(days=1)

    issued = await bench.post("/provisioning-keys", GOOD | {"expires_at": int(at.timestamp() * 1000)})

    assert issued.json["expires_at"] == format_time(at)
