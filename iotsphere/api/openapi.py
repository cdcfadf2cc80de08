"""The OpenAPI document, made from what every operation declares about itself, and the page that shows it."""

import re
from collections.abc import Iterator
from http import HTTPStatus
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from apispec import APISpec
from marshmallow import Schema
from quart import Blueprint, Quart, Response, current_app, send_from_directory
from werkzeug.routing import Rule

from iotsphere.api.browser import CSRF_COOKIE, CSRF_HEADER, SESSION_SCHEME
from iotsphere.api.errors import PROBLEM_JSON, ProblemAnswer, RefusalAnswer
from iotsphere.api.json_body import encode_json
from iotsphere.api.json_schema import JsonSchemaPlugin
from iotsphere.api.operation import ARCHIVED, ARROW, CSV, JSON, NEXT_CURSOR, Operation

blueprint = Blueprint("openapi", __name__)

SWAGGER_UI = str(files("flask_swagger_ui") / "dist")
SHOWN_AT = "/api/v1/openapi.json"
PATH_PARAMETER = re.compile(r"<(?:(\w+):)?(\w+)>")
PROBLEMS = {
    HTTPStatus.BAD_REQUEST: "A header, the query, a cursor or the body cannot be read.",
    HTTPStatus.UNAUTHORIZED: "There is no credential, or not a valid one.",
    HTTPStatus.FORBIDDEN: "The caller is known and may not.",
    HTTPStatus.NOT_FOUND: "There is no such thing, or it belongs to another organisation.",
    HTTPStatus.REQUEST_TIMEOUT: "The body did not come in time.",
    HTTPStatus.CONFLICT: "The state of things forbids it, or the Idempotency-Key came with another request.",
    HTTPStatus.PRECONDITION_FAILED: "It has another version than If-Match names.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Over a stated limit.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The body is declared as something else than is taken here.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "Well formed, but not valid: errors says what is wrong, by field.",
    HTTPStatus.TOO_MANY_REQUESTS: "The caller has to slow down.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The store that is needed does not answer.",
}
PROBLEM_HEADERS = {
    HTTPStatus.UNAUTHORIZED: ("WWW-Authenticate",),
    HTTPStatus.TOO_MANY_REQUESTS: ("Retry-After",),
    HTTPStatus.SERVICE_UNAVAILABLE: ("Retry-After",),
}
OTHER_THAN_JSON = {CSV: {"type": "string"}, ARROW: {"type": "string", "format": "binary"}}
# What answers carry besides their bodies.
HEADERS = {
    # Whether a key or a user asks who it is, is one operation, and users alone have versions.
    name: {"required": name not in {"ETag", NEXT_CURSOR, ARCHIVED}, "description": description, "schema": schema}
    for name, description, schema in (
        ("X-Correlation-ID", "Of this request, in every log line and event that it causes.", {"type": "string"}),
        ("ETag", "The version, in quotation marks.", {"type": "string", "pattern": '^"[0-9]+"$'}),
        (
            NEXT_CURSOR,
            "Of a page as a table: how it goes on; without it the page is the last.",
            {"type": "string"},
        ),
        (
            ARCHIVED,
            "Of points or figures: what of the range lies in the archive alone: start/end, start/end, maybe ...",
            {"type": "string"},
        ),
        ("Location", "Where what was made is found.", {"type": "string"}),
        ("Retry-After", "Seconds until another try is worth it.", {"type": "integer", "minimum": 1}),
        ("WWW-Authenticate", "How to authenticate.", {"type": "string"}),
    )
}
REQUEST_HEADERS = {
    "X-Correlation-ID": {
        "type": "string",
        "description": "1 to 128 visible ASCII characters; anything else is replaced by an id that is made.",
    },
    "Idempotency-Key": {"type": "string", "pattern": "^[ -~]{1,255}$"},
    "If-Match": {"type": "string", "pattern": r'^(\*|(W/)?"[!#-~]*")$'},
    "If-None-Match": {"type": "string", "pattern": r'^(\*|(W/)?"[!#-~]*"([ \t]*,[ \t]*(W/)?"[!#-~]*")*)$'},
}
DOCS_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>IoTSphere API</title><link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" href="/static/icon.svg" type="image/svg+xml"></head>
<body>
<div id="api"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/show.js"></script>
</body>
</html>"""
# Who is logged in may try operations out: the browser sends its cookie, and this the token that goes with it. A file
# is proposed as it stands; of lines of JSON the page would make one text of JSON.
DOCS_SCRIPT = f"""SwaggerUIBundle({{
  url: "{SHOWN_AT}",
  dom_id: "#api",
  persistAuthorization: false,
  plugins: [{{
    afterLoad() {{
      const sample = this.fn.getSampleSchema;
      this.fn.getSampleSchema = (schema, media, config, example) =>
        typeof example === "string" ? example : sample(schema, media, config, example);
    }},
  }}],
  requestInterceptor: (request) => {{
    const token = document.cookie.match(/(?:^|; ){CSRF_COOKIE}=([^;]*)/);
    if (token) request.headers["{CSRF_HEADER}"] = token[1];
    return request;
  }},
}});
"""


@blueprint.get("/api/v1/openapi.json")
async def show_openapi() -> Response:
    if "openapi_document" not in current_app.extensions:
        current_app.extensions["openapi_document"] = encode_json(describe(current_app))
    return Response(current_app.extensions["openapi_document"], content_type=JSON)


@blueprint.get("/docs")
async def show_docs() -> Response:
    return Response(DOCS_PAGE, content_type="text/html; charset=utf-8")


@blueprint.get("/docs/show.js")
async def show_docs_script() -> Response:
    return Response(DOCS_SCRIPT, content_type="text/javascript; charset=utf-8")


@blueprint.get("/docs/<any('swagger-ui.css', 'swagger-ui-bundle.js'):name>")
async def show_docs_asset(name: str) -> Response:
    return await send_from_directory(SWAGGER_UI, name)


def describe(app: Quart) -> dict[str, Any]:
    """Describe every operation of the application as OpenAPI 3.1."""
    plugin = JsonSchemaPlugin()
    spec = APISpec(
        title="IoTSphere",
        version=version("iotsphere"),
        openapi_version="3.1.0",
        info={"description": "Devices, assets, telemetry and shadows behind one service layer."},
        plugins=[plugin],
    )
    spec.components.security_scheme("bearer", {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"})
    spec.components.security_scheme("api_key", {"type": "apiKey", "in": "header", "name": "X-API-Key"})
    spec.components.security_scheme("session", SESSION_SCHEME)
    spec.components.security_scheme(
        "provisioning_key", {"type": "apiKey", "in": "header", "name": "X-Provisioning-Key"}
    )
    for name, header in HEADERS.items():
        spec.components.header(name, header)
    for status, reason in PROBLEMS.items():
        spec.components.response(
            status.name, _answer(reason, (PROBLEM_JSON,), ProblemAnswer, *PROBLEM_HEADERS.get(status, ()))
        )
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        declared = getattr(app.view_functions[rule.endpoint], "operation", None)
        if declared is not None:
            _describe_operation(spec, plugin, rule, declared)
    return spec.to_dict()


def _describe_operation(spec: APISpec, plugin: JsonSchemaPlugin, rule: Rule, declared: Operation) -> None:
    description: dict[str, Any] = {
        "summary": declared.summary,
        "operationId": rule.endpoint.rpartition(".")[2],
        "tags": [rule.endpoint.partition(".")[0]],
        "parameters": [
            *_path_parameters(rule, declared),
            *plugin.query_parameters(declared.query),
            *({"in": "header", "name": name, "schema": REQUEST_HEADERS[name]} for name in _request_headers(declared)),
        ],
        "responses": _responses(rule, declared),
        **_callers(declared),
    }
    if declared.body is not None:
        content = _content(declared.media_types, declared.body)
        for media, described in content.items():
            if (example := declared.examples.get(media, declared.example)) is not None:
                described["example"] = example
        description["requestBody"] = {"required": True, "content": content}
    methods = (rule.methods or set()) - {"HEAD", "OPTIONS"}
    spec.path(PATH_PARAMETER.sub(r"{\2}", rule.rule), operations=dict.fromkeys(map(str.lower, methods), description))


def _content(media_types: tuple[str, ...], schema: Any) -> dict[str, Any]:
    """Describe a body of each kind; of lines of JSON the schema is that of one, and CSV and Arrow have none."""
    return {media: {"schema": OTHER_THAN_JSON.get(media, schema)} for media in media_types}


def _path_parameters(rule: Rule, declared: Operation) -> list[dict[str, Any]]:
    return [
        {
            "in": "path",
            "name": name,
            "required": True,
            "schema": {"type": "string"} | ({"format": "uuid"} if kind == "uuid" else declared.path.get(name, {})),
        }
        for kind, name in PATH_PARAMETER.findall(rule.rule)
    ]


def _request_headers(declared: Operation) -> Iterator[str]:
    yield "X-Correlation-ID"
    if declared.creates:
        yield "Idempotency-Key"
    if declared.conditional:
        yield "If-Match"
    if declared.is_conditional_read:
        yield "If-None-Match"


def _responses(rule: Rule, declared: Operation) -> dict[str, Any]:
    media_types = declared.answer_types if declared.answer is not None else ()
    responses: dict[HTTPStatus, Any] = {}
    for status in map(HTTPStatus, {declared.status, declared.status_of_new}):
        is_located = declared.location is not None and status == declared.status_of_new
        headers = ["ETag"] * declared.versioned + ["Location"] * is_located
        headers += [NEXT_CURSOR, ARCHIVED] * (ARROW in media_types)
        responses[status] = _answer(status.phrase, media_types, declared.answer, *headers)
    if declared.is_conditional_read:
        responses[HTTPStatus.NOT_MODIFIED] = _answer("The client has this version.", (), None, "ETag")
    responses |= {status: status.name for status in _problems(rule, declared)}
    for number, schema in declared.also.items():
        status = HTTPStatus(number)
        responses[status] = _either(status, schema) if status in responses else _other(status, schema)
    return {str(status.value): responses[status] for status in sorted(responses)}


def _problems(rule: Rule, declared: Operation) -> Iterator[HTTPStatus]:
    """Tell with which problems an operation may answer, as far as that follows from what it declares."""
    yield from (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)
    if declared.takes_credential:
        yield from (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
    if rule.arguments:
        yield HTTPStatus.NOT_FOUND
    if declared.creates:
        yield HTTPStatus.CONFLICT
    if declared.conditional:
        yield HTTPStatus.PRECONDITION_FAILED
    if declared.takes_body:
        yield from (
            HTTPStatus.REQUEST_TIMEOUT,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        )
    if declared.throttled:
        yield HTTPStatus.TOO_MANY_REQUESTS
    if rule.rule.startswith("/api/"):
        yield HTTPStatus.SERVICE_UNAVAILABLE


def _other(status: HTTPStatus, schema: Schema) -> dict[str, Any] | str:
    """Describe an answer that an operation names itself; one that is every problem's is described once."""
    if type(schema) is ProblemAnswer:
        return status.name
    media_type = PROBLEM_JSON if isinstance(schema, RefusalAnswer) else JSON
    reason = PROBLEMS.get(status, status.phrase)
    return _answer(reason, (media_type,), schema, *PROBLEM_HEADERS.get(status, ()))


def _either(status: HTTPStatus, schema: Schema) -> dict[str, Any]:
    """Describe a problem that comes in two forms."""
    return _answer(PROBLEMS[status], (PROBLEM_JSON,), {"anyOf": [ProblemAnswer, schema]})


def _answer(description: str, media_types: tuple[str, ...], schema: Any, *headers: str) -> dict[str, Any]:
    """Describe an answer; without a media type it has no body."""
    answer: dict[str, Any] = {
        "description": description,
        "headers": {name: name for name in ("X-Correlation-ID", *headers)},
    }
    return answer | ({"content": _content(media_types, schema)} if media_types else {})


def _callers(declared: Operation) -> dict[str, Any]:
    """Say who may call it: in words, for those who read the page, and in a form for programs."""
    return {
        "security": [{scheme: []} for scheme in _credentials(declared)],
        "description": _who_may(declared),
        "x-minimum-role": None if declared.allow is None else declared.allow.name.lower(),
        "x-device-may": declared.device_may,
        "x-platform-administrator-alone": declared.platform_administrator_alone,
        "x-users-alone": declared.users_alone,
    }


def _credentials(declared: Operation) -> list[str]:
    if declared.provisioning:
        return ["provisioning_key"]
    if declared.allow is None:
        return []
    # Whatever a role may do, an integration may with its key.
    return ["bearer", "session"] if declared.users_alone else ["bearer", "session", "api_key"]


def _who_may(declared: Operation) -> str:
    if declared.provisioning:
        return "For whoever holds a provisioning key."
    if declared.allow is None:
        return "Takes no credential."
    if declared.platform_administrator_alone:
        return "For the platform administrator."
    users = "users of " if declared.users_alone else ""
    device = ", and a device with its own key for itself" if declared.device_may else ""
    return f"For {users}the role {declared.allow.name.lower()} or a higher one{device}."
