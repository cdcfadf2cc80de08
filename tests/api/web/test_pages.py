"""How pages are protected, and how refusals look on them."""

import re

import pytest

from iotsphere.identity.model import User
from iotsphere.kernel.errors import DomainError, TooManyRequestsError, UnavailableError
from tests.api.bench import ApiBench
from tests.api.web.visitor import Visitor, add_user, text_of


@pytest.fixture
def user(bench: ApiBench) -> User:
    return add_user(bench)


@pytest.mark.parametrize("path", ["/login", "/docs"])
async def test_a_page_loads_from_here_alone_and_is_kept_and_framed_by_nobody(bench: ApiBench, path: str) -> None:
    headers = (await bench.call("GET", path, by=None)).headers

    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["object-src"] == "'none'"
    assert policy["form-action"] == "'self'"
    assert "script-src" not in policy
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"


async def test_pages_have_nothing_in_them_that_their_policy_forbids(bench: ApiBench, user: User) -> None:
    visitor = Visitor(bench)
    pages = [await visitor.get("/login"), await visitor.send_form("/login", b""), await visitor.log_in(user)]
    pages.append(await visitor.get("/"))

    for page in pages:
        text = page.body.decode()
        assert not re.search(r"<script|<style| style=| on\w+=|javascript:|//", text.removeprefix("<!doctype html>"))
        for path in re.findall(r'<link [^>]*href="([^"]+)"', text):
            asset = await visitor.get(path)
            assert (asset.status, asset.headers["Content-Type"].split(";")[0]) in {
                (200, "text/css"),
                (200, "image/svg+xml"),
            }


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_only_what_came_over_https_asks_for_it_from_now_on(bench: ApiBench, scheme: str) -> None:
    for path in ("/login", "/api/v1/openapi.json", "/health/live"):
        headers = (await bench.call("GET", path, by=None, scheme=scheme)).headers
        assert ("Strict-Transport-Security" in headers) == (scheme == "https")


async def test_an_answer_of_the_api_is_kept_by_nobody_else_and_a_secret_by_nobody(bench: ApiBench) -> None:
    device = bench.add_device()

    read = await bench.get(f"/devices/{device.id}")
    issued = await bench.post(f"/devices/{device.id}/credentials", {})

    assert (issued.status, issued.headers["Cache-Control"]) == (201, "no-store")
    assert (read.status, read.headers["Cache-Control"]) == (200, "private, no-cache")
    assert "default-src 'none'" in read.headers["Content-Security-Policy"]


async def test_a_page_that_needs_a_store_says_when_to_come_back(bench: ApiBench, user: User) -> None:
    visitor = Visitor(bench)
    await visitor.log_in(user)
    bench.close_registry()

    for page in (await visitor.get("/"), await visitor.log_in(user)):
        assert (page.status, page.headers["Retry-After"]) == (503, "1")
        assert "registry.store.unavailable" in text_of(page)
        assert page.headers["X-Correlation-ID"] in text_of(page)
    assert (await visitor.get("/login")).status == 200


async def test_a_fault_of_ours_is_a_page_without_its_details(bench: ApiBench, user: User) -> None:
    class Broken:
        async def authenticate_browser(self, *, secret: str) -> None:
            raise ZeroDivisionError("the inside")

    visitor = Visitor(bench)
    await visitor.log_in(user)
    with bench.container.workflows.authentication.override(Broken()):
        page = await visitor.get("/")

    assert page.status == 500
    assert "the inside" not in text_of(page)
    assert page.headers["X-Correlation-ID"] in text_of(page)


class SlowDownError(TooManyRequestsError):
    code = "throttling.requests.exceeded"


@pytest.mark.parametrize(
    ("error", "status", "shown"),
    [
        (SlowDownError("Too many <attempts>.", retry_after_seconds=11.2), 429, "Try again in 12 s."),
        (UnavailableError("registry", "Away."), 503, "Try again in 1 s."),
    ],
)
async def test_a_refusal_says_on_its_page_when_to_come_back(
    bench: ApiBench, user: User, error: DomainError, status: int, shown: str
) -> None:
    class Refusing:
        async def log_in_browser(self, **_: object) -> None:
            raise error

    with bench.container.workflows.authentication.override(Refusing()):
        page = await Visitor(bench).log_in(user)

    assert page.status == status
    assert shown in text_of(page)
    assert "<attempts>" not in page.body.decode()
    assert page.headers["Retry-After"] in shown


async def test_outside_the_pages_a_refusal_stays_a_problem(bench: ApiBench) -> None:
    assert (await bench.call("GET", "/nothing", by=None)).refusal == (404, "request.path.not_found")
    assert (await bench.call("GET", "/logout", by=None)).refusal == (405, "request.method.not_allowed")
    assert (await bench.call("GET", "/api/v1/me", by=None)).refusal == (401, "identity.credential.missing")
