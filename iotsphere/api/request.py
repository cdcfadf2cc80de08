"""What a request is before it has found its way to an operation."""

import asyncio
import re
from collections.abc import AsyncIterator, Generator
from typing import Any

from hypercorn.typing import ASGIReceiveCallable, ASGIReceiveEvent, HTTPScope
from quart import Quart, Request
from quart.asgi import ASGIHTTPConnection
from quart.wrappers.request import Body
from werkzeug.exceptions import RequestEntityTooLarge

from iotsphere.api.errors import RequestTooLargeError

MAX_UNREAD_BYTES = 256 * 1024
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

    async def pieces(self, max_bytes: int) -> AsyncIterator[bytes]:
        """Read it piece by piece, as it comes.

        :raises RequestTooLargeError: it is larger than the limit, which may show only after some pieces.
        """
        received = 0
        too_large = RequestTooLargeError(f"The body may have {max_bytes} bytes at the most.")
        if self._expected > max_bytes:
            raise too_large
        async for piece in self:
            self._is_read.set()
            received += len(piece)
            if received > max_bytes:
                raise too_large
            yield piece


class RoutableRequest(Request):
    """A request on which the router cannot fail: it asks for the host, and a client may send anything for one.

    None of our routes depends on it.
    """

    host = "localhost"
    body_class = PacedBody
    body: PacedBody


class RoutableConnection(ASGIHTTPConnection):
    """Makes a request of what the server has read, and cannot fail on it: no handler of ours is there yet to answer.

    The framework takes it for granted that a target is a path or a well-formed URL, and that a query is UTF-8. What
    is not ASCII in a query is handed on percent-encoded, to be judged by the operation.
    """

    def __init__(self, app: Quart, scope: HTTPScope) -> None:
        query = NOT_ASCII.sub(lambda byte: b"%%%02X" % byte[0][0], scope["query_string"])
        path = SCHEME_AND_HOST.sub("", scope["path"]).removeprefix("/")
        super().__init__(app, {**scope, "path": f"/{path}", "query_string": query})

    async def handle_messages(self, request: Request, receive: ASGIReceiveCallable) -> None:
        async def receive_in_step() -> ASGIReceiveEvent:
            if isinstance(request.body, PacedBody):
                await request.body.room()
            return await receive()

        await super().handle_messages(request, receive_in_step)


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
