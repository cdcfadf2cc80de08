"""The OpenAPI document, made from what every operation declares about itself, and the page that shows it."""

import re
from http import HTTPStatus
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import Schema, fields
from quart import Blueprint, Quart, Response, current_app, send_from_directory
from werkzeug.routing import Rule

from iotsphere.api.errors import PROBLEM_JSON
from iotsphere.api.fields import Timestamp
from iotsphere.api.json_body import encode_json
from iotsphere.api.operation import JSON, Operation

blueprint = Blueprint("openapi", __name__)

SWAGGER_UI = str(files("flask_swagger_ui") / "dist")
SHOWN_AT = "/api/v1/openapi.json"
PATH_PARAMETER = re.compile(r"<(?:(\w+):)?(\w+)>")
DOCS_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>IoTSphere API</title><link rel="stylesheet" href="/docs/swagger-ui.css"></head>
<body>
<div id="api"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/show.js"></script>
</body>
</html>"""
DOCS_SCRIPT = f'SwaggerUIBundle({{url: "{SHOWN_AT}", dom_id: "#api", persistAuthorization: false}});'


class ProblemAnswer(Schema):
    """RFC 9457."""

    type = fields.String()
    title = fields.String()
    status = fields.Integer()
    detail = fields.String()
    code = fields.String(metadata={"pattern": r"^[a-z0-9_]+\.[a-z0-9_]+\.[a-z0-9_]+$"})
    correlation_id = fields.String()
    errors = fields.Dict(
        keys=fields.String(), values=fields.List(fields.String()), metadata={"description": "With 422: by field."}
    )


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
    plugin = MarshmallowPlugin()
    spec = APISpec(
        title="IoTSphere",
        version=version("iotsphere"),
        openapi_version="3.1.0",
        info={"description": "Devices, assets, telemetry and shadows behind one service layer."},
        plugins=[plugin],
    )
    assert plugin.converter is not None  # noqa: S101  # APISpec has just initialised it
    plugin.converter.map_to_openapi_type(Timestamp, "string", "date-time")  # type: ignore[no-untyped-call]
    spec.components.security_scheme("bearer", {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"})
    spec.components.security_scheme("api_key", {"type": "apiKey", "in": "header", "name": "X-API-Key"})
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        declared = getattr(app.view_functions[rule.endpoint], "operation", None)
        if declared is not None:
            _describe_operation(spec, plugin, rule, declared)
    return spec.to_dict()


def _describe_operation(spec: APISpec, plugin: MarshmallowPlugin, rule: Rule, declared: Operation) -> None:
    description: dict[str, Any] = {
        "summary": declared.summary,
        "operationId": rule.endpoint.rpartition(".")[2],
        "tags": [rule.endpoint.partition(".")[0]],
        "parameters": _path_parameters(rule) + _query_parameters(plugin, declared) + _header_parameters(declared),
        "responses": _responses(declared),
        "security": _security(declared),
    }
    if declared.body is not None:
        media = {media_type: {"schema": declared.body} for media_type in declared.media_types}
        description["requestBody"] = {"required": True, "content": media}
    methods = (rule.methods or set()) - {"HEAD", "OPTIONS"}
    spec.path(PATH_PARAMETER.sub(r"{\2}", rule.rule), operations=dict.fromkeys(map(str.lower, methods), description))


def _path_parameters(rule: Rule) -> list[dict[str, Any]]:
    return [
        {
            "in": "path",
            "name": name,
            "required": True,
            "schema": {"type": "string"} | ({"format": "uuid"} if kind == "uuid" else {}),
        }
        for kind, name in PATH_PARAMETER.findall(rule.rule)
    ]


def _query_parameters(plugin: MarshmallowPlugin, declared: Operation) -> list[dict[str, Any]]:
    assert plugin.converter is not None  # noqa: S101  # initialised by then
    parameters: list[dict[str, Any]] = plugin.converter.schema2parameters(declared.query, location="query")
    return parameters


def _header_parameters(declared: Operation) -> list[dict[str, Any]]:
    names = ["X-Correlation-ID"]
    if declared.creates:
        names.append("Idempotency-Key")
    if declared.conditional:
        names.append("If-Match")
    if declared.versioned and not declared.conditional and declared.status == HTTPStatus.OK:
        names.append("If-None-Match")
    return [{"in": "header", "name": name, "schema": {"type": "string"}} for name in names]


def _responses(declared: Operation) -> dict[str, Any]:
    answered: dict[str, Any] = {"description": HTTPStatus(declared.status).phrase}
    if declared.answer is not None:
        answered["content"] = {JSON: {"schema": declared.answer}}
    problem = {"description": "A problem (RFC 9457).", "content": {PROBLEM_JSON: {"schema": ProblemAnswer}}}
    responses = {str(declared.status): answered, "default": problem}
    if declared.versioned and declared.status == HTTPStatus.OK and not declared.conditional:
        responses["304"] = {"description": HTTPStatus.NOT_MODIFIED.phrase}
    return responses


def _security(declared: Operation) -> list[dict[str, list[str]]]:
    if declared.allow is None:
        return []
    # Whatever a role may do, an integration may with its key.
    return [{"bearer": []}, {"api_key": []}]
