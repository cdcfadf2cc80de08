"""The web application, put together from a container of services."""

import asyncio
import re
import secrets
import time
from collections.abc import AsyncGenerator
from functools import cache

import structlog
from prometheus_client import Histogram
from quart import Quart, Request, Response, g, request
from quart.globals import app_ctx, request_ctx
from werkzeug.exceptions import HTTPException

from iotsphere.api import openapi
from iotsphere.api.assets.aggregate import blueprint as asset_aggregate
from iotsphere.api.assets.asset_bulk import blueprint as asset_bulk
from iotsphere.api.assets.device_types import blueprint as device_types
from iotsphere.api.assets.endpoints import blueprint as assets
from iotsphere.api.assets.maintenance import blueprint as maintenance
from iotsphere.api.assets.maintenance_bulk import blueprint as maintenance_bulk
from iotsphere.api.assets.relationships import blueprint as relationships
from iotsphere.api.assets.search import blueprint as asset_search
from iotsphere.api.assets.tree import blueprint as tree
from iotsphere.api.audit.endpoints import blueprint as audit
from iotsphere.api.dispatch import DirectQuart
from iotsphere.api.errors import register_error_handlers
from iotsphere.api.health.endpoints import blueprint as health
from iotsphere.api.identity.endpoints import blueprint as identity
from iotsphere.api.protection import protect
from iotsphere.api.registry.bulk import blueprint as bulk
from iotsphere.api.registry.endpoints import blueprint as registry
from iotsphere.api.registry.provisioning import blueprint as provisioning
from iotsphere.api.shadow.endpoints import blueprint as shadow
from iotsphere.api.telemetry.endpoints import blueprint as telemetry
from iotsphere.api.telemetry.fleet import blueprint as fleet
from iotsphere.api.telemetry.retention import blueprint as retention
from iotsphere.api.telemetry.stream import blueprint as telemetry_stream
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
    app = DirectQuart("iotsphere")
    app.config["MAX_CONTENT_LENGTH"] = MAX_REQUEST_BYTES
    app.config["BODY_TIMEOUT"] = 30
    app.url_map.strict_slashes = False
    # Neither does it redirect, which it would do to the host that it is told.
    app.url_map.merge_slashes = False
    app.url_map.redirect_defaults = False
    register_error_handlers(app)
    for blueprint in (
        identity,
        registry,
        bulk,
        provisioning,
        audit,
        assets,
        asset_bulk,
        asset_search,
        asset_aggregate,
        tree,
        relationships,
        device_types,
        maintenance,
        maintenance_bulk,
        telemetry,
        telemetry_stream,
        fleet,
        retention,
        shadow,
    ):
        app.register_blueprint(blueprint, url_prefix=BASE_PATH)
    app.register_blueprint(health)
    app.register_blueprint(openapi.blueprint)
    app.register_blueprint(web)
    app.before_request(_begin)
    app.after_request(_finish)

    @app.while_serving
    async def stores_in_use() -> AsyncGenerator[None, None]:
        async with container.workflows.upkeep().running(), container.workflows.shadow_upkeep().running():
            yield
        # Requests that were given up wait no longer, and what they handed in is still to be written.
        await container.telemetry.readings().finish()
        await close_stores(container.stores)

    return app


async def _begin() -> None:
    given = request.headers.get("X-Correlation-ID", "")
    correlation_id = given if CORRELATION_ID.fullmatch(given) else secrets.token_hex(16)
    g.correlation_id = correlation_id
    g.began = time.perf_counter()
    # Every request is a task, whose context is its own and begins empty.
    structlog.contextvars.bind_contextvars(correlation_id=correlation_id)


async def _finish(response: Response) -> Response:
    asked, noted = request_ctx.request, app_ctx.g
    if _has_body(asked) and not await _has_body_arrived(asked):
        response.headers["Connection"] = "close"
    response.headers["X-Correlation-ID"] = noted.correlation_id
    protect(response, asked)
    # The rule, not the path or a made-up method: metrics for every device or every word would have no end.
    method, route = (asked.method, asked.url_rule.rule) if asked.url_rule else ("any", "unmatched")
    _seconds_of(method, route, response.status_code).observe(time.perf_counter() - noted.began)
    return response


# As many as there are time series.
@cache
def _seconds_of(method: str, route: str, status: int) -> Histogram:
    return REQUEST_SECONDS.labels(method, route, status)


def _has_body(asked: Request) -> bool:
    """Tell whether something follows the head of a request that has its connection for itself (HTTP/1)."""
    headers = asked.headers
    is_announced = headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in headers
    return is_announced and asked.http_version.startswith("1")


async def _has_body_arrived(asked: Request) -> bool:
    """Wait a moment for what was refused before it was read.

    The server closes a connection on which a request has not ended when its answer has, without telling the client,
    who then loses the next request on it.
    """
    try:
        async with asyncio.timeout(REST_OF_BODY_SECONDS):
            await asked.body
    except (TimeoutError, HTTPException):
        return False
    return True
