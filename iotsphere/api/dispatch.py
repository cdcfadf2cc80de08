"""The way of a request through the framework, without what no request of ours needs."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

from quart import Quart, Request
from quart.ctx import RequestContext
from quart.globals import request_ctx
from quart.sessions import NullSession
from quart.typing import ResponseReturnValue, ResponseTypes
from quart.wrappers.base import BaseRequestWebsocket
from werkzeug.routing import MapAdapter

from iotsphere.api.request import RoutableConnection, RoutableRequest, UpgradeIgnored

Hook = Callable[..., Awaitable[Any]]

# What a caller is known by is not kept in the framework's session.
NO_SESSION = NullSession()


@dataclass(frozen=True, slots=True)
class Course:
    """What is called for every request of an endpoint; without one, for what has found none."""

    before: tuple[Hook, ...]
    view: Hook | None
    after: tuple[Hook, ...]
    at_end: tuple[Hook, ...]


class DirectQuart(Quart):
    """A Quart that looks up once, and not at each request anew, what it has to call for the requests of an endpoint.

    It heeds no ``after_this_request``, and no signal tells of a request's end.
    """

    request_class = RoutableRequest
    asgi_http_class = RoutableConnection
    asgi_websocket_class = UpgradeIgnored

    def __init__(self, name: str) -> None:
        super().__init__(name, static_folder=None)
        self._courses: dict[str | None, Course] = {}

    def create_url_adapter(self, request: BaseRequestWebsocket | None) -> MapAdapter | None:
        """Match by the path alone: whatever a client gives for a host, nothing of ours depends on it."""
        if request is None:
            return None
        return MapAdapter(self.url_map, request.host, "/", "", request.scheme, request.path, request.method)

    def request_context(self, request: Request) -> RequestContext:
        return RequestContext(self, request, NO_SESSION)

    async def preprocess_request(self, request_context: RequestContext | None = None) -> ResponseReturnValue | None:
        for hook in self._course(request_context).before:
            result: ResponseReturnValue | None = await hook()
            if result is not None:
                return result
        return None

    async def dispatch_request(self, request_context: RequestContext | None = None) -> ResponseReturnValue:
        request = (request_context or request_ctx).request
        view = self._course(request_context).view
        if view is None or request.method == "OPTIONS":
            return await super().dispatch_request(request_context)
        answer: ResponseReturnValue = await view(**request.view_args or {})
        return answer

    async def process_response(
        self, response: ResponseTypes, request_context: RequestContext | None = None
    ) -> ResponseTypes:
        for hook in self._course(request_context).after:
            response = await hook(response)
        return response

    async def do_teardown_request(
        self, exc: BaseException | None, request_context: RequestContext | None = None
    ) -> None:
        for hook in self._course(request_context).at_end:
            await hook(exc)

    def _course(self, context: RequestContext | None) -> Course:
        request = (context or request_ctx).request
        course = self._courses.get(request.endpoint)
        if course is None:
            course = self._courses[request.endpoint] = self._look_up(request.endpoint, request.blueprints)
        return course

    def _look_up(self, endpoint: str | None, blueprints: list[str]) -> Course:
        """Find what was registered, in the framework's order: from the whole to the part, and then back."""
        outwards = [*blueprints, None]
        inwards = outwards[::-1]
        before = (hook for name in inwards for hook in self.before_request_funcs[name])
        after = (hook for name in outwards for hook in reversed(self.after_request_funcs[name]))
        at_end = (hook for name in outwards for hook in reversed(self.teardown_request_funcs[name]))
        return Course(
            tuple(map(self.ensure_async, cast("Any", before))),
            self.ensure_async(self.view_functions[endpoint]) if endpoint is not None else None,
            tuple(map(self.ensure_async, cast("Any", after))),
            tuple(map(self.ensure_async, cast("Any", at_end))),
        )
