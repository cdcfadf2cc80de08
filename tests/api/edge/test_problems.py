"""How the edge says no, whatever the endpoint."""

import asyncio
import re
from typing import Any
from uuid import uuid4

import pytest
import structlog
from dependency_injector import providers
from structlog.testing import capture_logs

from iotsphere.registry.model import DeviceStatus
from tests.api.bench import ApiBench

DEEP = 100_000


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"NaN",
        b'{"serial_number":NaN}',
        b'{"serial_number":1e400}',
        b"[" * DEEP,
        b'{"a":' * DEEP + b"1" + b"}" * DEEP,
        b'{"serial_number":"\xff"}',
        rb'{"serial_number":"\ud800"}',
        b"\xef\xbb\xbf{}",
        b"9" * 10_000,
        "{}".encode("utf-16"),
        b"serial_number=SN-1&device_type=pump",
    ],
)
async def test_a_body_that_is_not_json_is_malformed(bench: ApiBench, body: bytes) -> None:
    assert (await bench.send("/devices", body)).refusal == (400, "request.json.malformed")
    assert bench.tables.devices == {}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (rb'{"serial_number":"a\u0000b","device_type":"pump"}', "serial_number"),
        (rb'{"serial_number":"a","device_type":"pump","name":"\u0000"}', "name"),
        (rb'{"serial_number":"a","device_type":"pump","labels":{"a\u0000":"b"}}', "labels"),
        (rb'{"serial_number":"a","device_type":"pump","labels":{"a":"\u0000"}}', "labels.a"),
        (
            rb'{"serial_number":"a","device_type":"pump","asset":{"properties":{"x":[1,"\u0000"]}}}',
            "asset.properties.x.1",
        ),
    ],
)
async def test_a_character_that_no_store_keeps_is_named_by_its_path(bench: ApiBench, body: bytes, field: str) -> None:
    refused = await bench.send("/devices", body)

    assert refused.refusal == (422, "request.payload.invalid")
    assert list(refused.json["errors"]) == [field]
    assert bench.tables.devices == {}


async def test_the_last_of_two_equal_keys_counts(bench: ApiBench) -> None:
    registered = await bench.send("/devices", b'{"serial_number":"a","serial_number":"b","device_type":"pump"}')

    assert (registered.status, registered.json["serial_number"]) == (201, "b")


def with_properties(properties: str) -> bytes:
    return f'{{"serial_number":"a","device_type":"pump","asset":{{"properties":{properties}}}}}'.encode()


async def test_what_json_can_say_of_an_asset_is_kept_exactly(bench: ApiBench) -> None:
    properties = f'{{"big":{2**70},"float":1.0,"int":1,"list":[],"object":{{}},"text":"\\u2028 😀"}}'

    assert (await bench.send("/devices", with_properties(properties))).status == 201

    [asset] = bench.assets.values()
    assert asset.properties == {"big": 2**70, "float": 1.0, "int": 1, "list": [], "object": {}, "text": "\u2028 😀"}
    assert isinstance(asset.properties["float"], float)


@pytest.mark.parametrize("depth", [33, 500, 900])
async def test_an_asset_that_is_nested_too_deep_is_refused(bench: ApiBench, depth: int) -> None:
    nested = "[" * depth + "]" * depth

    refused = await bench.send("/devices", with_properties(f'{{"a":{nested}}}'))

    assert refused.refusal == (422, "request.payload.invalid")
    assert next(iter(refused.json["errors"])).startswith("asset.properties.a")


@pytest.mark.parametrize(
    ("content_type", "is_json"),
    [
        ("application/json", True),
        ("application/json; charset=utf-8", True),
        ("APPLICATION/JSON", True),
        ("text/plain", False),
        ("application/xml", False),
        ("application/x-www-form-urlencoded", False),
        ("application/json-seq", False),
        ("", False),
        ("nonsense", False),
    ],
)
async def test_a_body_is_taken_as_json_alone(bench: ApiBench, content_type: str, is_json: bool) -> None:
    body = b'{"serial_number":"a","device_type":"pump"}'

    answer = await bench.send("/devices", body, headers={"Content-Type": content_type})

    if is_json:
        assert answer.status == 201
    else:
        assert answer.refusal == (415, "request.body.media_type_unsupported")
        assert "application/json" in answer.json["detail"]


@pytest.mark.parametrize(("encoding", "is_taken"), [("identity", True), ("gzip", False), ("br", False), ("", True)])
async def test_a_body_is_taken_unpacked_alone(bench: ApiBench, encoding: str, is_taken: bool) -> None:
    body = b'{"serial_number":"a","device_type":"pump"}'

    answer = await bench.send("/devices", body, headers={"Content-Encoding": encoding})

    if is_taken:
        assert answer.status == 201
    else:
        assert answer.refusal == (415, "request.body.media_type_unsupported")
        assert "not packed" in answer.json["detail"]


@pytest.mark.parametrize(
    ("text", "says"),
    [(rb"\ud800", "surrogate"), (rb"a\uDBFFb", "surrogate"), (rb"\udc00", "surrogate"), (b"a", "truncated")],
)
async def test_half_of_a_surrogate_pair_is_told_from_a_body_that_ends_too_soon(
    bench: ApiBench, text: bytes, says: str
) -> None:
    body = b'{"serial_number":"' + text + (b'"}' if says == "surrogate" else b"")

    answer = await bench.send("/devices", body)

    assert answer.refusal == (400, "request.json.malformed")
    assert says in answer.json["detail"]


async def test_where_a_body_is_missing_the_answer_says_so(bench: ApiBench) -> None:
    answer = await bench.send("/devices", b"")

    assert answer.refusal == (400, "request.json.malformed")
    assert answer.json["detail"] == "There is no body. Send JSON."


@pytest.mark.parametrize("megabytes", [1, 7])
async def test_a_body_over_the_limit_is_too_large(bench: ApiBench, megabytes: int) -> None:
    body = b'{"name":"' + b"x" * megabytes * 2**20 + b'"}'

    assert (await bench.send("/devices", body)).refusal == (413, "request.body.too_large")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/api/v1/devices", "GET, HEAD, OPTIONS, POST"),
        ("PUT", "/api/v1/devices", "GET, HEAD, OPTIONS, POST"),
        ("GET", "/api/v1/auth/token", "OPTIONS, POST"),
        ("PUT", "/api/v1/me", "GET, HEAD, OPTIONS, PATCH"),
        ("BREW", "/api/v1/devices", "GET, HEAD, OPTIONS, POST"),
        ("POST", "/health/live", "GET, HEAD, OPTIONS"),
    ],
)
async def test_a_method_that_is_not_allowed_says_which_are(
    bench: ApiBench, method: str, path: str, allowed: str
) -> None:
    refused = await bench.call(method, path)

    assert refused.refusal == (405, "request.method.not_allowed")
    assert ", ".join(sorted(refused.headers["Allow"].split(", "))) == allowed


@pytest.mark.parametrize(
    "path",
    [
        "/api",
        "/api/v1",
        "/api/v1/nothing",
        "/api/v2/devices",
        "/api/v1/devices/1",
        "/api/v1/devices/%00",
        "/api/v1/devices/%FF%FE",
        "/api/v1/devices/..%2F..%2Fetc%2Fpasswd",
        "/api/v1/devices/" + "x" * 5_000,
        "/docs/show.css",
        "/docs/..%2f..%2fpackage.json",
        "/docs/%00",
        "/static/x",
    ],
)
async def test_a_path_that_leads_nowhere_is_a_problem_too(bench: ApiBench, path: str) -> None:
    for method in ("GET", "POST"):
        assert (await bench.call(method, path)).refusal == (404, "request.path.not_found")


async def test_an_absent_and_a_foreign_device_cannot_be_told_apart(bench: ApiBench) -> None:
    ids = [
        uuid4(),
        bench.add_device(bench.theirs).id,
        bench.add_device(status=DeviceStatus.RETIRED).id,
        str(uuid4()).upper(),
    ]

    answers = [(await bench.get(f"/devices/{device_id}")).json for device_id in ids]

    for answer in answers:
        answer.pop("correlation_id")
    assert answers == [answers[0]] * len(ids)
    assert answers[0]["status"] == 404


@pytest.mark.parametrize(
    ("query", "refusal"),
    [
        ("q=%00", (422, "request.payload.invalid")),
        ("q=a%00b", (422, "request.payload.invalid")),
        ("label=%00:a", (422, "request.payload.invalid")),
        ("device_type=%00", (422, "request.payload.invalid")),
        ("%00=a", (422, "request.payload.invalid")),
        ("cursor=%00", (422, "request.payload.invalid")),
        ("q=%FF", (400, "request.query.malformed")),
        ("q=%C0%80", (400, "request.query.malformed")),
        ("q=%ED%A0%80", (400, "request.query.malformed")),
        ("%FF", (400, "request.query.malformed")),
    ],
)
async def test_a_query_that_no_store_could_be_asked_is_refused(
    bench: ApiBench, query: str, refusal: tuple[int, str]
) -> None:
    assert (await bench.get(f"/devices?{query}")).refusal == refusal


@pytest.mark.parametrize("query", ["q=%25", "q=%2B+%20", "q=%", "q=%zz", "q=%F0%9F%98%80", "", "&&", "q=a&"])
async def test_an_unusual_query_is_still_one(bench: ApiBench, query: str) -> None:
    assert (await bench.get(f"/devices?{query}")).status == 200


async def status_of(
    bench: ApiBench, *, path: str = "/api/v1/devices", query: bytes = b"", host: bytes = b"localhost"
) -> int:
    """Ask with what no client library sends."""
    statuses: list[int] = []

    async def receive() -> Any:
        return await asyncio.Event().wait()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    token = bench.credentials["admin"]["Authorization"]
    scope: Any = {
        "type": "http",
        "http_version": "2",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "query_string": query,
        "headers": [(b"host", host), (b"authorization", token.encode())],
    }
    await bench.app(scope, receive, send)
    [status] = statuses
    return status


@pytest.mark.parametrize(
    ("query", "status"), [(b"q=\xff", 400), (b"\xff", 400), ("q=é".encode(), 200), ("é=1".encode(), 422)]
)
async def test_bytes_in_a_query_are_read_as_utf_8_also_when_they_are_not_encoded(
    bench: ApiBench, query: bytes, status: int
) -> None:
    assert await status_of(bench, query=query) == status


@pytest.mark.parametrize(
    "host", [b"", b".", b"..", b"a..b", b"[::1", b"a" * 64 + b".example", b"a" * 5_000, b"\xff", b"x:y:z"]
)
async def test_any_host_is_served(bench: ApiBench, host: bytes) -> None:
    assert await status_of(bench, host=host) == 200


@pytest.mark.parametrize("path", ["*", "devices", "http://example.org/devices"])
async def test_a_target_that_is_no_path_leads_nowhere(bench: ApiBench, path: str) -> None:
    assert await status_of(bench, path=path) == 404


@pytest.mark.parametrize("path", ["", "http://example.org", "http://["])
async def test_a_target_without_a_path_leads_to_the_first_page(bench: ApiBench, path: str) -> None:
    assert await status_of(bench, path=path) == 303


@pytest.mark.parametrize("scheme_and_host", ["http://example.org", "HTTP://[", "a+b://"])
async def test_a_target_with_a_host_leads_to_its_path(bench: ApiBench, scheme_and_host: str) -> None:
    assert await status_of(bench, path=f"{scheme_and_host}/api/v1/devices") == 200
    assert await status_of(bench, path=f"/{scheme_and_host}/api/v1/devices") == 404


@pytest.mark.parametrize(
    "path", ["//api/v1/devices", "/api//v1/devices", "/api/v1/devices//", "//evil.example/devices"]
)
async def test_nobody_is_sent_elsewhere(bench: ApiBench, path: str) -> None:
    answer = await bench.call("GET", path, headers={"Host": "evil.example"})

    assert answer.status in {200, 404}
    assert "Location" not in answer.headers


@pytest.mark.parametrize(
    "path",
    ["/users?limit=1", "/me?verbose=1", "/devices?unknown=1", "/devices?limit=1&limit=1"],
)
async def test_query_parameters_are_known_and_given_once(bench: ApiBench, path: str) -> None:
    answer = await bench.get(path)

    if path == "/users?limit=1":
        assert answer.status == 200
    else:
        assert answer.refusal == (422, "request.payload.invalid")


async def test_a_write_takes_no_query_parameters(bench: ApiBench) -> None:
    refused = await bench.post("/devices?dry_run=true", {"serial_number": "a", "device_type": "pump"})

    assert list(refused.json["errors"]) == ["dry_run"]
    assert bench.tables.devices == {}


async def test_a_store_that_is_down_is_503_and_worth_another_try(bench: ApiBench) -> None:
    bench.close_registry()

    for answer in (
        await bench.get("/devices"),
        await bench.post("/devices", {}),
        await bench.post("/auth/token", {"email": "a@b.example", "password": "x"}, by=None),
    ):
        assert answer.refusal == (503, "registry.store.unavailable")
        assert answer.headers["Retry-After"] == "1"

    bench.open_registry()
    assert (await bench.get("/devices")).status == 200


async def test_a_fault_of_ours_is_admitted_without_its_cause(bench: ApiBench) -> None:
    class Broken:
        async def list_devices(self, **_: object) -> None:
            raise ZeroDivisionError("the secret cause")

    bench.container.registry.devices.override(providers.Object(Broken()))

    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
        answer = await bench.get("/devices", headers={"X-Correlation-ID": "request-7"})

    assert answer.refusal == (500, "request.server.failed")
    assert b"secret cause" not in answer.body
    assert b"ZeroDivision" not in answer.body
    [line] = logs
    assert (line["event"], line["log_level"], line["correlation_id"]) == ("request.failed", "error", "request-7")
    assert str(line["exc_info"]) == "the secret cause"
    assert "Bearer" not in repr(line)


VISIBLE = ["x", "request-7", "~!@#$%^&*()", "x" * 128]
NOT_TAKEN = ["", " ", "x" * 129, "two words", "é", "a\tb"]


@pytest.mark.parametrize("given", VISIBLE)
@pytest.mark.parametrize("path", ["/api/v1/devices", "/api/v1/nothing", "/health/live", "/docs"])
async def test_a_correlation_id_is_echoed_on_every_answer(bench: ApiBench, given: str, path: str) -> None:
    for by in ("admin", None):
        answer = await bench.call("GET", path, by=by, headers={"X-Correlation-ID": given})
        assert answer.headers["X-Correlation-ID"] == given
        if answer.status >= 400:
            assert answer.json["correlation_id"] == given


@pytest.mark.parametrize("given", NOT_TAKEN)
async def test_what_is_no_correlation_id_is_replaced(bench: ApiBench, given: str) -> None:
    answers = [await bench.get("/nothing", headers={"X-Correlation-ID": given}) for _ in range(2)]

    made = {answer.headers["X-Correlation-ID"] for answer in answers}
    assert len(made) == 2
    assert all(re.fullmatch(r"[0-9a-f]{32}", correlation_id) for correlation_id in made)
    assert {answer.json["correlation_id"] for answer in answers} == made


async def test_answers_are_not_to_be_guessed_at(bench: ApiBench) -> None:
    for path in ("/api/v1/devices", "/api/v1/nothing", "/docs"):
        assert (await bench.call("GET", path)).headers["X-Content-Type-Options"] == "nosniff"
