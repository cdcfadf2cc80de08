"""What a browser's cookie opens at the API, and what it does not without the token of its session."""

from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from iotsphere.identity.model import User
from iotsphere.identity.secrets import make_csrf_token, make_secret
from iotsphere.kernel.actor import Role
from tests.api.bench import ApiBench
from tests.api.web.visitor import PASSWORD, Visitor, add_user

CHANGES = [
    ("POST", "/devices", {"serial_number": "SN-1", "device_type": "pump"}),
    ("POST", "/users", {"email": "vi@waterworks.example", "password": "correct horse", "role": "viewer"}),
    ("PATCH", f"/devices/{uuid4()}", {"name": "Pump"}),
    ("DELETE", f"/devices/{uuid4()}/credentials/{uuid4()}", None),
    ("POST", "/auth/logout", None),
]


@pytest.fixture
def user(bench: ApiBench) -> User:
    return add_user(bench, role=Role.ADMIN)


@pytest.fixture
async def visitor(bench: ApiBench, user: User) -> Visitor:
    visitor = Visitor(bench)
    assert (await visitor.log_in(user)).status == 303
    return visitor


def sent(body: Any) -> dict[str, Any]:
    return {} if body is None else {"json": body}


async def test_a_browser_is_its_user_with_the_role_of_now(bench: ApiBench, visitor: Visitor, user: User) -> None:
    me = await visitor.get("/api/v1/me")

    assert (me.status, me.json["id"], me.json["role"]) == (200, str(user.id), "admin")


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
@pytest.mark.parametrize("token", [None, "", "0" * 64, "é", make_csrf_token(make_secret()), "x" * 5_000])
async def test_nothing_is_changed_without_the_token(
    bench: ApiBench, visitor: Visitor, method: str, path: str, body: Any, token: str | None
) -> None:
    headers = {} if token is None else {"X-CSRF-Token": token}

    refused = await visitor.call(method, f"/api/v1{path}", headers=headers, **sent(body))

    assert refused.refusal == (403, "identity.csrf.invalid")
    assert bench.tables.devices == {}
    assert (await visitor.get("/api/v1/me")).status == 200


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
async def test_with_the_token_it_is_as_with_any_other_credential(
    visitor: Visitor, method: str, path: str, body: Any
) -> None:
    answer = await visitor.call(method, f"/api/v1{path}", headers={"X-CSRF-Token": visitor.token}, **sent(body))

    assert answer.status in {201, 204, 404}


async def test_the_token_of_another_session_of_the_same_user_is_none(
    bench: ApiBench, visitor: Visitor, user: User
) -> None:
    other = Visitor(bench)
    await other.log_in(user)

    refused = await visitor.call("POST", "/api/v1/auth/logout", headers={"X-CSRF-Token": other.token})

    assert refused.refusal == (403, "identity.csrf.invalid")


async def test_the_cookie_beside_it_proves_nothing(bench: ApiBench, visitor: Visitor) -> None:
    """A neighbouring site can plant a cookie and send the same value: it is the session's token that counts."""
    visitor.cookies["csrf_token"] = "planted"

    refused = await visitor.call("POST", "/api/v1/auth/logout", headers={"X-CSRF-Token": "planted"})

    assert refused.refusal == (403, "identity.csrf.invalid")


@pytest.mark.parametrize(
    "headers",
    [
        {"X-HTTP-Method-Override": "GET"},
        {"X-HTTP-Method": "GET"},
        {"X-Method-Override": "GET"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
    ],
)
async def test_no_header_talks_the_token_away(bench: ApiBench, visitor: Visitor, headers: dict[str, str]) -> None:
    refused = await visitor.call("POST", "/api/v1/devices?_method=GET", data=b"csrf_token=x", headers=headers)

    assert refused.refusal == (403, "identity.csrf.invalid")


@pytest.mark.parametrize("method", ["DELETE", "POST", "PATCH"])
async def test_no_header_makes_of_a_look_a_change(bench: ApiBench, visitor: Visitor, method: str) -> None:
    device = bench.add_device()

    looked = await visitor.get(f"/api/v1/devices/{device.id}", headers={"X-HTTP-Method-Override": method})

    assert looked.status == 200
    assert bench.tables.devices[device.id] == device


async def test_another_credential_takes_the_place_of_the_cookie(bench: ApiBench, visitor: Visitor) -> None:
    device = bench.add_device()
    key = bench.give_key(device)

    assert (await visitor.get("/api/v1/me", headers=bench.credentials["viewer"])).json["role"] == "viewer"
    assert (await visitor.get(f"/api/v1/devices/{device.id}", headers=key)).status == 200
    assert (await visitor.get(f"/api/v1/devices/{uuid4()}", headers=key)).status == 404
    added = await visitor.call(
        "POST",
        "/api/v1/devices",
        json={"serial_number": "SN-1", "device_type": "pump"},
        headers=bench.credentials["operator"],
    )
    assert added.status == 201
    for wrong in ({"Authorization": "Bearer made.up.token"}, {"X-API-Key": "iot_"}):
        assert (await visitor.get("/api/v1/me", headers=wrong)).status == 401


async def test_the_cookie_and_another_credential_are_not_ambiguous_but_two_others_are(
    bench: ApiBench, visitor: Visitor
) -> None:
    both = bench.credentials["admin"] | bench.give_key(bench.add_device())

    assert (await visitor.get("/api/v1/me", headers=both)).refusal == (400, "request.credential.ambiguous")


@pytest.mark.parametrize(
    ("cookie", "code"),
    [
        ("", "missing"),
        ("iotsphere_session", "missing"),
        ("iotsphere_session=", "missing"),
        ("other=value", "missing"),
        (f"iotsphere_session={make_secret()}", "invalid"),
        (f"iotsphere_session={'x' * 100_000}", "invalid"),
        ('iotsphere_session="\\000\\377"', "invalid"),
        ("iotsphere_session=é", "invalid"),
        ("iotsphere_session=%00", "invalid"),
        ("iotsphere_session=a; iotsphere_session=b", "invalid"),
        ("=; ;;; iotsphere_session==;", "invalid"),
    ],
)
async def test_a_cookie_that_opens_nothing_is_401_at_the_api_and_the_log_in_on_a_page(
    bench: ApiBench, cookie: str, code: str
) -> None:
    headers = {"Cookie": cookie}

    for method, path in [("GET", "/api/v1/me"), ("POST", "/api/v1/devices")]:
        refused = await bench.call(method, path, by=None, headers=headers)
        assert refused.refusal == (401, f"identity.credential.{code}")
    for method, path in [("GET", "/"), ("POST", "/logout")]:
        sent_on = await bench.call(method, path, by=None, headers=headers)
        assert (sent_on.status, sent_on.headers["Location"]) == (303, "/login")


async def test_two_session_cookies_open_nothing_though_one_is_good(bench: ApiBench, visitor: Visitor) -> None:
    good = f"iotsphere_session={visitor.secret}"

    for cookie in (f"{good}; iotsphere_session={make_secret()}", f"iotsphere_session={make_secret()}; {good}"):
        refused = await bench.call("GET", "/api/v1/me", by=None, headers={"Cookie": cookie})
        assert refused.refusal == (401, "identity.credential.invalid")


async def test_the_secret_opens_nothing_as_another_credential(bench: ApiBench, visitor: Visitor) -> None:
    for headers in ({"Authorization": f"Bearer {visitor.secret}"}, {"X-API-Key": str(visitor.secret)}):
        assert (await bench.get("/me", by=headers)).refusal == (401, "identity.credential.invalid")
    refreshed = await bench.post("/auth/refresh", {"refresh_token": visitor.secret}, by=None)
    assert refreshed.refusal == (401, "identity.credential.invalid")


async def test_a_changed_password_ends_the_other_browsers_and_not_the_one_it_is_changed_in(
    bench: ApiBench, visitor: Visitor, user: User
) -> None:
    elsewhere = Visitor(bench)
    await elsewhere.log_in(user)
    change = {"password": {"old": PASSWORD, "new": "battery staple"}}

    changed = await visitor.call(
        "PATCH", "/api/v1/me", json=change, headers={"X-CSRF-Token": visitor.token, "If-Match": '"1"'}
    )

    assert changed.status == 200
    assert (await visitor.get("/")).status == 200
    assert (await elsewhere.get("/")).status == 303


async def test_a_role_that_was_taken_away_counts_no_more_in_the_browser(
    bench: ApiBench, visitor: Visitor, user: User
) -> None:
    bench.tables.users[user.id] = replace(user, role=Role.VIEWER)

    refused = await visitor.get("/api/v1/users")

    assert refused.refusal == (403, "identity.role.too_low")


async def test_the_document_names_the_cookie_as_a_credential(bench: ApiBench) -> None:
    document = (await bench.get("/openapi.json", by=None)).json

    scheme = document["components"]["securitySchemes"]["session"]
    assert (scheme["type"], scheme["in"], scheme["name"]) == ("apiKey", "cookie", "iotsphere_session")
    assert "X-CSRF-Token" in scheme["description"]
    assert {"session": []} in document["paths"]["/api/v1/devices"]["post"]["security"]
