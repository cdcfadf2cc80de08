from typing import Any
from uuid import uuid4

import pytest

from iotsphere.kernel.actor import Role
from iotsphere.kernel.audit import AuditEntry, AuditOutcome
from iotsphere.kernel.times import format_time
from tests.api.bench import ApiBench
from tests.factories.audit import build_entry


def add(bench: ApiBench, **given: Any) -> AuditEntry:
    entry = build_entry(**{"organisation_id": bench.ours.id} | given)
    bench.tables.audit[entry.id] = entry
    return entry


async def ids(bench: ApiBench, query: str = "", *, by: Any = "admin") -> list[str]:
    answer = await bench.get(f"/audit{query}", by=by)
    assert answer.status == 200, answer.body
    return [item["id"] for item in answer.json["items"]]


async def test_an_entry_is_shown_with_what_is_known_of_it(bench: ApiBench) -> None:
    entry = add(bench, actor=f"user:{uuid4()}", target=f"device:{uuid4()}", details={"name": "Pump 1"})

    shown = (await bench.get("/audit")).json["items"][0]

    assert shown == {
        "id": str(entry.id),
        "at": format_time(entry.at),
        "actor": entry.actor,
        "action": "do_something",
        "target": entry.target,
        "address": "192.0.2.1",
        "correlation_id": "request-1",
        "outcome": "done",
        "details": {"name": "Pump 1"},
    }


async def test_a_refusal_has_a_code_and_a_sealed_entry_its_place(bench: ApiBench) -> None:
    add(bench, outcome=AuditOutcome.REFUSED, code="registry.device.not_found")
    [record] = await bench.container.audit.sealing().seal_entries()

    shown = (await bench.get("/audit")).json["items"][0]

    assert (shown["outcome"], shown["code"], shown["target"]) == ("refused", "registry.device.not_found", None)
    assert record.place is not None
    assert (shown["position"], shown["seal"]) == (1, record.place.seal.hex())


async def test_a_change_is_found_by_who_made_it_and_what_it_was_made_to(bench: ApiBench) -> None:
    me = (await bench.get("/me")).json["id"]
    body, headers = {"serial_number": "SN-1", "device_type": "pump"}, {"X-Correlation-ID": "ticket-42"}
    device = (await bench.post("/devices", body, headers=headers)).json
    await bench.patch(f"/devices/{device['id']}", {"status": "suspended"})

    found = (await bench.get(f"/audit?target=device:{device['id']}")).json["items"]

    assert [entry["action"] for entry in found] == ["register_device", "change_device"]
    assert {entry["actor"] for entry in found} == {f"user:{me}"}
    assert (found[0]["correlation_id"], found[0]["details"]) == ("ticket-42", {"serial_number": "SN-1"})
    both = [entry["id"] for entry in found]
    assert await ids(bench, f"?target={device['id']}") == both
    assert await ids(bench, f"?actor={me}") == await ids(bench, f"?actor=user:{me}") == both
    assert await ids(bench, f"?actor=user:{me}&action=change_device&outcome=done") == both[1:]
    assert await ids(bench, "?correlation_id=ticket-42") == both[:1]
    assert await ids(bench, f"?start={found[1]['at']}&actor={me}") == both[1:]
    assert await ids(bench, f"?end={found[1]['at']}&actor={me}") == both[:1]
    assert await ids(bench, f"?target=device:{uuid4()}") == []


async def test_pages_lead_to_every_entry_once(bench: ApiBench) -> None:
    added = [str(add(bench).id) for _ in range(5)]
    seen: list[str] = []
    cursor = ""

    while True:
        page = (await bench.get(f"/audit?limit=2{cursor}")).json
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"

    assert seen == added


async def test_other_organisations_are_not_seen_whatever_is_asked_for(bench: ApiBench) -> None:
    theirs = add(bench, organisation_id=bench.theirs.id, actor=f"user:{uuid4()}", target=f"device:{uuid4()}")
    nobodys = add(bench, organisation_id=None)

    for query in ("", f"?actor={theirs.actor}", f"?target={theirs.target}", "?correlation_id=request-1"):
        assert not {str(theirs.id), str(nobodys.id)} & set(await ids(bench, query))


async def test_the_platform_administrator_sees_also_what_belongs_to_nobody(bench: ApiBench) -> None:
    theirs, nobodys = add(bench, organisation_id=bench.theirs.id), add(bench, organisation_id=None)
    root = bench.log_in(bench.add_user(bench.ours, role=Role.ADMIN, is_platform_administrator=True))

    found = await ids(bench, by=root)

    assert str(nobodys.id) in found
    assert str(theirs.id) not in found


@pytest.mark.parametrize("who", ["viewer", "engineer", "operator"])
async def test_the_trail_is_the_administrators(bench: ApiBench, who: str) -> None:
    assert (await bench.get("/audit", by=who)).refusal == (403, "identity.role.too_low")


async def test_a_device_does_not_see_the_trail(bench: ApiBench) -> None:
    assert (await bench.get("/audit", by=bench.give_key(bench.add_device()))).status == 403
    assert (await bench.get("/audit", by=None)).status == 401


@pytest.mark.parametrize(
    "query",
    [
        "actor=",
        f"actor={'x' * 257}",
        f"action={'x' * 129}",
        "outcome=maybe",
        "correlation_id=two%20words",
        "start=yesterday",
        "end=2026-11-20T00:00:00",
        "limit=0",
        "limit=501",
        "organisation_id=1",
        "actor=a&actor=b",
        "target=%00",
    ],
)
async def test_a_query_that_means_nothing_is_refused(bench: ApiBench, query: str) -> None:
    assert (await bench.get(f"/audit?{query}")).refusal == (422, "request.payload.invalid")


@pytest.mark.parametrize("cursor", ["x", "WyJhIl0", "%F0%9F%98%80", "x" * 5000])
async def test_a_cursor_that_was_not_given_out_is_refused(bench: ApiBench, cursor: str) -> None:
    assert (await bench.get(f"/audit?cursor={cursor}")).refusal == (400, "request.cursor.malformed")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_the_trail_cannot_be_written(bench: ApiBench, method: str) -> None:
    assert (await bench.call(method, "/api/v1/audit")).status == 405
    assert (await bench.call(method, f"/api/v1/audit/{add(bench).id}")).status == 404
