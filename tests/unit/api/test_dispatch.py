"""A request takes the same course as through the framework alone, and ends when the client goes away."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from quart import Blueprint, Quart, Response, g, request
from werkzeug.exceptions import NotFound

from iotsphere.api import request as incoming
from iotsphere.api.dispatch import DirectQuart
from iotsphere.api.request import ALWAYS_TAKEN_BYTES, ReceivedHeaders

Message = dict[str, Any]


class Client:
    """Speaks ASGI with an application, for one request."""

    def __init__(self, app: Quart, path: str, *, method: str = "GET", http_version: str = "1.1") -> None:
        self.sent: list[Message] = []
        self.incoming: asyncio.Queue[Message] = asyncio.Queue()
        self._app = app
        self._scope: Any = {
            "type": "http",
            "http_version": http_version,
            "method": method,
            "scheme": "http",
            "path": path,
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"anywhere")],
            "client": ("192.0.2.1", 50000),
        }

    async def ask(self) -> None:
        await self._app(self._scope, self.incoming.get, self._take)  # type: ignore[arg-type]

    async def _take(self, message: Any) -> None:
        self.sent.append(message)


def build_app(app: Quart, called: list[str]) -> Quart:
    """Give an application hooks of every kind, outside and inside a blueprint, which say that they were called."""
    part = Blueprint("part", __name__)
    add_views(part, called)
    for name, place in (("app", app), ("part", part)):
        for number in (1, 2):
            place.before_request(make_hook(called, f"before {name} {number}"))
            place.after_request(make_hook(called, f"after {name} {number}"))
            place.teardown_request(make_hook(called, f"end {name} {number}"))

    async def answer_failure(error: Exception) -> tuple[str, int]:
        called.append(type(error).__name__)
        return "failed", 500

    app.register_error_handler(LookupError, answer_failure)
    app.register_blueprint(part)
    return app


def make_hook(called: list[str], name: str) -> Any:
    async def hook(response: object = None) -> object:
        called.append(name)
        return response

    return hook


def add_views(part: Blueprint, called: list[str]) -> None:
    @part.route("/things/<uuid:thing_id>", methods=["GET", "POST"])
    async def thing(thing_id: object) -> str:
        called.append(f"view {request.method} {thing_id} {g.get('nothing')}")
        return "found"

    @part.get("/broken")
    async def broken() -> str:
        raise LookupError

    @part.get("/held")
    async def held() -> str:
        raise NotFound


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/things/5f0f2c1e-6f0a-4a8e-9a53-0c7c2a5b9f10"),
        ("HEAD", "/things/5f0f2c1e-6f0a-4a8e-9a53-0c7c2a5b9f10"),
        ("POST", "/things/5f0f2c1e-6f0a-4a8e-9a53-0c7c2a5b9f10"),
        ("OPTIONS", "/things/5f0f2c1e-6f0a-4a8e-9a53-0c7c2a5b9f10"),
        ("DELETE", "/things/5f0f2c1e-6f0a-4a8e-9a53-0c7c2a5b9f10"),
        ("GET", "/things/no-id"),
        ("GET", "/broken"),
        ("GET", "/held"),
    ],
)
async def test_a_request_takes_the_course_that_it_takes_through_the_framework(method: str, path: str) -> None:
    courses = []
    for app in (Quart("plain", static_folder=None), DirectQuart("direct")):
        called: list[str] = []
        client = Client(build_app(app, called), path, method=method)
        await client.incoming.put({"type": "http.request", "body": b"", "more_body": False})
        # The second is the one that finds its course looked up.
        await client.ask()
        await client.incoming.put({"type": "http.request", "body": b"", "more_body": False})
        await client.ask()
        body = b"".join(message.get("body", b"") for message in client.sent)
        courses.append((called, client.sent[0], body))

    assert courses[0] == courses[1]


async def test_a_hook_that_answers_keeps_the_view_from_being_called() -> None:
    app = DirectQuart("direct")

    @app.before_request
    async def refuse() -> tuple[str, int]:
        return "refused", 403

    @app.get("/")
    async def view() -> str:
        raise AssertionError

    client = Client(app, "/")
    await client.ask()

    assert client.sent[0]["status"] == 403


async def test_who_goes_away_is_not_worked_for_any_more() -> None:
    app, has_begun, ended = DirectQuart("direct"), asyncio.Event(), []

    @app.get("/")
    async def view() -> str:
        has_begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("view")
        return ""

    client = Client(app, "/")
    asking = asyncio.create_task(client.ask())
    await asyncio.wait_for(has_begun.wait(), timeout=10)
    await client.incoming.put({"type": "http.disconnect"})
    await asyncio.wait_for(asking, timeout=10)

    assert (ended, client.sent) == (["view"], [])


async def test_a_request_that_the_server_ends_is_ended_for_the_server_too() -> None:
    app, has_begun = DirectQuart("direct"), asyncio.Event()

    @app.get("/")
    async def view() -> str:
        has_begun.set()
        await asyncio.Event().wait()
        return ""

    asking = asyncio.create_task(Client(app, "/").ask())
    await asyncio.wait_for(has_begun.wait(), timeout=10)
    asking.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asking


@pytest.mark.parametrize("http_version", ["1.0", "1.1", "2"])
@pytest.mark.parametrize("size", [0, ALWAYS_TAKEN_BYTES, ALWAYS_TAKEN_BYTES + 1])
async def test_what_is_there_whole_goes_out_whole(size: int, http_version: str) -> None:
    app = DirectQuart("direct")

    @app.get("/")
    async def view() -> Response:
        return Response(b"x" * size)

    client = Client(app, "/", http_version=http_version)
    await client.ask()

    assert [message["type"] for message in client.sent] == ["http.response.start", "http.response.body"]
    assert client.sent[1] == {"type": "http.response.body", "body": b"x" * size, "more_body": False}


@pytest.mark.parametrize(("size", "http_version"), [(1, "2"), (ALWAYS_TAKEN_BYTES + 1, "1.1")])
async def test_who_does_not_take_an_answer_is_not_waited_for_for_ever(size: int, http_version: str) -> None:
    app = DirectQuart("direct")
    app.config["RESPONSE_TIMEOUT"] = 0.01

    @app.get("/")
    async def view() -> Response:
        return Response(b"x" * size)

    class Unwilling(Client):
        async def _take(self, message: Any) -> None:
            await super()._take(message)
            await asyncio.Event().wait()

    client = Unwilling(app, "/", http_version=http_version)
    await asyncio.wait_for(client.ask(), timeout=10)

    assert len(client.sent) == 1


async def test_who_takes_nothing_of_a_long_answer_for_a_while_is_hung_up_on_and_who_reads_slowly_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(incoming, "STALLED_SECONDS", 0.2)
    app = DirectQuart("direct")
    ended: list[int] = []

    async def pieces() -> AsyncIterator[bytes]:
        given = 0
        try:
            while given < 3:
                given += 1
                yield b"x"
        finally:
            ended.append(given)

    @app.get("/")
    async def view() -> Response:
        return Response(pieces())

    class Slow(Client):
        async def _take(self, message: Any) -> None:
            await super()._take(message)
            await asyncio.sleep(0.1)

    class Stalled(Client):
        async def _take(self, message: Any) -> None:
            await super()._take(message)
            if len(self.sent) == 2:
                await asyncio.Event().wait()

    for client in (Slow(app, "/"), Stalled(app, "/")):
        await asyncio.wait_for(client.ask(), timeout=10)

    assert ended == [3, 1]


def test_headers_are_found_whatever_their_case_and_the_first_of_a_name_counts() -> None:
    received = [(b"x-one", b"1"), (b"X-ONE", b"2"), (b"content-length", b"7"), (b"odd", "é".encode("latin1"))]
    headers = ReceivedHeaders(received, "192.0.2.1")

    assert [headers["X-One"], headers.get("x-oNE"), headers.getlist("X-one")] == ["1", "1", ["1", "2"]]
    assert headers.get("Content-Length", type=int) == 7
    assert headers.get("X-One", 9, type=lambda _: int("none")) == 9
    assert [headers.get("Nothing"), headers.get("Nothing", "else"), headers.get("Remote-Addr")] == [
        None,
        "else",
        "192.0.2.1",
    ]
    assert ["odd" in headers, "Nothing" in headers, headers["Odd"]] == [True, False, "é"]
    assert list(headers)[1:3] == [("X-One", "1"), ("X-One", "2")]
