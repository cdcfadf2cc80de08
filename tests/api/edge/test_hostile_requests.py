"""Whatever a client sends, the fault is never ours."""

import re
from urllib.parse import quote
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotsphere.kernel.actor import Role
from tests.api.bench import ApiBench, Credentials
from tests.api.hostile import (
    ACCEPTED,
    HEADER_VALUES,
    HEADERS,
    HOSTILE,
    JSON,
    LISTS,
    OBJECTS,
    PARAMETER_VALUES,
    PARAMETERS,
    WRITES,
)


def test_every_write_of_identity_registry_and_maintenance_log_is_among_them(bench: ApiBench) -> None:
    declared = {
        (method, re.sub(r"<uuid:\w+>", "?", rule.rule).removeprefix("/api/v1"))
        for rule in bench.app.url_map.iter_rules()
        if rule.endpoint.partition(".")[0] in {"identity", "registry", "provisioning", "maintenance"}
        for method in (rule.methods or set()) & {"POST", "PATCH", "PUT"}
    }

    assert declared == set(WRITES)


@pytest.fixture
def founder(bench: ApiBench) -> Credentials:
    """Who may do everything."""
    return bench.log_in(bench.add_user(bench.ours, role=Role.ADMIN, is_platform_administrator=True))


@pytest.mark.parametrize("write", WRITES, ids=" ".join)
@HOSTILE
@given(data=st.data())
async def test_no_json_makes_it_fail(
    bench: ApiBench, founder: Credentials, write: tuple[str, str], data: st.DataObject
) -> None:
    method, path = write[0], write[1].replace("?", str(_something(bench, write[1])))
    body = data.draw(OBJECTS.map(lambda members: ACCEPTED[write] | members) | JSON)

    answer = await bench.send(path, msgspec.json.encode(body), method=method, by=founder)

    assert answer.status < 500
    if answer.status >= 400:
        assert answer.code


def _something(bench: ApiBench, path: str) -> UUID:
    """Give the id of what is at this path."""
    if path.startswith("/organisations"):
        return bench.ours.id
    return bench.add_user(bench.ours).id if path.startswith("/users") else bench.add_device().id


@HOSTILE
@given(body=st.binary(max_size=100), content_type=st.sampled_from(["application/json", "text/plain", ";", 'a/b;c="']))
async def test_no_bytes_make_it_fail(bench: ApiBench, body: bytes, content_type: str) -> None:
    for method, path in WRITES:
        path_to_nobody = path.replace("?", str(uuid4()))
        answer = await bench.send(path_to_nobody, body, method=method, headers={"Content-Type": content_type})
        assert answer.status < 500


@HOSTILE
@given(headers=st.dictionaries(st.sampled_from(HEADERS), HEADER_VALUES, max_size=5))
async def test_no_header_makes_it_fail(bench: ApiBench, headers: dict[str, str]) -> None:
    device_id = str(bench.add_device().id)

    for method, path in [("GET", "/devices/?"), *WRITES]:
        answer = await bench.call(method, f"/api/v1{path}".replace("?", device_id), headers=headers, data=b"{}")
        assert answer.status < 500
        assert answer.headers["X-Correlation-ID"]


@HOSTILE
@given(query=st.lists(st.tuples(st.sampled_from(PARAMETERS), PARAMETER_VALUES), max_size=4))
async def test_no_query_makes_it_fail(bench: ApiBench, founder: Credentials, query: list[tuple[str, str]]) -> None:
    for path in LISTS:
        answer = await bench.get(path, query_string=query, by=founder)
        assert answer.status < 500


@HOSTILE
@given(segments=st.lists(st.text(max_size=10) | st.sampled_from(["devices", "users", "..", ".", "%2e"]), max_size=4))
async def test_no_path_makes_it_fail(bench: ApiBench, segments: list[str]) -> None:
    path = "/".join(quote(segment, safe="%") for segment in segments)

    for method in ("GET", "POST", "DELETE"):
        answer = await bench.call(method, f"/api/v1/{path}")
        assert answer.status < 500
