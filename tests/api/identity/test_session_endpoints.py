from typing import Any

import pytest

from iotsphere.identity.model import User
from iotsphere.kernel.actor import Role
from iotsphere.registry.model import DeviceStatus
from tests.api.bench import ApiBench, Credentials

EMAIL, PASSWORD = "odile@waterworks.example", "correct horse"


@pytest.fixture
def user(bench: ApiBench) -> User:
    return bench.add_user(bench.ours, email=EMAIL, password_hash=f"hash of {PASSWORD}", role=Role.VIEWER)


async def log_in(bench: ApiBench) -> dict[str, Any]:
    answer = await bench.post("/auth/token", {"email": EMAIL, "password": PASSWORD}, by=None)
    assert answer.status == 200
    pair: dict[str, Any] = answer.json
    return pair


def bearer(pair: dict[str, Any]) -> Credentials:
    return {"Authorization": f"Bearer {pair['access_token']}"}


async def issue_key(bench: ApiBench, role: str) -> Credentials:
    """Have the administrator give an integration a key."""
    issued = await bench.post("/api-keys", {"label": "Billing", "role": role})
    return {"X-API-Key": issued.json["api_key"]}


async def test_a_log_in_gives_a_pair_of_tokens(bench: ApiBench, user: User) -> None:
    pair = await log_in(bench)

    assert pair.keys() == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert (pair["token_type"], pair["expires_in"]) == ("Bearer", 900)
    me = await bench.get("/me", by=bearer(pair))
    assert (me.status, me.headers["ETag"]) == (200, '"1"')
    assert me.json == {
        "kind": "user",
        "id": str(user.id),
        "organisation_id": str(bench.ours.id),
        "email": EMAIL,
        "name": user.name,
        "role": "viewer",
        "created_at": me.json["created_at"],
        "version": 1,
    }


async def test_log_ins_that_are_refused_look_the_same(bench: ApiBench, user: User) -> None:
    refused = [
        await bench.post("/auth/token", {"email": email, "password": password}, by=None)
        for email, password in [(EMAIL, "wrong"), ("nobody@waterworks.example", PASSWORD), ("no address", "x")]
    ]

    assert {answer.refusal for answer in refused} == {(401, "identity.login.refused")}
    assert len({answer.json["detail"] for answer in refused}) == 1
    assert all(EMAIL not in answer.body.decode() for answer in refused)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["email", "password"]),
        ({"email": EMAIL}, ["password"]),
        ({"email": EMAIL, "password": ""}, ["password"]),
        ({"email": EMAIL, "password": None}, ["password"]),
        ({"email": 7, "password": "x"}, ["email"]),
        ({"email": "x" * 255, "password": "x"}, ["email"]),
        ({"email": EMAIL, "password": "x" * 257}, ["password"]),
        ({"email": EMAIL, "password": "x", "remember": True}, ["remember"]),
    ],
)
async def test_a_log_in_that_cannot_be_is_refused_by_field(
    bench: ApiBench, body: dict[str, Any], fields: list[str]
) -> None:
    refused = await bench.post("/auth/token", body, by=None)

    assert refused.refusal == (422, "request.payload.invalid")
    assert sorted(refused.json["errors"]) == fields


async def test_a_refresh_gives_a_new_pair_and_its_repeat_ends_the_session(bench: ApiBench, user: User) -> None:
    first = await log_in(bench)

    refreshed = await bench.post("/auth/refresh", {"refresh_token": first["refresh_token"]}, by=None)
    assert refreshed.status == 200
    second = refreshed.json
    assert (await bench.get("/me", by=bearer(second))).status == 200
    repeated = await bench.post("/auth/refresh", {"refresh_token": first["refresh_token"]}, by=None)

    assert repeated.refusal == (401, "identity.credential.invalid")
    for token in (first["refresh_token"], second["refresh_token"], "made up"):
        refused = await bench.post("/auth/refresh", {"refresh_token": token}, by=None)
        assert refused.refusal == (401, "identity.credential.invalid")
    for pair in (first, second):
        assert (await bench.get("/me", by=bearer(pair))).refusal == (401, "identity.credential.invalid")


async def test_who_logs_out_is_out(bench: ApiBench, user: User) -> None:
    pair = await log_in(bench)

    logged_out = await bench.call("POST", "/api/v1/auth/logout", by=bearer(pair))

    assert (logged_out.status, logged_out.body) == (204, b"")
    assert (await bench.get("/me", by=bearer(pair))).status == 401
    assert (await bench.post("/auth/refresh", {"refresh_token": pair["refresh_token"]}, by=None)).status == 401
    assert (await bench.call("POST", "/api/v1/auth/logout", by=bearer(pair))).status == 401


async def test_a_key_cannot_log_out(bench: ApiBench) -> None:
    for key, code in [
        (bench.give_key(bench.add_device()), "identity.device.not_allowed"),
        (await issue_key(bench, "admin"), "identity.session.missing"),
    ]:
        before = bench.tables.copy()

        refused = await bench.call("POST", "/api/v1/auth/logout", by=key)

        assert refused.refusal == (403, code)
        assert bench.tables.sessions == before.sessions
        assert (await bench.get("/me", by=key)).status == 200


async def test_a_key_changes_neither_its_maker_nor_itself(bench: ApiBench) -> None:
    key = await issue_key(bench, "admin")
    users = dict(bench.tables.users)

    for change in (
        {"name": "New"},
        {"password": {"old": PASSWORD, "new": "battery staple"}},
        {},
    ):
        assert (await bench.patch("/me", change, by=key)).refusal == (403, "identity.user.required")
    assert bench.tables.users == users


async def test_an_integration_is_told_who_it_is(bench: ApiBench) -> None:
    issued = (await bench.post("/api-keys", {"label": "Billing", "role": "engineer"})).json

    me = await bench.get("/me", by={"X-API-Key": issued["api_key"]})

    assert (me.status, "ETag" in me.headers) == (200, False)
    assert me.json == {
        "kind": "integration",
        "id": issued["id"],
        "organisation_id": str(bench.ours.id),
        "role": "engineer",
    }


async def test_a_device_is_told_who_it_is(bench: ApiBench) -> None:
    device = bench.add_device(status=DeviceStatus.ACTIVE)

    me = await bench.get("/me", by=bench.give_key(device))

    assert (me.status, "ETag" in me.headers) == (200, False)
    assert me.json == {
        "kind": "device",
        "id": str(device.id),
        "organisation_id": str(bench.ours.id),
        "device_id": str(device.id),
    }


async def test_the_scheme_is_read_in_any_case(bench: ApiBench, user: User) -> None:
    token = (await log_in(bench))["access_token"]

    for authorization in (f"bearer {token}", f"BEARER  {token} "):
        assert (await bench.get("/me", by={"Authorization": authorization})).status == 200


@pytest.mark.parametrize(
    "credentials",
    [
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer  "},
        {"Authorization": "Bearer made.up.token"},
        {"Authorization": "Basic b2RpbGU6aG9yc2U="},
        {"Authorization": "Bearer é"},
        {"Authorization": "Bearer " + "x" * 10_000},
        {"X-API-Key": "iot_"},
        {"X-API-Key": "é"},
    ],
)
async def test_a_wrong_credential_is_401_and_says_how_to_do_it(bench: ApiBench, credentials: Credentials) -> None:
    refused = await bench.get("/me", by=credentials)

    assert refused.refusal == (401, "identity.credential.invalid")
    assert "Bearer" in refused.headers["WWW-Authenticate"]


@pytest.mark.parametrize("credentials", [{}, {"Authorization": ""}, {"X-API-Key": ""}])
async def test_no_credential_is_401_and_says_which_to_send(bench: ApiBench, credentials: Credentials) -> None:
    refused = await bench.get("/me", by=credentials)

    assert refused.refusal == (401, "identity.credential.missing")
    assert "WWW-Authenticate" in refused.headers


async def test_two_credentials_at_once_are_refused(bench: ApiBench) -> None:
    device = bench.add_device()

    refused = await bench.get(f"/devices/{device.id}", by=bench.credentials["admin"] | bench.give_key(device))

    assert refused.refusal == (400, "request.credential.ambiguous")
