from typing import Any
from uuid import uuid4

import pytest
from quart import Response

from iotsphere.kernel.identifiers import DeviceId
from tests.api.shadow.conftest import NOW, Api

SECONDS = int(NOW.timestamp())
AT = {"timestamp": SECONDS}


async def code_of(answer: Response, status: int) -> str:
    assert answer.status_code == status, await answer.get_data()
    assert answer.content_type == "application/problem+json"
    return str((await answer.get_json())["code"])


async def errors_of(answer: Response) -> Any:
    assert answer.status_code == 422, await answer.get_data()
    return (await answer.get_json())["errors"]


async def test_an_unwritten_unnamed_shadow_is_empty_at_version_0(api: Api) -> None:
    answer = await api.call("GET", "shadow", by="device")

    assert answer.status_code == 200
    assert await answer.get_json() == {
        "state": {},
        "metadata": {},
        "version": 0,
        "versions": {"desired": 0, "reported": 0},
        "timestamp": SECONDS,
    }
    assert answer.headers["ETag"] == '"0"'


async def test_an_unwritten_named_shadow_is_not_found(api: Api) -> None:
    assert await code_of(await api.call("GET", "shadows/config"), 404) == "shadow.document.not_found"


async def test_a_patch_answers_the_part_that_was_sent(api: Api, path: str) -> None:
    sent = {"desired": {"target": 55, "modes": ["eco", 1.0, {}], "old": None}, "delta": {"forged": 1}}

    answer = await api.patch(path, {"state": sent, "version": 0, "client_token": "t-1"})

    assert answer.status_code == 200
    assert await answer.get_json() == {
        "state": {"desired": {"target": 55, "modes": ["eco", 1.0, {}], "old": None}},
        "metadata": {"desired": {"target": AT, "modes": [AT, AT, {}]}},
        "version": 1,
        "timestamp": SECONDS,
        "client_token": "t-1",
    }
    assert b"1.0" in await answer.get_data()
    assert answer.headers["ETag"] == '"1"'


async def test_a_written_shadow_shows_state_delta_metadata_and_versions(api: Api, path: str) -> None:
    await api.patch(path, {"state": {"desired": {"target": 55, "mode": "eco"}}})
    await api.patch(path, {"state": {"reported": {"mode": "eco"}}}, by="device")

    assert await api.get(path) == {
        "state": {
            "desired": {"target": 55, "mode": "eco"},
            "reported": {"mode": "eco"},
            "delta": {"target": 55},
        },
        "metadata": {"desired": {"target": AT, "mode": AT}, "reported": {"mode": AT}},
        "version": 2,
        "versions": {"desired": 1, "reported": 1},
        "timestamp": SECONDS,
    }


@pytest.mark.parametrize("state", [None, {"desired": None}, {}])
async def test_null_clears_and_the_answer_echoes_it_without_a_token(api: Api, path: str, state: Any) -> None:
    answer = await api.patch(path, {"state": state})

    assert await answer.get_json() == {"state": state, "metadata": {}, "version": 1, "timestamp": SECONDS}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "state"),
        ({"state": 5}, "state"),
        ({"state": []}, "state"),
        ({"state": {"desired": []}}, "state.desired"),
        ({"state": {"desired": "on"}}, "state.desired"),
        ({"state": {"reported": 5}}, "state.reported"),
        ({"state": {"wanted": {}}}, "state.wanted"),
        ({"refusals": {}}, "state"),
        ({"state": {}, "refusals": []}, "refusals"),
        ({"state": {}, "refusals": None}, "refusals"),
        ({"refusals": {"/a": "hot"}}, "refusals./a"),
        ({"refusals": {"/a": {}}}, "refusals./a.code"),
        ({"refusals": {"/a": {"code": 5}}}, "refusals./a.code"),
        ({"refusals": {"/a": {"code": "x", "detail": None}}}, "refusals./a.detail"),
        ({"refusals": {"/a": {"code": "x", "why": "y"}}}, "refusals./a.why"),
        ({"state": {}, "clientToken": "x"}, "clientToken"),
        ({"state": {}, "version": "1"}, "version"),
        ({"state": {}, "version": 1.0}, "version"),
        ({"state": {}, "version": True}, "version"),
        ({"state": {}, "version": None}, "version"),
        ({"state": {}, "client_token": None}, "client_token"),
        ({"state": {}, "client_token": 5}, "client_token"),
        ({"state": {}, "client_token": "é" * 33}, "client_token"),
        ({"state": {"desired": {"a": [None]}}}, "state.desired.a.0"),
        ({"state": {"desired": {"": 1}}}, "state.desired"),
        ({"state": {"desired": {"a": 2**53 + 1}}}, "state.desired.a"),
        ({"state": {"desired": {"a": "\x00"}}}, "state.desired.a"),
    ],
)
async def test_a_body_that_does_not_fit_is_refused_by_field_and_stores_nothing(
    api: Api, path: str, body: Any, field: str
) -> None:
    assert list(await errors_of(await api.patch(path, body))) == [field]
    assert (await api.patch(path, {"state": {}, "version": 0})).status_code == 200


@pytest.mark.parametrize(
    ("refusals", "field"),
    [
        ({"a": {"code": "x"}}, "refusals"),
        ({"/~": {"code": "x"}}, "refusals"),
        ({"/a\n": {"code": "x"}}, "refusals"),
        ({"/" + "x" * 2100: {"code": "x"}}, "refusals"),
        ({f"/{number}": {"code": "x"} for number in range(101)}, "refusals"),
        ({"/a": {"code": ""}}, "refusals./a.code"),
        ({"/a": {"code": "é" * 33}}, "refusals./a.code"),
        ({"/a": {"code": "a\x1b"}}, "refusals./a.code"),
        ({"/a": {"code": "x", "detail": "é" * 257}}, "refusals./a.detail"),
    ],
)
async def test_a_refusal_that_does_not_fit_is_named_and_nothing_is_stored(
    api: Api, path: str, refusals: Any, field: str
) -> None:
    answer = await api.patch(path, {"state": {"reported": {"a": 1}}, "refusals": refusals}, by="device")

    assert list(await errors_of(answer)) == [field]
    assert (await api.patch(path, {"state": {}, "version": 0})).status_code == 200


async def test_thousands_of_wrong_refusals_are_not_all_listed(api: Api, path: str) -> None:
    answer = await api.patch(path, {"refusals": {f"/{number}": {} for number in range(5000)}}, by="device")

    assert len(await errors_of(answer)) == 20


async def test_a_device_refuses_without_reporting_and_nobody_else_refuses(api: Api, path: str) -> None:
    await api.patch(path, {"state": {"desired": {"a": 1}}})
    refusals = {"/a": {"code": "too_hot", "detail": "It is too hot."}, "/b": {"code": "what"}}

    answer = await api.patch(path, {"refusals": refusals})
    assert await code_of(answer, 403) == "shadow.refusal.forbidden"

    answer = await api.patch(path, {"refusals": refusals}, by="device")
    assert await answer.get_json() == {
        "state": {},
        "metadata": {},
        "version": 2,
        "timestamp": SECONDS,
        "refusals": refusals | {"/b": {"code": "what", "detail": ""}},
    }
    assert (await api.get(path))["state"]["delta"] == {"a": 1}


async def test_many_values_below_long_keys_are_refused_before_they_are_desired(api: Api, path: str) -> None:
    deep: Any = {str(number): 1 for number in range(2000)}
    for _ in range(7):
        deep = {"k" * 128: deep}

    assert list(await errors_of(await api.patch(path, {"state": {"desired": deep}}))) == ["state.desired"]
    assert (await api.patch(path, {"state": {"reported": deep}}, by="device")).status_code == 200


@pytest.mark.parametrize("body", [[], "x", 5, None])
async def test_a_body_that_is_no_object_is_refused(api: Api, path: str, body: Any) -> None:
    assert (await api.patch(path, body)).status_code == 422


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"state":{"desired":{"a":NaN}}}', b'{"state":{"desired":{"a":1e999}}}', b'{"state":"\xff"}']
)
async def test_a_body_that_is_no_json_is_malformed(api: Api, path: str, body: bytes) -> None:
    answer = await api.call("PATCH", path, data=body, headers={"Content-Type": "application/json"})

    assert await code_of(answer, 400) == "request.json.malformed"


async def test_a_body_of_another_kind_is_refused(api: Api, path: str) -> None:
    assert (await api.call("PATCH", path, data=b"{}", headers={"Content-Type": "text/plain"})).status_code == 415


async def test_a_deeply_nested_body_is_refused(api: Api, path: str) -> None:
    for depth in [9, 200, 50_000]:
        data = b'{"state":{"desired":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}}"
        answer = await api.call("PATCH", path, data=data, headers={"Content-Type": "application/json"})
        assert answer.status_code in {400, 413, 422}


async def test_a_state_too_large_is_refused_and_so_is_a_body_beyond_all_measure(api: Api, path: str) -> None:
    answer = await api.patch(path, {"state": {"desired": {"a": "x" * 33_000}}})
    assert await code_of(answer, 413) == "shadow.document.too_large"
    answer = await api.patch(path, {"state": {"desired": {"a": "x" * 300_000}}})
    assert await code_of(answer, 413) == "request.body.too_large"


@pytest.mark.parametrize("version", [0, 2, -1, 10**18])
async def test_a_version_that_is_not_the_current_one_is_a_conflict(api: Api, path: str, version: int) -> None:
    await api.patch(path, {"state": {"desired": {"a": 1}}})

    answer = await api.patch(path, {"state": {"desired": {"a": 2}}, "version": version})

    assert await code_of(answer, 409) == "shadow.version.conflict"
    assert (await api.get(path))["state"]["desired"] == {"a": 1}


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_if_match_decides_whether_a_write_is_made(api: Api, path: str, method: str) -> None:
    await api.patch(path, {"state": {"desired": {"a": 1}}})
    body: Any = {"json": {"state": {"desired": {"a": 2}}}} if method == "PATCH" else {}

    for tag in ['"0"', '"2"', 'W/"1"', '"x"']:
        answer = await api.call(method, path, headers={"If-Match": tag}, **body)
        assert await code_of(answer, 412) == "request.precondition.failed"
    assert (await api.get(path))["version"] == 1

    answer = await api.call(method, path, headers={"If-Match": '"1"'}, **body)
    assert answer.status_code == 200
    assert (await answer.get_json())["version"] == 2


async def test_a_precondition_counts_before_the_version_in_the_body(api: Api, path: str) -> None:
    await api.patch(path, {"state": {"desired": {"a": 1}}})

    for tag, version, status in [('"0"', 1, 412), ('"0"', 0, 412), ('"1"', 0, 409), ("*", 0, 409), ('"1"', 1, 200)]:
        answer = await api.patch(path, {"state": {}, "version": version}, headers={"If-Match": tag})
        assert answer.status_code == status
    assert (await api.get(path))["version"] == 2


async def test_a_shadow_that_was_not_changed_is_not_sent_again(api: Api, path: str) -> None:
    await api.patch(path, {"state": {"desired": {"a": 1}}})

    answer = await api.call("GET", path, headers={"If-None-Match": '"1"'})
    assert (answer.status_code, await answer.get_data(), answer.headers["ETag"]) == (304, b"", '"1"')
    assert (await api.call("GET", path, headers={"If-None-Match": '"0"'})).status_code == 200


@pytest.mark.parametrize("state", [{"desired": {"a": 1}}, {"desired": None}, {"desired": {}, "reported": {}}, None])
async def test_a_device_writes_reported_alone(api: Api, path: str, state: Any) -> None:
    answer = await api.patch(path, {"state": state}, by="device")
    assert await code_of(answer, 403) == "shadow.desired.forbidden"

    answer = await api.patch(path, {"state": {"reported": {"a": 1}, "delta": {"a": 1}}}, by="device")
    assert (await answer.get_json())["version"] == 1


async def test_roles_decide_who_reads_writes_and_deletes(api: Api, path: str) -> None:
    body = {"state": {"desired": {"a": 1}, "reported": {"a": 1}}}
    for role, status in [("viewer", 403), ("engineer", 403), ("operator", 200), ("admin", 200)]:
        assert (await api.patch(path, body, by=role)).status_code == status
    assert (await api.call("GET", path, by="viewer")).status_code == 200
    for role, status in [("device", 403), ("viewer", 403), ("engineer", 403), ("operator", 200)]:
        assert (await api.call("DELETE", path, by=role)).status_code == status


async def test_a_deleted_shadow_is_not_found_until_written_and_its_version_goes_on(api: Api, path: str) -> None:
    await api.patch(path, {"state": {"desired": {"a": 1}}})

    answer = await api.call("DELETE", path)

    assert (answer.status_code, await answer.get_json()) == (200, {"version": 2, "timestamp": SECONDS})
    for method in ["GET", "DELETE"]:
        assert await code_of(await api.call(method, path), 404) == "shadow.document.not_found"
    assert (await (await api.patch(path, {"state": {"reported": {"b": 1}}})).get_json())["version"] == 3
    assert (await api.get(path))["state"] == {"reported": {"b": 1}}


async def test_named_shadows_are_listed_page_by_page(api: Api) -> None:
    for name in ["zeta", "alpha:1", "m-_"]:
        await api.patch(f"shadows/{name}", {"state": {}})
    await api.patch("shadow", {"state": {}})

    first = await api.get("shadows?limit=2")
    rest = await api.get(f"shadows?limit=2&cursor={first['next_cursor']}")

    assert first["items"] == [{"name": "zeta", "version": 1}, {"name": "alpha:1", "version": 1}]
    assert rest == {"items": [{"name": "m-_", "version": 1}], "next_cursor": None}


@pytest.mark.parametrize("name", ["a b", "é", "a.b", "x" * 65, "a%0A", "%00", "..%2e"])
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_a_name_outside_the_alphabet_is_refused(api: Api, name: str, method: str) -> None:
    body: Any = {"json": {"state": {}}} if method == "PATCH" else {}

    assert list(await errors_of(await api.call(method, f"shadows/{name}", **body))) == ["name"]


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        ("shadow?after=1", "after"),
        ("shadows/config?after=1", "after"),
        ("shadows?name=a", "name"),
        ("shadows?limit=0", "limit"),
        ("shadows?limit=501", "limit"),
    ],
)
async def test_query_parameters_nobody_knows_are_refused(api: Api, path: str, parameter: str) -> None:
    assert list(await errors_of(await api.call("GET", path))) == [parameter]


async def test_a_cursor_that_is_none_is_malformed(api: Api) -> None:
    assert await code_of(await api.call("GET", "shadows?cursor=xx"), 400) == "request.cursor.malformed"


@pytest.mark.parametrize("by", ["operator", "device"])
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_another_device_is_as_good_as_absent(api: Api, path: str, method: str, by: str) -> None:
    answer = await api.call(method, path, by=by, at=DeviceId(uuid4()), json={"state": {}})

    assert await code_of(answer, 404) == "registry.device.not_found"


async def test_keys_keep_their_order_and_text_its_letters(api: Api, path: str) -> None:
    await api.patch(path, {"state": {"desired": {"ż": "🌡", "a": "ć", "B": {"z": [], "a": {}}}}})

    answer = await api.call("GET", path)

    wanted = '"desired":{"ż":"🌡","a":"ć","B":{"z":[],"a":{}}}'
    assert wanted.encode() in await answer.get_data()
