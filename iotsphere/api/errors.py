"""The one place that knows which HTTP status a refusal becomes, and how it is written (RFC 9457)."""

import math
from http import HTTPStatus
from typing import Any

import structlog
from marshmallow import Schema, fields
from quart import Quart, Response, g, request
from werkzeug.exceptions import HTTPException

from iotsphere.api.json_body import encode_json
from iotsphere.kernel.errors import (
    ConflictError,
    DomainError,
    MalformedInputError,
    NotFoundError,
    NotPermittedError,
    PreconditionFailedError,
    RuleViolationError,
    TooLargeError,
    TooManyRequestsError,
    UnauthenticatedError,
    UnavailableError,
)

log = structlog.get_logger()

PROBLEM_JSON = "application/problem+json"
RETRY_AFTER_SECONDS = 1

# From the most particular category to the most general: the first that fits decides.
STATUSES: list[tuple[type[DomainError], HTTPStatus]] = [
    (PreconditionFailedError, HTTPStatus.PRECONDITION_FAILED),
    (NotFoundError, HTTPStatus.NOT_FOUND),
    (ConflictError, HTTPStatus.CONFLICT),
    (RuleViolationError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (MalformedInputError, HTTPStatus.BAD_REQUEST),
    (TooLargeError, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (UnauthenticatedError, HTTPStatus.UNAUTHORIZED),
    (NotPermittedError, HTTPStatus.FORBIDDEN),
    (TooManyRequestsError, HTTPStatus.TOO_MANY_REQUESTS),
    (UnavailableError, HTTPStatus.SERVICE_UNAVAILABLE),
]

# What the router and the server refuse before any of our code sees the request.
HTTP_CODES = {
    404: "request.path.not_found",
    405: "request.method.not_allowed",
    408: "request.body.too_slow",
    413: "request.body.too_large",
    415: "request.body.media_type_unsupported",
}


class RefusalAnswer(Schema):
    """RFC 9457. ``problem`` writes it; this says so to the OpenAPI document."""

    type = fields.String(metadata={"format": "uri"})
    title = fields.String()
    status = fields.Integer()
    detail = fields.String()
    code = fields.String(metadata={"pattern": r"^[a-z0-9_]+\.[a-z0-9_]+\.[a-z0-9_]+$"})
    correlation_id = fields.String()


class ProblemAnswer(RefusalAnswer):
    errors = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        metadata={"description": "With 422: what is wrong, by field.", "optional": True},
    )


class MediaTypeUnsupportedError(DomainError):
    code = "request.body.media_type_unsupported"
    title = "Unsupported media type"


class RequestTooLargeError(TooLargeError):
    code = "request.body.too_large"


class LineTooLongError(TooLargeError):
    code = "request.line.too_long"

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"The line is longer than {max_bytes // 1024**2} MiB.")


def status_of(error: DomainError) -> HTTPStatus:
    if isinstance(error, MediaTypeUnsupportedError):
        return HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    return next(status for category, status in STATUSES if isinstance(error, category))


def problem(status: int, *, code: str, title: str, detail: str, **members: Any) -> Response:
    """Write a problem; ``members`` are those that the kind of problem adds, such as ``errors``."""
    body = {
        "type": f"urn:iotsphere:problem:{code}",
        "title": title,
        "status": int(status),
        "detail": detail,
        "code": code,
        "correlation_id": g.get("correlation_id", ""),
        **members,
    }
    return Response(encode_json(body), status=status, content_type=PROBLEM_JSON)


def domain_problem(error: DomainError, **members: Any) -> Response:
    """Write a refusal; ``members`` are those added to it."""
    status = status_of(error)
    if isinstance(error, RuleViolationError):
        members = {"errors": error.errors, **members}
    response = problem(status, code=error.code, title=error.title, detail=error.detail, **members)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if isinstance(error, TooManyRequestsError):
        # Whole seconds, rounded up: who comes back earlier would be refused again.
        response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_seconds)))
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = 'Bearer realm="iotsphere", ApiKey'
    return response


def http_problem(error: HTTPException, **members: Any) -> Response:
    """Write what the router refused in the same form as everything else; ``members`` are those added to it."""
    status = error.code or 500
    reason = error.name.lower().replace(" ", "_").replace("-", "_")
    response = problem(
        status,
        code=HTTP_CODES.get(status, f"request.http.{reason}"),
        title=error.name,
        detail=(error.description or error.name).strip(),
        **members,
    )
    for name, value in error.get_headers():
        if name.lower() in {"allow", "location"}:
            response.headers[name] = value
    return response


def unexpected_problem(error: Exception) -> Response:
    """Admit a fault of ours: details go to the log, under the correlation id that the client is given."""
    log.error("request.failed", method=request.method, path=request.path, exc_info=error)
    return problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        code="request.server.failed",
        title="A fault of the platform",
        detail="The platform failed to handle the request. Report the correlation id to its operators.",
    )


def register_error_handlers(app: Quart) -> None:
    app.register_error_handler(DomainError, domain_problem)
    app.register_error_handler(HTTPException, http_problem)
    app.register_error_handler(Exception, unexpected_problem)
