"""The maintenance log over HTTP."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from iotsphere.kernel.actor import Role
from iotsphere.kernel.clock import utc_now
from iotsphere.kernel.times import format_time
from iotsphere.registry.model import Device
from tests.api.bench import Answer, ApiBench

FAILED = {"kind": "failure", "occurred_at": "2026-03-01T12:00:00Z"}
HUGE = "x" * 8193


@pytest.fixture
def pump(bench: ApiBench) -> Device:
    return bench.add_device()


def log_of(device: Device) -> str:
    return f"/devices/{device.id}/maintenance-events"


async def record(bench: ApiBench, device: Device, *, by: Any = "engineer", **said: Any) -> dict[str, Any]:
    answer = await bench.post(log_of(device), FAILED | said, by=by)
    assert answer.status == 201, answer.body
    event: dict[str, Any] = answer.json
    return event


async def listed(bench: ApiBench, path: str, **query: str) -> list[dict[str, Any]]:
    answer = await bench.get(path, query_string=query, by="viewer")
    assert answer.status == 200, answer.body
    items: list[dict[str, Any]] = answer.json["items"]
    return items


async def refused_fields(answer: Answer) -> list[str]:
    assert answer.refusal == (422, "request.payload.invalid")
    return sorted(answer.json["errors"])


async def test_what_is_recorded_is_shown_with_its_place(bench: ApiBench, pump: Device) -> None:
    said = {
        "kind": "repair",
        "component": "seal",
        "occurred_at": "2026-03-01T13:00:00.000001+01:00",
        "notes": "Leaking;\nfaces polished.",
        "cost": 120.5,
    }

    answer = await bench.post(log_of(pump), said, by="engineer")

    event = answer.json
    assert answer.status == 201
    assert answer.headers["Location"] == f"/api/v1{log_of(pump)}/{event['id']}"
    assert answer.headers["ETag"] == '"1"'
    assert event == said | {
        "id": event["id"],
        "device_id": str(pump.id),
        "occurred_at": "2026-03-01T12:00:00.000001Z",
        "recorded_by": event["recorded_by"],
        "recorded_at": event["recorded_at"],
    }
    assert event["recorded_by"].startswith("user:")
    shown = await bench.get(f"{log_of(pump)}/{event['id']}", by="viewer")
    assert (shown.status, shown.json, shown.headers["ETag"]) == (200, event, '"1"')
    unchanged = await bench.get(f"{log_of(pump)}/{event['id']}", headers={"If-None-Match": '"1"'})
    assert unchanged.status == 304


async def test_what_was_not_said_is_not_shown(bench: ApiBench, pump: Device) -> None:
    event = await record(bench, pump)

    assert event.keys() == {"id", "device_id", "kind", "occurred_at", "recorded_by", "recorded_at"}


@pytest.mark.parametrize("kind", ["failure", "repair", "replacement", "inspection", "installation"])
async def test_every_kind_is_taken(bench: ApiBench, pump: Device, kind: str) -> None:
    assert (await record(bench, pump, kind=kind))["kind"] == kind


@pytest.mark.parametrize("cost", ["0", "1", "1.0", "0.1", "1000000000000000000", "9007199254740993"])
async def test_a_cost_comes_back_as_it_was_written(bench: ApiBench, pump: Device, cost: str) -> None:
    body = b'{"kind":"repair","occurred_at":"2026-03-01T12:00:00Z","cost":%s}' % cost.encode()

    answer = await bench.send(log_of(pump), body, by="engineer")

    assert answer.status == 201
    assert b'"cost":%s,' % cost.encode() in answer.body


@pytest.mark.parametrize("occurred_at", ["1900-01-01T00:00:00Z", 0, -1, 1772366400000])
async def test_it_may_have_happened_long_ago(bench: ApiBench, pump: Device, occurred_at: Any) -> None:
    await record(bench, pump, occurred_at=occurred_at)


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"kind": "accident"}, "kind"),
        ({"kind": "FAILURE"}, "kind"),
        ({"kind": None}, "kind"),
        ({"kind": ["failure"]}, "kind"),
        ({"occurred_at": "2026-03-01T12:00:00"}, "occurred_at"),
        ({"occurred_at": "1899-12-31T23:59:59Z"}, "occurred_at"),
        ({"occurred_at": "9999-12-31T23:59:59Z"}, "occurred_at"),
        ({"occurred_at": 10**18}, "occurred_at"),
        ({"occurred_at": True}, "occurred_at"),
        ({"occurred_at": None}, "occurred_at"),
        ({"component": ""}, "component"),
        ({"component": "x" * 129}, "component"),
        ({"component": 7}, "component"),
        ({"component": "a\0b"}, "component"),
        ({"notes": ""}, "notes"),
        ({"notes": HUGE}, "notes"),
        ({"notes": "ü" * 4097}, "notes"),
        ({"notes": {"a": 1}}, "notes"),
        ({"cost": -0.01}, "cost"),
        ({"cost": "12"}, "cost"),
        ({"cost": True}, "cost"),
        ({"cost": 1e19}, "cost"),
        ({"cost": 10**400}, "cost"),
        ({"cost": [1]}, "cost"),
        ({"currency": "EUR"}, "currency"),
        ({"id": "00000000-0000-0000-0000-000000000001"}, "id"),
        ({"device_id": "00000000-0000-0000-0000-000000000001"}, "device_id"),
        ({"recorded_by": "user:1"}, "recorded_by"),
        ({"recorded_at": "2026-03-01T12:00:00Z"}, "recorded_at"),
    ],
)
async def test_what_does_not_fit_is_refused_by_field(
    bench: ApiBench, pump: Device, said: dict[str, Any], field: str
) -> None:
    answer = await bench.post(log_of(pump), FAILED | said, by="engineer")

    assert await refused_fields(answer) == [field]
    assert bench.maintenance_events == {}


@pytest.mark.parametrize("missing", ["kind", "occurred_at"])
async def test_what_has_to_be_said_is_asked_for(bench: ApiBench, pump: Device, missing: str) -> None:
    said = {name: value for name, value in FAILED.items() if name != missing}

    assert await refused_fields(await bench.post(log_of(pump), said, by="engineer")) == [missing]


async def test_nothing_is_recorded_that_is_yet_to_happen(bench: ApiBench, pump: Device) -> None:
    soon, later = (format_time(utc_now() + timedelta(minutes=minutes)) for minutes in (4, 6))

    assert await refused_fields(await bench.post(log_of(pump), FAILED | {"occurred_at": later}, by="engineer")) == [
        "occurred_at"
    ]
    # Clocks differ by as much as that.
    await record(bench, pump, occurred_at=soon)


@pytest.mark.parametrize(
    ("body", "status"), [(b"", 400), (b"{", 400), (b"[]", 422), (b'{"cost":NaN}', 400), (b'{"cost":1e999}', 400)]
)
async def test_a_body_that_is_no_event_is_refused(bench: ApiBench, pump: Device, body: bytes, status: int) -> None:
    assert (await bench.send(log_of(pump), body, by="engineer")).status == status


async def test_a_viewer_reads_the_log_and_does_not_write_it(bench: ApiBench, pump: Device) -> None:
    event = await record(bench, pump)

    written = await bench.post(log_of(pump), FAILED, by="viewer")
    removed = await bench.delete(f"{log_of(pump)}/{event['id']}", by="viewer")

    assert written.refusal == removed.refusal == (403, "identity.role.too_low")
    assert await listed(bench, log_of(pump)) == [event]


async def test_a_device_has_no_part_in_its_log(bench: ApiBench, pump: Device) -> None:
    key = bench.give_key(pump)
    event = await record(bench, pump)

    for answer in (
        await bench.post(log_of(pump), FAILED, by=key),
        await bench.get(log_of(pump), by=key),
        await bench.get(f"{log_of(pump)}/{event['id']}", by=key),
        await bench.delete(f"{log_of(pump)}/{event['id']}", by=key),
        await bench.get("/maintenance-events", by=key),
    ):
        assert answer.refusal == (403, "identity.device.not_allowed")
    assert len(bench.maintenance_events) == 1


async def test_another_organisations_log_is_as_good_as_absent(bench: ApiBench, pump: Device) -> None:
    theirs = bench.add_device(bench.theirs)
    stranger = bench.log_in(bench.add_user(bench.theirs, role=Role.ADMIN))
    event = await record(bench, pump)
    not_found = (404, "registry.device.not_found")

    assert (await bench.post(log_of(theirs), FAILED)).refusal == not_found
    assert (await bench.get(log_of(pump), by=stranger)).refusal == not_found
    assert (await bench.delete(f"{log_of(pump)}/{event['id']}", by=stranger)).refusal == not_found
    assert (await bench.get("/maintenance-events", by=stranger)).json["items"] == []
    # Nor does a device of one's own lead to it.
    aside = await bench.delete(f"{log_of(theirs)}/{event['id']}", by=stranger)
    assert aside.refusal == (404, "assets.maintenance_event.not_found")
    narrowed = await bench.get("/maintenance-events", query_string={"device_id": str(pump.id)}, by=stranger)
    assert narrowed.json["items"] == []
    assert await listed(bench, log_of(pump)) == [event]


async def test_the_log_goes_by_when_things_happened(bench: ApiBench, pump: Device) -> None:
    other = bench.add_device()
    second = await record(bench, pump, occurred_at="2026-02-01T00:00:00Z", kind="repair", component="seal")
    first = await record(bench, pump, occurred_at="2026-01-01T00:00:00Z", kind="failure", component="seal")
    third = await record(bench, other, occurred_at="2026-03-01T00:00:00Z", kind="repair", component="motor")

    assert await listed(bench, log_of(pump)) == [first, second]
    assert await listed(bench, "/maintenance-events") == [first, second, third]
    assert await listed(bench, "/maintenance-events", device_id=str(other.id)) == [third]
    assert await listed(bench, "/maintenance-events", kind="repair") == [second, third]
    assert await listed(bench, "/maintenance-events", component="seal") == [first, second]
    assert await listed(bench, log_of(pump), kind="repair", component="motor") == []
    # The start belongs to it, the end does not.
    assert await listed(bench, "/maintenance-events", start="2026-02-01T00:00:00Z") == [second, third]
    assert await listed(bench, "/maintenance-events", end="2026-02-01T00:00:00Z") == [first]


async def test_pages_go_on_where_the_last_ended_whatever_is_recorded_meanwhile(bench: ApiBench, pump: Device) -> None:
    times = [f"2026-01-0{day}T00:00:00Z" for day in range(1, 6)]
    events = [await record(bench, pump, occurred_at=at) for at in times]

    first = (await bench.get(log_of(pump), query_string={"limit": "2"})).json
    late = await record(bench, pump, occurred_at="2025-12-31T00:00:00Z")
    second = (await bench.get(log_of(pump), query_string={"limit": "2", "cursor": first["next_cursor"]})).json
    third = (await bench.get(log_of(pump), query_string={"limit": "2", "cursor": second["next_cursor"]})).json

    assert first["items"] + second["items"] + third["items"] == events
    assert third["next_cursor"] is None
    assert (await listed(bench, log_of(pump)))[0] == late


@pytest.mark.parametrize(
    "query",
    [
        {"kind": "accident"},
        {"component": ""},
        {"component": "x" * 129},
        {"component": "a\0b"},
        {"start": "yesterday"},
        {"end": "2026-03-01"},
        {"limit": "0"},
        {"limit": "501"},
        {"device_type": "pump"},
        {"sort": "cost"},
    ],
)
@pytest.mark.parametrize("path", ["/maintenance-events", "/devices/{}/maintenance-events"])
async def test_a_query_that_means_nothing_is_refused(
    bench: ApiBench, pump: Device, path: str, query: dict[str, str]
) -> None:
    answer = await bench.get(path.format(pump.id), query_string=query)

    assert await refused_fields(answer) == list(query)


async def test_a_devices_log_is_not_narrowed_to_another_device(bench: ApiBench, pump: Device) -> None:
    answer = await bench.get(log_of(pump), query_string={"device_id": str(pump.id)})

    assert await refused_fields(answer) == ["device_id"]


async def test_a_cursor_that_no_list_gave_out_is_malformed(bench: ApiBench, pump: Device) -> None:
    answer = await bench.get(log_of(pump), query_string={"cursor": "x"})

    assert answer.refusal == (400, "request.cursor.malformed")


async def test_a_mistake_is_taken_out_of_the_log(bench: ApiBench, pump: Device) -> None:
    mistake, right = await record(bench, pump), await record(bench, pump, component="seal")
    path = f"{log_of(pump)}/{mistake['id']}"

    other_version = await bench.delete(path, headers={"If-Match": '"2"'}, by="engineer")
    removed = await bench.delete(path, headers={"If-Match": '"1"'}, by="engineer")

    assert other_version.refusal == (412, "request.precondition.failed")
    assert (removed.status, removed.body) == (204, b"")
    assert await listed(bench, log_of(pump)) == [right]
    for again in (await bench.delete(path, by="engineer"), await bench.get(path)):
        assert again.refusal == (404, "assets.maintenance_event.not_found")


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_no_event_is_changed(bench: ApiBench, pump: Device, method: str) -> None:
    event = await record(bench, pump)

    answer = await bench.send(f"{log_of(pump)}/{event['id']}", b"{}", method=method)

    assert answer.refusal == (405, "request.method.not_allowed")


async def test_an_event_that_is_sent_again_under_its_key_is_recorded_once(bench: ApiBench, pump: Device) -> None:
    headers = {"Idempotency-Key": "once"}

    first, again = [await bench.post(log_of(pump), FAILED, by="engineer", headers=headers) for _ in range(2)]
    other = await bench.post(log_of(pump), FAILED | {"cost": 1}, by="engineer", headers=headers)

    assert (first.status, again.status, again.json) == (201, 201, first.json)
    assert other.refusal == (409, "idempotency.key.reused")
    assert len(bench.maintenance_events) == 1


async def test_the_trail_tells_who_wrote_into_the_log_and_who_took_out_of_it(bench: ApiBench, pump: Device) -> None:
    event = await record(bench, pump, component="seal")
    await bench.delete(f"{log_of(pump)}/{event['id']}", by="engineer")

    recorded, removed = (entry for entry in bench.tables.audit.values() if entry.target == f"device:{pump.id}")
    said = {
        "maintenance_event": event["id"],
        "kind": "failure",
        "component": "seal",
        "occurred_at": "2026-03-01T12:00:00.000000Z",
    }
    assert (recorded.action, recorded.actor, recorded.details) == (
        "record_maintenance_event",
        event["recorded_by"],
        said,
    )
    assert (removed.action, removed.actor, removed.details) == (
        "remove_maintenance_event",
        event["recorded_by"],
        said,
    )


@pytest.mark.parametrize("event_id", [str(uuid4()), "x", str(UUID(int=0))])
async def test_an_event_that_was_never_there_is_not_found(bench: ApiBench, pump: Device, event_id: str) -> None:
    assert (await bench.get(f"{log_of(pump)}/{event_id}")).status == 404
