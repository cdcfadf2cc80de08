"""The web application, put together from a container of services."""

import asyncio
import re
import time
from collections.abc import AsyncGenerator
from uuid import uuid4

import structlog
from prometheus_client import Histogram
from quart import Quart, Response, g, request
from werkzeug.exceptions import HTTPException

from iotsphere.api import openapi
from iotsphere.api.assets.endpoints import blueprint as assets
from iotsphere.api.audit.endpoints import blueprint as audit
from iotsphere.api.errors import register_error_handlers
from iotsphere.api.health.endpoints import blueprint as health
from iotsphere.api.identity.endpoints import blueprint as identity
from iotsphere.api.protection import protect
from iotsphere.api.registry.bulk import blueprint as bulk
from iotsphere.api.registry.endpoints import blueprint as registry
from iotsphere.api.registry.provisioning import blueprint as provisioning
from iotsphere.api.request import RoutableConnection, RoutableRequest, UpgradeIgnored
from iotsphere.api.shadow.endpoints import blueprint as shadow
from iotsphere.api.telemetry.endpoints import blueprint as telemetry
from iotsphere.containers.application import Application, wire_doors
from iotsphere.containers.stores import close_stores
from iotsphere.web.endpoints import blueprint as web

BASE_PATH = "/api/v1"
MAX_REQUEST_BYTES = 6 * 1024 * 1024
REST_OF_BODY_SECONDS = 1.0
CORRELATION_ID = re.compile(r"[\x21-\x7e]{1,128}")

REQUEST_SECONDS = Histogram(
    "iotsphere_http_request_seconds", "Time to answer an HTTP request", ["method", "route", "status"]
)


def create_app(container: Application) -> Quart:
    """Make the application. It starts whether or not any store is there, and needs none to be."""
    wire_doors(container)
    app = Quart("iotsphere", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_REQUEST_BYTES
    app.config["BODY_TIMEOUT"] = 30
    app.request_class = RoutableRequest
    app.asgi_http_class = RoutableConnection
    app.asgi_websocket_class = UpgradeIgnored
    app.url_map.strict_slashes = False
    # Neither does it redirect, which it would do to the host that it is told.
    app.url_map.merge_slashes = False
    register_error_handlers(app)
    for blueprint in (identity, registry, bulk, provisioning, audit, assets, telemetry, shadow):
        app.register_blueprint(blueprint, url_prefix=BASE_PATH)
    app.register_blueprint(health)
    app.register_blueprint(openapi.blueprint)
    app.register_blueprint(web)
    app.before_request(_begin)
    app.after_request(_finish)

    @app.while_serving
    async def stores_in_use() -> AsyncGenerator[None, None]:
        async with container.workflows.upkeep().running():
            yield
        await close_stores(container.stores)

    return app


async def _begin() -> None:
    given = request.headers.get("X-Correlation-ID", "")
    g.correlation_id = given if CORRELATION_ID.fullmatch(given) else uuid4().hex
    g.began = time.perf_counter()
    # Every request is a task, whose context is its own and begins empty.
    structlog.contextvars.bind_contextvars(correlation_id=g.correlation_id)


async def _finish(response: Response) -> Response:
    if _has_body() and not await _has_body_arrived():
        response.headers["Connection"] = "close"
    response.headers["X-Correlation-ID"] = g.correlation_id
    protect(response)
    # The rule, not the path or a made-up method: metrics for every device or every word would have no end.
    method, route = (request.method, request.url_rule.rule) if request.url_rule else ("any", "unmatched")
    REQUEST_SECONDS.labels(method, route, response.status_code).observe(time.perf_counter() - g.began)
    return response


def _has_body() -> bool:
    """Tell whether something follows the head of a request that has its connection for itself (HTTP/1)."""
    headers = request.headers
    is_announced = headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in headers
    return is_announced and request.http_version.startswith("1")


async def _has_body_arrived() -> bool:
    """Wait a moment for what was refused before it was read.

    The server closes a connection on which a request has not ended when its answer has, without telling the client,
    who then loses the next request on it.
    """
    try:
        async with asyncio.timeout(REST_OF_BODY_SECONDS):
            await request.body
    except (TimeoutError, HTTPException):
        return False
    return True
