"""What a request is before it has found its way to an operation."""

import asyncio
import math
import re
from collections.abc import AsyncIterator, Generator, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, cast

from hypercorn.typing import ASGIReceiveCallable, ASGIReceiveEvent, ASGISendCallable, ASGISendEvent, HTTPScope
from quart import Quart, Request
from quart.asgi import ASGIHTTPConnection
from quart.typing import ResponseTypes
from quart.utils import encode_headers
from quart.wrappers.request import Body
from quart.wrappers.response import DataBody
from werkzeug.datastructures import Headers
from werkzeug.exceptions import RequestEntityTooLarge

from iotsphere.api.errors import RequestTooLargeError

MAX_UNREAD_BYTES = 256 * 1024
# The server waits for a client that does not read when there are 64 KiB to be sent.
ALWAYS_TAKEN_BYTES = 32 * 1024
# For a client that still sends what is of no use any more to come upon its answer.
LINGER_SECONDS = 2.0
# Who takes nothing of an answer for so long is hung up on.
STALLED_SECONDS = 60.0
NOT_ASCII = re.compile(rb"[\x80-\xff]")
SCHEME_AND_HOST = re.compile(r"\A[a-z][a-z0-9+.-]*://[^/]*", re.IGNORECASE)


class PacedBody(Body):
    """A body that is read either whole, within the application's limit, or in pieces, within a limit of the reader's.

    Until it is known which, and while it is read in pieces, no more is taken from the connection than is read: the
    framework would take in all that comes, and holds everything against the one limit.
    """

    def __init__(self, expected_content_length: int | None, max_content_length: int | None) -> None:
        super().__init__(None, None)
        self._expected = expected_content_length or 0
        self._max_whole = max_content_length
        self._is_paced = True
        self._is_read = asyncio.Event()

    def __await__(self) -> Generator[Any, None, bytes]:
        if not self._complete.is_set():
            self._is_paced = False
            self._is_read.set()
            self._max_content_length = self._max_whole
            if self._max_whole is not None and self._expected > self._max_whole:
                self._must_raise = RequestEntityTooLarge()
        whole: bytes = yield from super().__await__()
        return whole

    async def room(self) -> None:
        """Wait until more may be taken from the connection."""
        while self._is_paced and len(self._data) >= MAX_UNREAD_BYTES:
            self._is_read.clear()
            await self._is_read.wait()

    async def pieces(self, max_bytes: float = math.inf) -> AsyncIterator[bytes]:
        """Read it piece by piece, as it comes.

        :raises RequestTooLargeError: it is larger than the limit, which may show only after some pieces.
        """
        received = 0
        if self._expected > max_bytes:
            raise body_too_large(max_bytes)
        async for piece in self:
            self._is_read.set()
            received += len(piece)
            if received > max_bytes:
                raise body_too_large(max_bytes)
            yield piece


def body_too_large(max_bytes: float) -> RequestTooLargeError:
    """Make the refusal. Who keeps it in a variable and raises it keeps what they hold until garbage is collected."""
    return RequestTooLargeError(f"The body may have {max_bytes} bytes at the most.")


class RoutableRequest(Request):
    """A request on which the router cannot fail: it asks for the host, and a client may send anything for one.

    None of our routes depends on it.
    """

    host = "localhost"
    body_class = PacedBody
    body: PacedBody


class ReceivedHeaders(Headers):
    """The headers of a request, which are looked up again and again and never changed.

    Mostly it is asked for what is not there: the framework's own would read all of them each time.
    """

    def __init__(self, received: Iterable[tuple[bytes, bytes]], address: str) -> None:
        super().__init__()
        self._list = [("Remote-Addr", address)]
        self._list += [(name.decode("latin1").title(), value.decode("latin1")) for name, value in received]
        # The first of a name is the one that counts.
        self._values = {name.lower(): value for name, value in reversed(self._list)}

    def get(self, key: str, default: Any = None, type: Any = None) -> Any:  # type: ignore[override]  # noqa: A002
        return self._values.get(key.lower(), default) if type is None else super().get(key, default, type)

    def __contains__(self, key: Any) -> bool:
        return key.lower() in self._values

    def _get_key(self, key: str) -> str:
        return self._values[key.lower()]


class RoutableConnection(ASGIHTTPConnection):
    """Makes a request of what the server has read, and cannot fail on it: no handler of ours is there yet to answer.

    The framework takes it for granted that a target is a path or a well-formed URL, and that a query is UTF-8. What
    is not ASCII in a query is handed on percent-encoded, to be judged by the operation.
    """

    def __init__(self, app: Quart, scope: HTTPScope) -> None:
        query = NOT_ASCII.sub(lambda byte: b"%%%02X" % byte[0][0], scope["query_string"])
        path = SCHEME_AND_HOST.sub("", scope["path"]).removeprefix("/")
        super().__init__(app, {**scope, "path": f"/{path}", "query_string": query})

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Answer in the task that the server has made for the request, until the client goes away.

        The framework would answer in a task of its own, and wait in this one for either end.
        """
        request = self._create_request_from_scope(send)
        listening = asyncio.create_task(self.handle_messages(request, receive))
        answering = cast("asyncio.Task[None]", asyncio.current_task())
        is_left = False

        def leave(_: object) -> None:
            nonlocal is_left
            is_left = True
            answering.cancel()

        listening.add_done_callback(leave)
        try:
            await self.handle_request(request, send)
        except asyncio.CancelledError:
            if not is_left or answering.uncancel():
                raise
        finally:
            listening.remove_done_callback(leave)
            listening.cancel()

    def _create_request_from_scope(self, send: ASGISendCallable) -> Request:
        scope, config = self.scope, self.app.config
        address = (scope.get("client") or ["<local>"])[0]
        return self.app.request_class(
            scope["method"],
            scope["scheme"],
            scope["path"],
            scope["query_string"],
            ReceivedHeaders(scope["headers"], address),
            "",
            scope["http_version"],
            max_content_length=config["MAX_CONTENT_LENGTH"],
            body_timeout=config["BODY_TIMEOUT"],
            send_push_promise=partial(self._send_push_promise, send),
            scope=scope,
        )

    async def handle_request(self, request: Request, send: ASGISendCallable) -> None:
        response = await self.app.handle_request(request)
        if self._is_taken_at_once(response):
            await self._send_response(send, response)
            return
        seconds: Any = getattr(response, "timeout", ...)
        with suppress(TimeoutError):
            async with asyncio.timeout(self.app.config["RESPONSE_TIMEOUT"] if seconds is ... else seconds):
                await self._send_response(send, response)

    def _is_taken_at_once(self, response: ResponseTypes) -> bool:
        """Tell whether the server has room for the answer, whether or not the client takes it (HTTP/1)."""
        body = response.response
        is_small = isinstance(body, DataBody) and len(body.data) <= ALWAYS_TAKEN_BYTES
        return is_small and self.scope["http_version"].startswith("1")

    async def _send_response(self, send: ASGISendCallable, response: ResponseTypes) -> None:
        body = response.response
        if not isinstance(body, DataBody):
            await super()._send_response(partial(_send_in_time, send), response)
            return
        # What is there whole goes out whole.
        headers = encode_headers(response.headers)
        await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        is_early = response.headers.get("Connection") == "close"
        await send({"type": "http.response.body", "body": body.data[body.begin : body.end], "more_body": is_early})
        if is_early:
            # A connection that is closed on a client who sends is reset, and the answer may be lost on the way.
            await asyncio.sleep(LINGER_SECONDS)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def handle_messages(self, request: Request, receive: ASGIReceiveCallable) -> None:
        async def receive_in_step() -> ASGIReceiveEvent:
            if isinstance(request.body, PacedBody):
                await request.body.room()
            return await receive()

        await super().handle_messages(request, receive_in_step)


async def _send_in_time(send: ASGISendCallable, message: ASGISendEvent) -> None:
    """Send a piece of an answer that is not there as a whole, unless the client does not take it."""
    async with asyncio.timeout(STALLED_SECONDS):
        await send(message)


class UpgradeIgnored:
    """Answers an offer to speak WebSocket as the GET request that it also is: no route of ours speaks it.

    The framework would answer by itself, past the handlers that name a problem and its correlation id.
    """

    def __init__(self, app: Quart, scope: Any) -> None:
        request: Any = {**scope, "type": "http", "method": "GET", "scheme": scope["scheme"].replace("ws", "http")}
        self._connection = RoutableConnection(app, request)

    async def __call__(self, receive: Any, send: Any) -> None:
        async def receive_request() -> Any:
            message = await receive()
            if message["type"] == "websocket.connect":
                return {"type": "http.request", "body": b"", "more_body": False}
            return {"type": "http.disconnect"}

        async def send_answer(message: Any) -> None:
            await send({**message, "type": f"websocket.{message['type']}"})

        await self._connection(receive_request, send_answer)
