"""The document that describes the API, and the page that shows it."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from iotsphere.api.operation import Operation
from tests.api.bench import ApiBench

METHODS = {"get", "put", "post", "delete", "patch"}


@pytest.fixture
async def document(bench: ApiBench) -> dict[str, Any]:
    answer = await bench.get("/openapi.json", by=None)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    described: dict[str, Any] = answer.json
    return described


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in item.keys() & METHODS:
            yield path, method, item[method]


def resolved(document: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference, where there is one."""
    if "$ref" not in node:
        return node
    target: Any = document
    for step in node["$ref"].removeprefix("#/").split("/"):
        target = target[step]
    return dict(target)


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for member in node:
            yield from references(member)


def test_it_is_openapi_3_1_with_what_that_requires(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    assert {"title", "version"} <= document["info"].keys()
    for _, _, described in operations(document):
        assert described["summary"]
        assert described["responses"]
        for answer in described["responses"].values():
            assert resolved(document, answer)["description"]
        for parameter in described["parameters"]:
            assert {"name", "in", "schema"} <= parameter.keys()


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for reference in set(references(document)):
        assert resolved(document, {"$ref": reference})


def test_every_schema_is_json_schema_as_openapi_3_1_takes_it(document: dict[str, Any]) -> None:
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_every_operation_is_listed_once_with_a_name_of_its_own(bench: ApiBench, document: dict[str, Any]) -> None:
    listed = {(path, method) for path, method, _ in operations(document)}
    declared = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in bench.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if isinstance(getattr(bench.app.view_functions[rule.endpoint], "operation", None), Operation)
    }
    names = [described["operationId"] for _, _, described in operations(document)]

    assert listed == declared
    assert len(names) == len(set(names))


def test_everything_below_the_base_path_is_an_operation_but_the_document_itself(bench: ApiBench) -> None:
    undeclared = {
        rule.rule
        for rule in bench.app.url_map.iter_rules()
        if rule.rule.startswith("/api/") and not hasattr(bench.app.view_functions[rule.endpoint], "operation")
    }

    assert undeclared == {"/api/v1/openapi.json"}


def test_every_variable_of_a_path_is_a_parameter(document: dict[str, Any]) -> None:
    for path, _, described in operations(document):
        variables = [parameter["name"] for parameter in described["parameters"] if parameter["in"] == "path"]
        assert variables == re.findall(r"{(\w+)}", path)


def test_every_refusal_is_a_problem(document: dict[str, Any]) -> None:
    readiness = {"$ref": "#/components/schemas/ReadinessAnswer"}

    for _, _, described in operations(document):
        assert "422" in described["responses"]
        for status, answer in described["responses"].items():
            content = resolved(document, answer).get("content", {})
            if int(status) >= 400 and content.get("application/json") != {"schema": readiness}:
                assert content.keys() == {"application/problem+json"}


@pytest.mark.parametrize(
    ("path", "method", "statuses"),
    [
        ("/auth/token", "post", {200, 400, 401, 408, 413, 415, 422, 429, 503}),
        ("/devices", "get", {200, 400, 401, 403, 422, 429, 503}),
        ("/devices", "post", {201, 400, 401, 403, 408, 409, 413, 415, 422, 429, 503}),
        ("/devices/{device_id}", "get", {200, 304, 400, 401, 403, 404, 422, 429, 503}),
        ("/devices/{device_id}", "patch", {200, 400, 401, 403, 404, 408, 412, 413, 415, 422, 429, 503}),
        ("/device-types/{device_type}", "put", {200, 201, 400, 401, 403, 404, 408, 412, 413, 415, 422, 429, 503}),
        ("/telemetry/query", "post", {200, 400, 401, 403, 404, 408, 413, 415, 422, 429, 503}),
        ("/assets/{asset_id}", "delete", {204, 400, 401, 403, 404, 409, 412, 422, 429, 503}),
    ],
)
def test_every_status_that_an_operation_may_answer_with_is_described(
    document: dict[str, Any], path: str, method: str, statuses: set[int]
) -> None:
    assert set(map(int, document["paths"][f"/api/v1{path}"][method]["responses"])) == statuses


def test_answers_say_with_which_headers_they_come(document: dict[str, Any]) -> None:
    def headers(path: str, method: str, status: str) -> set[str]:
        answer = document["paths"][f"/api/v1{path}"][method]["responses"][status]
        return set(resolved(document, answer)["headers"])

    assert headers("/devices", "post", "201") == {"X-Correlation-ID", "ETag", "Location"}
    assert headers("/devices/{device_id}", "get", "304") == {"X-Correlation-ID", "ETag"}
    assert headers("/devices", "get", "401") == {"X-Correlation-ID", "WWW-Authenticate"}
    assert (
        headers("/devices", "get", "429") == headers("/devices", "get", "503") == {"X-Correlation-ID", "Retry-After"}
    )


def test_headers_are_described_where_they_count(document: dict[str, Any]) -> None:
    def headers(path: str, method: str) -> set[str]:
        described = document["paths"][f"/api/v1{path}"][method]
        return {parameter["name"] for parameter in described["parameters"] if parameter["in"] == "header"}

    assert headers("/devices", "post") == {"X-Correlation-ID", "Idempotency-Key"}
    assert headers("/devices/{device_id}", "get") == {"X-Correlation-ID", "If-None-Match"}
    assert headers("/devices/{device_id}", "patch") == {"X-Correlation-ID", "If-Match"}


def test_bodies_are_described_with_their_limits(document: dict[str, Any]) -> None:
    body = document["paths"]["/api/v1/devices"]["post"]["requestBody"]
    name = body["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    schema = document["components"]["schemas"][name]

    assert body["required"]
    assert set(schema["required"]) == {"serial_number", "device_type"}
    assert schema["properties"]["name"]["maxLength"] == 256
    limit = next(
        parameter
        for parameter in document["paths"]["/api/v1/devices"]["get"]["parameters"]
        if parameter["name"] == "limit"
    )
    assert (limit["schema"]["minimum"], limit["schema"]["maximum"], limit["schema"]["default"]) == (1, 500, 50)


async def test_the_page_and_all_that_it_asks_for_answer(bench: ApiBench) -> None:
    page = await bench.call("GET", "/docs", by=None)
    asked = re.findall(r'(?:src|href)="([^"]+)"', page.body.decode())
    script = await bench.call("GET", "/docs/show.js", by=None)
    document = re.findall(r'url: "([^"]+)"', script.body.decode())

    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert len(asked) == 4
    kinds = {"css": "text/css", "js": "text/javascript", "json": "application/json", "svg": "image/svg+xml"}
    for path in (*asked, *document):
        answer = await bench.call("GET", path, by=None)
        assert answer.status == 200
        assert answer.body
        assert answer.headers["Content-Type"].startswith(kinds[path.rpartition(".")[2]])


def test_the_document_is_plain_json(document: dict[str, Any]) -> None:
    assert json.loads(json.dumps(document, allow_nan=False)) == document
