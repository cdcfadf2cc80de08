from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from iotsphere.identity.secrets import ApiKey, secret_matches
from iotsphere.kernel.clock import utc_now
from iotsphere.kernel.identifiers import CredentialId
from tests.api.bench import ApiBench
from tests.factories.identity import build_integration_key

NEW = {"label": "Billing", "role": "operator"}


async def test_a_key_is_issued_shown_and_listed_with_its_secret_only_once(bench: ApiBench) -> None:
    issued = await bench.post("/api-keys", NEW)

    shown = issued.json
    assert issued.status == 201
    assert (issued.headers["Location"], issued.headers["ETag"]) == (f"/api/v1/api-keys/{shown['id']}", '"1"')
    assert shown.keys() == {"id", "api_key", "label", "role", "made_by", "created_at", "expires_at"}
    assert (shown["label"], shown["role"], shown["expires_at"]) == ("Billing", "operator", None)
    key = ApiKey.parse(shown["api_key"])
    assert str(key.credential_id) == shown["id"]
    assert secret_matches(key.secret, bench.tables.api_keys[CredentialId(key.credential_id)].secret_hash)

    found = await bench.get(f"/api-keys/{shown['id']}")
    assert (found.status, found.headers["ETag"]) == (200, '"1"')
    assert found.json == {name: value for name, value in shown.items() if name != "api_key"}
    assert (await bench.get("/api-keys")).json["items"] == [found.json]


async def test_the_same_request_under_the_same_key_shows_the_same_api_key(bench: ApiBench) -> None:
    first, again = [await bench.post("/api-keys", NEW, headers={"Idempotency-Key": "key"}) for _ in range(2)]

    assert first.body == again.body
    assert len(bench.tables.api_keys) == 1


async def test_a_revoked_key_is_gone(bench: ApiBench) -> None:
    path = f"/api-keys/{(await bench.post('/api-keys', NEW)).json['id']}"

    assert (await bench.delete(path, headers={"If-Match": '"2"'})).refusal == (412, "request.precondition.failed")
    revoked = await bench.delete(path, headers={"If-Match": '"1"'})

    assert (revoked.status, revoked.body) == (204, b"")
    for answer in (await bench.get(path), await bench.delete(path)):
        assert answer.refusal == (404, "identity.api_key.not_found")


async def test_administrators_alone_handle_keys(bench: ApiBench) -> None:
    device = bench.add_device()
    for caller, code in [
        ("viewer", "identity.role.too_low"),
        ("operator", "identity.role.too_low"),
        (bench.give_key(device), "identity.device.not_allowed"),
    ]:
        for answer in (
            await bench.post("/api-keys", NEW, by=caller),
            await bench.get("/api-keys", by=caller),
            await bench.get(f"/api-keys/{uuid4()}", by=caller),
            await bench.delete(f"/api-keys/{uuid4()}", by=caller),
        ):
            assert answer.refusal == (403, code)


async def test_a_foreign_key_and_none_look_the_same(bench: ApiBench) -> None:
    foreign = build_integration_key(organisation_id=bench.theirs.id)
    bench.tables.api_keys[foreign.id] = foreign

    for call in (bench.get, bench.delete):
        answers = [await call(f"/api-keys/{key_id}") for key_id in (foreign.id, uuid4())]
        assert {answer.refusal for answer in answers} == {(404, "identity.api_key.not_found")}
        assert len({answer.json["detail"] for answer in answers}) == 1
    assert (await bench.get("/api-keys")).json == {"items": [], "next_cursor": None}
    assert foreign.id in bench.tables.api_keys


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"label": ""}, "label"),
        ({"label": "x" * 129}, "label"),
        ({"label": None}, "label"),
        ({"role": "owner"}, "role"),
        ({"role": "ADMIN"}, "role"),
        ({"role": 4}, "role"),
        ({"role": ["admin"]}, "role"),
        ({"role": None}, "role"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "2099-01-01T00:00:00"}, "expires_at"),
        ({"expires_at": True}, "expires_at"),
        ({"made_by": str(uuid4())}, "made_by"),
    ],
)
async def test_what_is_wrong_with_a_key_is_named(bench: ApiBench, change: dict[str, Any], field: str) -> None:
    refused = await bench.post("/api-keys", NEW | change)

    assert refused.refusal == (422, "request.payload.invalid")
    assert list(refused.json["errors"]) == [field]
    assert bench.tables.api_keys == {}


async def test_a_key_may_end_by_itself(bench: ApiBench) -> None:
    end = (utc_now() + timedelta(days=1)).isoformat()

    issued = (await bench.post("/api-keys", NEW | {"expires_at": end})).json

    assert issued["expires_at"][:19] == end[:19]
