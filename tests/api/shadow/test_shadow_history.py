"""A shadow as it was, its history, and what became of what was asked, over HTTP."""

from typing import Any
from uuid import uuid4

import pytest

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.shadow.model import Violation
from tests.api.shadow.conftest import NOW, Api
from tests.api.shadow.test_shadow_endpoints import AT, SECONDS, code_of, errors_of

WRITTEN_AT = "2026-11-20T17:23:00.000000Z"
VIEWS = pytest.mark.parametrize("view", ["history", "convergence"])


async def write_three(api: Api, path: str) -> None:
    await api.patch(path, {"state": {"desired": {"target": 55, "mode": "eco"}}})
    refusals = {"/target": {"code": "too_hot"}}
    await api.patch(path, {"state": {"reported": {"mode": "eco"}}, "refusals": refusals}, by="device")
    await api.call("DELETE", path)


async def test_the_history_tells_what_was_sent_by_whom_and_when(api: Api, path: str) -> None:
    await write_three(api, path)

    page = await api.get(f"{path}/history")

    assert page["next_cursor"] is None
    deleted, reported, desired = page["items"]
    assert desired.pop("actor").startswith("user:")
    assert deleted.pop("actor").startswith("user:")
    assert reported.pop("actor").startswith("device:")
    same = {"at": WRITTEN_AT, "correlation_id": "test"}
    sent = {"reported": {"mode": "eco"}}
    refusals = {"/target": {"code": "too_hot", "detail": ""}}
    assert deleted == {"version": 3, "kind": "deleted", "patch": None} | same
    assert reported == {"version": 2, "kind": "updated", "patch": {"state": sent, "refusals": refusals}} | same
    asked = {"desired": {"target": 55, "mode": "eco"}}
    assert desired == {"version": 1, "kind": "updated", "patch": {"state": asked}} | same


@pytest.mark.parametrize("state", [None, {}, {"desired": None}, {"desired": {"a": None, "b": [1.0, {}, []]}}])
async def test_a_patch_stands_in_the_history_as_it_was_sent(api: Api, path: str, state: Any) -> None:
    await api.patch(path, {"state": state})

    (change,) = (await api.get(f"{path}/history"))["items"]
    assert repr(change["patch"]) == repr({"state": state})


async def test_the_convergence_tells_what_became_of_every_value(api: Api, path: str) -> None:
    await write_three(api, path)
    await api.patch(path, {"state": {"desired": {"a/b": {}}}})

    items = (await api.get(f"{path}/convergence"))["items"]

    assert all(item.pop("requested_by").startswith("user:") for item in items)
    assert all(item.pop("requested_at") == WRITTEN_AT for item in items)
    pending = {"path": "/a~1b", "value": {}, "requested_version": 4, "state": "pending", "settled_at": None}
    assert items[0] == pending
    settled = {"requested_version": 1, "settled_at": WRITTEN_AT, "settled_version": 2}
    refused = {"path": "/target", "value": 55, "state": "refused", "refusal": {"code": "too_hot", "detail": ""}}
    applied = {"path": "/mode", "value": "eco", "state": "applied"}
    assert sorted(items[1:], key=lambda item: str(item["path"])) == [applied | settled, refused | settled]
    assert (await api.get(f"{path}/convergence?state=pending"))["items"] == [
        pending | {"requested_by": (await api.get(f"{path}/history?limit=1"))["items"][0]["actor"]}
        | {"requested_at": WRITTEN_AT}
    ]  # fmt: skip
    assert (await api.get(f"{path}/convergence?state=cleared"))["items"] == []


async def test_a_shadow_is_shown_as_it_was_with_the_time_when_that_was_made(api: Api, path: str) -> None:
    await write_three(api, path)
    await api.patch(path, {"state": {"desired": {"a": 1}}})

    then = {
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
    assert await api.get(f"{path}?version=2") == then
    assert (await api.get(f"{path}?version=4"))["state"]["desired"] == {"a": 1}
    assert (await api.get(f"{path}?at={WRITTEN_AT}"))["version"] == 4
    assert (await api.get(f"{path}?at={int(NOW.timestamp() * 1000) + 1}"))["version"] == 4
    assert await code_of(await api.call("GET", f"{path}?version=3"), 404) == "shadow.document.not_found"
    for version in [5, 10**15]:
        answer = await api.call("GET", f"{path}?version={version}")
        assert await code_of(answer, 404) == "shadow.version.not_found"


async def test_a_shadow_as_it_was_carries_the_tag_of_its_version(api: Api, path: str) -> None:
    await write_three(api, path)

    answer = await api.call("GET", f"{path}?version=2")
    assert (answer.status_code, answer.headers["ETag"]) == (200, '"2"')
    answer = await api.call("GET", f"{path}?version=2", headers={"If-None-Match": '"2"'})
    assert (answer.status_code, await answer.get_data()) == (304, b"")
    assert (await api.call("GET", f"{path}?version=2", headers={"If-None-Match": '"1"'})).status_code == 200


async def test_an_unnamed_shadow_was_empty_before_it_was_written(api: Api) -> None:
    await api.patch("shadow", {"state": {"desired": {"a": 1}}})

    assert (await api.get("shadow?version=0"))["state"] == {}
    assert (await api.get("shadow?at=2000-01-01T00:00:00Z"))["version"] == 0
    answer = await api.call("GET", "shadows/config?version=0")
    assert await code_of(answer, 404) == "shadow.document.not_found"


@VIEWS
async def test_a_named_shadow_never_written_has_no_history_and_the_unnamed_one_an_empty_one(
    api: Api, view: str
) -> None:
    assert await code_of(await api.call("GET", f"shadows/config/{view}"), 404) == "shadow.document.not_found"
    assert await api.get(f"shadow/{view}") == {"items": [], "next_cursor": None}


@VIEWS
async def test_pages_follow_each_other_without_gap_or_repetition(api: Api, path: str, view: str) -> None:
    for number in range(5):
        await api.patch(path, {"state": {"desired": {f"k{number}": number}}})
    whole = (await api.get(f"{path}/{view}"))["items"]

    read: list[Any] = []
    cursor = ""
    while len(read) < 5:
        page = await api.get(f"{path}/{view}?limit=2{cursor}")
        read += page["items"]
        await api.patch(path, {"state": {"desired": {"later": len(read)}}})
        cursor = f"&cursor={page['next_cursor']}"

    assert read[:5] == whole
    assert page["next_cursor"] is None


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("?version=x", "version"),
        ("?version=-1", "version"),
        ("?version=1.0", "version"),
        ("?version=", "version"),
        ("?version=99999999999999999999", "version"),
        ("?at=yesterday", "at"),
        ("?at=2026-11-20T17:23:00", "at"),
        ("?at=99999999999999999", "at"),
        ("?version=1&at=2026-11-20T17:23:00Z", "at"),
        ("/history?start=x", "start"),
        ("/history?start=2026-11-20T17:23:01Z&end=2026-11-20T17:23:00Z", "end"),
        ("/history?limit=0", "limit"),
        ("/history?state=pending", "state"),
        ("/convergence?state=done", "state"),
        ("/convergence?limit=501", "limit"),
        ("/convergence?start=2026-11-20T17:23:00Z", "start"),
    ],
)
async def test_a_query_that_does_not_fit_is_refused_by_parameter(
    api: Api, path: str, query: str, parameter: str
) -> None:
    assert list(await errors_of(await api.call("GET", f"{path}{query}"))) == [parameter]


@VIEWS
@pytest.mark.parametrize("cursor", ["x", "", "WzFd", "bnVsbA", "%C3%A9", "%FF" * 3])
async def test_a_cursor_that_no_list_gave_out_is_malformed(api: Api, path: str, view: str, cursor: str) -> None:
    await api.patch(path, {"state": {}})

    assert (await api.call("GET", f"{path}/{view}?cursor={cursor}")).status_code == 400


async def test_the_history_is_narrowed_to_a_time(api: Api, path: str) -> None:
    await api.patch(path, {"state": {}})

    for query, count in [
        (f"start={WRITTEN_AT}", 1),
        (f"end={WRITTEN_AT}", 0),
        ("start=2026-11-20T17:23:00.000001Z", 0),
        (f"start={WRITTEN_AT}&end=2026-11-20T17:23:00.000001Z", 1),
    ]:
        assert len((await api.get(f"{path}/history?{query}"))["items"]) == count


@VIEWS
async def test_a_device_reads_its_own_and_of_no_other(api: Api, path: str, view: str) -> None:
    await api.patch(path, {"state": {}})

    assert (await api.call("GET", f"{path}/{view}", by="device")).status_code == 200
    for by in ["device", "operator"]:
        answer = await api.call("GET", f"{path}/{view}", by=by, at=DeviceId(uuid4()))
        assert await code_of(answer, 404) == "registry.device.not_found"


@pytest.mark.parametrize(
    ("is_away", "code"), [(False, "shadow.journal.behind"), (True, "telemetry.store.unavailable")]
)
async def test_what_the_journal_does_not_hold_yet_is_waited_for_and_then_told(
    api: Api, path: str, *, is_away: bool, code: str
) -> None:
    await api.patch(path, {"state": {"desired": {"a": 1}}})
    api.process.journal_data.is_away = is_away

    async def nothing() -> None: ...

    api.process.journal_all = nothing  # type: ignore[method-assign]  # the worker is away as well
    answer = await api.call("GET", f"{path}/history")

    assert await code_of(answer, 503) == code
    assert "Retry-After" in answer.headers
    assert (await api.get(path))["version"] == 1


async def test_a_reported_state_that_breaks_its_schema_is_flagged_where_it_is_shown(api: Api, path: str) -> None:
    api.process.rules.violations = [Violation("state.reported.target", "Is more than 60.")]
    flagged = {"reported": [{"path": "state.reported.target", "message": "Is more than 60."}]}

    answer = await api.patch(path, {"state": {"reported": {"target": 90}}}, by="device")

    assert (answer.status_code, (await answer.get_json())["violations"]) == (200, flagged)
    assert (await api.get(path))["violations"] == flagged
    assert (await api.get(f"{path}?version=1"))["violations"] == flagged


async def test_a_desired_state_that_breaks_its_schema_is_refused_by_path(api: Api, path: str) -> None:
    api.process.rules.violations = [Violation("state.desired.target", "Is more than 60.")]

    assert list(await errors_of(await api.patch(path, {"state": {"desired": {"target": 90}}}))) == [
        "state.desired.target"
    ]
