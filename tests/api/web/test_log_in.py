"""Logging in and out with a browser, and what the cookies are that come of it."""

from datetime import timedelta
from http.cookies import Morsel
from urllib.parse import urlencode

import httpx
import pytest
from dependency_injector import providers

from iotsphere.cli.roles.serve import behind_proxies
from iotsphere.identity.model import BROWSER_SESSION_LIFE, REMEMBERED_SESSION_LIFE, User
from iotsphere.identity.secrets import make_secret
from iotsphere.kernel.audit import AuditOutcome
from iotsphere.throttling.model import SECOND, Limit, RequestLimits
from tests.api.bench import ApiBench
from tests.api.web.visitor import PASSWORD, Visitor, add_user, cookies_set, text_of
from tests.fakes.throttling import build_throttle

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def user(bench: ApiBench) -> User:
    return add_user(bench, name="Odile <b>Perator</b>")


@pytest.fixture
def visitor(bench: ApiBench) -> Visitor:
    return Visitor(bench)


async def test_who_logs_in_is_shown_the_first_page(visitor: Visitor, user: User) -> None:
    turned_away = await visitor.get("/")
    assert (turned_away.status, turned_away.headers["Location"]) == (303, "/login")
    assert "Password" in text_of(await visitor.get("/login"))

    logged_in = await visitor.log_in(user)

    assert (logged_in.status, logged_in.headers["Location"]) == (303, "/")
    home = await visitor.get("/")
    assert home.status == 200
    assert "Odile &lt;b&gt;Perator&lt;/b&gt;" in text_of(home)
    assert "operator" in text_of(home)


async def test_the_first_page_tells_how_the_stores_are(bench: ApiBench, visitor: Visitor, user: User) -> None:
    await visitor.log_in(user)

    shown = text_of(await visitor.get("/"))

    for store in ("registry", "assets", "telemetry", "shadow"):
        assert f"{store} down" in shown


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_cookies_have_the_flags_that_they_must_have(bench: ApiBench, user: User, scheme: str) -> None:
    cookies = cookies_set(await Visitor(bench, scheme=scheme).log_in(user))

    def flags(morsel: Morsel[str]) -> tuple[str, str, bool, bool, str]:
        return (
            morsel["path"],
            morsel["samesite"],
            bool(morsel["httponly"]),
            bool(morsel["secure"]),
            morsel["domain"],
        )

    is_secure = scheme == "https"
    assert {name: flags(morsel) for name, morsel in cookies.items()} == {
        "iotsphere_session": ("/", "Lax", True, is_secure, ""),
        "csrf_token": ("/", "Lax", False, is_secure, ""),
    }


@pytest.mark.parametrize(("trusted_hops", "is_secure"), [(0, False), (1, True)])
async def test_only_a_trusted_proxy_is_believed_that_the_browser_came_over_https(
    bench: ApiBench, user: User, trusted_hops: int, is_secure: bool
) -> None:
    transport = httpx.ASGITransport(behind_proxies(bench.app, trusted_hops))
    async with httpx.AsyncClient(transport=transport, base_url="http://inside") as proxy:
        answer = await proxy.post(
            "/login",
            data={"email": user.email, "password": PASSWORD},
            headers={"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7", "X-Forwarded-Host": "outside"},
        )

    lines = answer.headers.get_list("Set-Cookie")
    assert (answer.status_code, len(lines)) == (303, 2)
    assert {"Secure" in line for line in lines} == {is_secure}
    assert ("Strict-Transport-Security" in answer.headers) == is_secure


@pytest.mark.parametrize("remember", [False, True])
async def test_the_cookie_lives_as_long_as_its_session(bench: ApiBench, user: User, remember: bool) -> None:
    life = REMEMBERED_SESSION_LIFE if remember else BROWSER_SESSION_LIFE

    answer = await Visitor(bench).log_in(user, **({"remember": "on"} if remember else {}))

    ages = {name: int(morsel["max-age"]) for name, morsel in cookies_set(answer).items()}
    assert ages == dict.fromkeys(["iotsphere_session", "csrf_token"], life.total_seconds())
    [kept] = [kept for kept in bench.tables.sessions.values() if kept.session.secret_hash]
    assert kept.session.expires_at - kept.session.created_at == life


@pytest.mark.parametrize(
    ("sent", "life"),
    [(sent, REMEMBERED_SESSION_LIFE) for sent in ("on", "true", "1", "yes", "é")]
    + [(sent, BROWSER_SESSION_LIFE) for sent in ("", "0", "false", "off", "False", "OFF")],
)
async def test_a_box_counts_as_ticked_unless_its_value_says_otherwise(
    bench: ApiBench, user: User, sent: str, life: timedelta
) -> None:
    answer = await Visitor(bench).log_in(user, remember=sent)

    assert answer.status == 303
    assert int(cookies_set(answer)["iotsphere_session"]["max-age"]) == life.total_seconds()


async def test_fields_that_tools_have_added_change_nothing(bench: ApiBench, visitor: Visitor, user: User) -> None:
    added = {"csrf_token": "0" * 64, "otp": "", "role": "admin", "status": "200", "refusal": "<b>", "is_admin": "on"}

    refused = await visitor.log_in(user, password="wrong", **added)
    logged_in = await visitor.log_in(user, **added)

    assert refused.status == 401
    assert b"<b>" not in refused.body
    assert (logged_in.status, logged_in.headers["Location"]) == (303, "/")
    assert (await visitor.get("/api/v1/me")).json["role"] == user.role.name.lower()
    [kept] = [kept for kept in bench.tables.sessions.values() if kept.session.secret_hash]
    assert kept.session.expires_at - kept.session.created_at == BROWSER_SESSION_LIFE


async def test_a_log_in_takes_no_secret_that_the_browser_brings_along(bench: ApiBench, user: User) -> None:
    visitor = Visitor(bench)
    visitor.cookies = {"iotsphere_session": (planted := make_secret())}

    await visitor.log_in(user)

    assert visitor.secret != planted
    assert (await visitor.get("/")).status == 200
    visitor.cookies = {"iotsphere_session": planted}
    assert (await visitor.get("/")).status == 303


async def test_a_second_log_in_ends_the_session_that_it_replaces(bench: ApiBench, user: User) -> None:
    visitor, elsewhere = Visitor(bench), Visitor(bench)
    await visitor.log_in(user)
    await elsewhere.log_in(user)
    former = dict(visitor.cookies)

    await visitor.log_in(user)

    assert former["iotsphere_session"] != visitor.secret
    assert [(await each.get("/")).status for each in (visitor, elsewhere)] == [200, 200]
    visitor.cookies = former
    assert (await visitor.get("/")).status == 303


async def test_a_log_in_counts_once_whatever_cookie_comes_with_it(bench: ApiBench, user: User) -> None:
    limits = RequestLimits(address=Limit("address", 30 * SECOND, 1))
    bench.container.throttle.override(providers.Object(build_throttle(limits)))
    visitor = Visitor(bench)
    visitor.cookies = {"iotsphere_session": make_secret()}

    assert (await visitor.log_in(user)).status == 303
    assert (await visitor.get("/")).status == 200


async def test_a_wrong_password_and_a_wrong_address_look_the_same_as_at_the_api(
    bench: ApiBench, visitor: Visitor, user: User
) -> None:
    pages = [
        await visitor.send_form("/login", {"email": email, "password": password})
        for email, password in [(user.email, "wrong"), ("nobody@waterworks.example", PASSWORD)]
    ]

    refused = await bench.post("/auth/token", {"email": user.email, "password": "wrong"}, by=None)
    assert [page.status for page in pages] == [401, 401]
    assert len({text_of(page) for page in pages}) == 1
    assert refused.json["detail"] in text_of(pages[0])
    assert visitor.cookies == {}
    assert f'value="{user.email}"'.encode() in pages[0].body
    assert all(b"wrong<" not in page.body and PASSWORD.encode() not in page.body for page in pages)


async def test_a_wrong_password_leaves_who_was_logged_in_so(visitor: Visitor, user: User) -> None:
    await visitor.log_in(user)

    assert (await visitor.log_in(user, password="wrong")).status == 401

    assert (await visitor.get("/")).status == 200


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/devices?label=a:b&x=%2F", "/.//evil.example", "/%2Fevil.example", "/" + "x" * 2047]
)
async def test_a_log_in_leads_to_where_its_page_was_asked_from(visitor: Visitor, user: User, path: str) -> None:
    page = await visitor.call("GET", "/login", query_string={"next": path})
    assert page.status == 200

    logged_in = await visitor.log_in(user, next=path)

    assert (logged_in.status, logged_in.headers["Location"]) == (303, path)


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example",
        "/\\evil.example",
        "\\/evil.example",
        "\\\\evil.example",
        "///evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "\t//evil.example",
        " //evil.example",
        "/a\\b",
        "/a b",
        "/a\r\nSet-Cookie: x=y",
        "https://evil.example",
        "https:evil.example",
        "HTTPS:/evil.example",
        "javascript:alert(1)",
        "data:text/html,x",
        "evil.example",
        "@evil.example",
        "",
        "/é",
        "/\0",
        "/" + "x" * 2048,
    ],
)
async def test_a_log_in_leads_to_no_other_site(visitor: Visitor, user: User, path: str) -> None:
    page = await visitor.call("GET", "/login", query_string={"next": path})
    logged_in = await visitor.log_in(user, next=path)

    assert page.status in {400, 422}
    assert logged_in.status in {400, 422}
    assert "Location" not in logged_in.headers
    assert visitor.cookies == {}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"email=a%40b.example", 422),
        (b"email=&password=", 422),
        (b"email=" + b"x" * 255 + b"&password=x", 422),
        (b"email=a%40b.example&password=" + b"x" * 257, 422),
        (b"email=a%40b.example&email=b&password=x", 400),
        (b"email=a%00b&password=x", 400),
        (b"email=%FF&password=x", 400),
        (b"email=\xff&password=x", 400),
        (b"email=%ED%A0%80&password=x", 400),
        (b"&".join(b"a%d=1" % number for number in range(50)), 400),
        (b"email=" + b"x" * 20_000, 413),
    ],
)
async def test_a_form_that_cannot_be_is_refused_with_a_page(visitor: Visitor, body: bytes, status: int) -> None:
    refused = await visitor.send_form("/login", body)

    assert refused.status == status
    assert f"Status {status}" in text_of(refused)


async def test_a_form_in_another_wrapping_is_not_taken(visitor: Visitor, user: User) -> None:
    body = {"email": user.email, "password": PASSWORD}

    for refused in (
        await visitor.call("POST", "/login", json=body),
        await visitor.call("POST", "/login", data=urlencode(body).encode(), headers={"Content-Type": "text/plain"}),
        await visitor.call("POST", "/login", data=b"x", headers={"Content-Type": "multipart/form-data; boundary=x"}),
    ):
        assert refused.status == 415
        assert "Status 415" in text_of(refused)


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": ""},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://platform.example", "Host": "platform.example"},
        {"Origin": "https://evil.example", "Host": "platform.example"},
        {"Origin": "http://platform.example.evil.example", "Host": "platform.example"},
        {"Origin": "http://platform.example:81", "Host": "platform.example"},
        {"Origin": "null", "Host": "platform.example"},
        {"Origin": "http://[", "Host": "platform.example"},
        {"Origin": "", "Host": "platform.example"},
    ],
)
async def test_no_other_site_logs_a_browser_in(visitor: Visitor, user: User, headers: dict[str, str]) -> None:
    fields = f"email={user.email}&password={PASSWORD}".encode()

    refused = await visitor.call("POST", "/login", data=fields, headers=FORM | headers)

    assert refused.status == 403
    assert "identity.login.foreign_origin" in text_of(refused)
    assert visitor.cookies == {}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://outside.example", "Host": "inside:8080"},
        {"Origin": "https://platform.example", "Host": "platform.example"},
        {"Origin": "http://127.0.0.1:8080", "Host": "127.0.0.1:8080"},
    ],
)
async def test_our_own_page_logs_a_browser_in(visitor: Visitor, user: User, headers: dict[str, str]) -> None:
    fields = f"email={user.email}&password={PASSWORD}".encode()

    assert (await visitor.call("POST", "/login", data=fields, headers=FORM | headers)).status == 303
    assert visitor.secret


async def test_who_logs_out_is_out_and_rid_of_the_cookies(bench: ApiBench, visitor: Visitor, user: User) -> None:
    await visitor.log_in(user)
    kept = dict(visitor.cookies)

    logged_out = await visitor.send_form("/logout", {"csrf_token": visitor.token})

    assert (logged_out.status, logged_out.headers["Location"]) == (303, "/login")
    assert visitor.cookies == {}
    visitor.cookies = kept
    assert (await visitor.get("/api/v1/me")).refusal == (401, "identity.credential.invalid")
    assert (await visitor.get("/")).status == 303
    assert visitor.cookies == {}


async def test_the_token_may_come_as_a_header_instead_of_a_field(visitor: Visitor, user: User) -> None:
    await visitor.log_in(user)

    logged_out = await visitor.call("POST", "/logout", headers={"X-CSRF-Token": visitor.token})

    assert logged_out.status == 303
    assert visitor.cookies == {}


@pytest.mark.parametrize("fields", [{}, {"csrf_token": "0" * 64}, {"csrf_token": "é"}])
async def test_nobody_logs_somebody_else_out(visitor: Visitor, user: User, fields: dict[str, str]) -> None:
    await visitor.log_in(user)

    refused = await visitor.send_form("/logout", fields)

    assert refused.status == 403
    assert "identity.csrf.invalid" in text_of(refused)
    assert (await visitor.get("/")).status == 200


async def test_the_pages_carry_the_token_of_their_session(visitor: Visitor, user: User) -> None:
    assert b"csrf-token" not in (await visitor.get("/login")).body
    await visitor.log_in(user)

    page = (await visitor.get("/")).body.decode()

    assert f'<meta name="csrf-token" content="{visitor.token}">' in page
    assert f'name="csrf_token" value="{visitor.token}"' in page
    assert str(visitor.secret) not in page


async def test_log_in_and_log_out_are_in_the_trail(bench: ApiBench, visitor: Visitor, user: User) -> None:
    await visitor.log_in(user)
    [session_id] = [key for key, kept in bench.tables.sessions.items() if kept.session.secret_hash]

    await visitor.send_form("/logout", {"csrf_token": visitor.token})

    entries = [
        (entry.actor, entry.action, entry.target)
        for entry in bench.tables.audit.values()
        if entry.outcome is AuditOutcome.DONE
    ]
    assert entries == [
        (f"user:{user.id}", "log_in", f"user:{user.id}"),
        (f"user:{user.id}", "log_out", f"session:{session_id}"),
    ]


async def test_refused_attempts_are_in_the_trail_and_a_look_at_the_first_page_is_not(
    bench: ApiBench, visitor: Visitor, user: User
) -> None:
    await visitor.get("/")
    await visitor.log_in(user, password="wrong")
    await visitor.call("POST", "/login", data=b"", headers=FORM | {"Sec-Fetch-Site": "cross-site"})
    await visitor.log_in(user)
    await visitor.send_form("/logout", {})
    visitor.cookies = {"iotsphere_session": make_secret()}
    await visitor.get("/")

    entries = [
        (entry.actor, entry.action, entry.target, entry.code)
        for entry in bench.tables.audit.values()
        if entry.outcome is AuditOutcome.REFUSED
    ]
    assert entries == [
        ("anonymous", "log_in", f"user:{user.id}", "identity.login.refused"),
        ("anonymous", "log_in", None, "identity.login.foreign_origin"),
        (f"user:{user.id}", "log_out", None, "identity.csrf.invalid"),
        ("anonymous", "show_home", None, "identity.credential.invalid"),
    ]
