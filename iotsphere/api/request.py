"""What a request is before it has found its way to an operation."""

import re
from typing import Any

from hypercorn.typing import HTTPScope
from quart import Quart, Request
from quart.asgi import ASGIHTTPConnection

NOT_ASCII = re.compile(rb"[\x80-\xff]")
SCHEME_AND_HOST = re.compile(r"\A[a-z][a-z0-9+.-]*://[^/]*", re.IGNORECASE)


class RoutableRequest(Request):
    """A request on which the router cannot fail: it asks for the host, and a client may send anything for one.

    None of our routes depends on it.
    """

    host = "localhost"


class RoutableConnection(ASGIHTTPConnection):
    """Makes a request of what the server has read, and cannot fail on it: no handler of ours is there yet to answer.

    The framework takes it for granted that a target is a path or a well-formed URL, and that a query is UTF-8. What
    is not ASCII in a query is handed on percent-encoded, to be judged by the operation.
    """

    def __init__(self, app: Quart, scope: HTTPScope) -> None:
        query = NOT_ASCII.sub(lambda byte: b"%%%02X" % byte[0][0], scope["query_string"])
        path = SCHEME_AND_HOST.sub("", scope["path"]).removeprefix("/")
        super().__init__(app, {**scope, "path": f"/{path}", "query_string": query})


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
