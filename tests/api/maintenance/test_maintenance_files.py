"""Files of maintenance events in and out."""

import csv
import io
import json
from dataclasses import replace
from typing import Any, Self
from uuid import uuid4

import pytest
from dependency_injector import providers

from iotsphere.kernel.actor import Role
from iotsphere.kernel.errors import UnavailableError
from iotsphere.registry.model import DeviceStatus
from iotsphere.workflows.maintenance_log import MaintenanceLogWorkflow
from tests.api.bench import Answer, ApiBench
from tests.fakes.assets import InMemoryAssetsUnitOfWork

NDJSON = {"Content-Type": "application/x-ndjson"}
CSV = {"Content-Type": "text/csv"}
SAID = {"kind": "repair", "occurred_at": "2026-03-01T12:00:00Z"}
KEPT = ("device_id", "kind", "component", "occurred_at", "notes", "cost")


class AwayAssetsUnitOfWork(InMemoryAssetsUnitOfWork):
    async def __aenter__(self) -> Self:
        raise UnavailableError("assets", "The asset store does not answer. Try again shortly.")


def lines(*events: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


async def import_file(bench: ApiBench, body: bytes, kind: dict[str, str] = NDJSON, *, by: Any = "operator") -> Answer:
    return await bench.send("/maintenance-events/import", body, headers=kind, by=by)


def told(answer: Answer) -> list[dict[str, Any]]:
    assert answer.status == 200, answer.body
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.body.splitlines()]


async def logged(bench: ApiBench, by: Any = "operator") -> list[dict[str, Any]]:
    page = (await bench.get("/maintenance-events", query_string={"limit": "500"}, by=by)).json
    items: list[dict[str, Any]] = page["items"]
    return items


async def test_every_line_is_answered_for_and_a_bad_one_costs_no_other(bench: ApiBench) -> None:
    pump, gone = bench.add_device(serial_number="SN-1"), bench.add_device(serial_number="SN-2")
    bench.tables.devices[gone.id] = replace(gone, status=DeviceStatus.RETIRED)
    theirs = bench.add_device(bench.theirs, serial_number="SN-3")
    invalid, unknown = "request.payload.invalid", "registry.device.not_found"
    file: list[tuple[Any, str | None]] = [
        ({"device_id": str(pump.id)} | SAID, None),
        ({"serial_number": "SN-1"} | SAID | {"component": "seal", "cost": 0.5, "notes": "n"}, None),
        (SAID, invalid),
        ({"device_id": str(pump.id), "serial_number": "SN-1"} | SAID, invalid),
        ({"device_id": "SN-1"} | SAID, invalid),
        ({"device_id": str(uuid4())} | SAID, unknown),
        ({"device_id": str(theirs.id)} | SAID, unknown),
        ({"serial_number": "SN-3"} | SAID, unknown),
        ({"serial_number": "SN-2"} | SAID, unknown),
        ({"serial_number": str(pump.id)} | SAID, unknown),
        ({"serial_number": "SN-1"} | SAID | {"cost": -1}, invalid),
        ({"serial_number": "SN-1"} | SAID | {"notes": "ü" * 5000}, invalid),
        ({"serial_number": "SN-1"} | SAID | {"occurred_at": "2099-01-01T00:00:00Z"}, invalid),
        ({"serial_number": "SN-1"} | SAID | {"colour": "red"}, invalid),
        ([], invalid),
        ({"serial_number": "SN-1"} | SAID | {"kind": "inspection"}, None),
    ]

    answers = told(await import_file(bench, lines(*(event for event, _ in file)) + b"{\n\n\xff\n"))

    codes = [code for _, code in file]
    assert [answer.get("code") for answer in answers] == [*codes, "request.json.malformed", "request.json.malformed"]
    assert [answer["line"] for answer in answers] == [*range(1, len(file) + 2), len(file) + 3]
    created = [answer for answer in answers if answer["status"] == "created"]
    assert {event["id"] for event in await logged(bench)} == {answer["id"] for answer in created}
    assert len(created) == 3
    assert all(answer["errors"] for answer in answers if answer.get("code") == invalid)


async def test_a_table_is_read_as_lines_of_json_are(bench: ApiBench) -> None:
    pump = bench.add_device(serial_number="SN-1")
    table = (
        "\ufeffserial_number,device_id,kind,occurred_at,component,cost,notes\r\n"
        'SN-1,,repair,2026-03-01T12:00:00Z,seal,120.5,"Leaking;\nsaid ""so"", twice"\r\n'
        f",{pump.id},failure,1772366400000,,7,'=1+1\r\n"
        "\r\n"
        "SN-1,,repair,2026-03-01T12:00:00Z,,1e999,\r\n"
        'SN-1,,repair,2026-03-01T12:00:00Z,,"""7""",\r\n'
        "SN-1,,repair\r\n"
    ).encode()

    answers = told(await import_file(bench, table, CSV))

    assert [(answer["line"], answer.get("code")) for answer in answers] == [
        (2, None),
        (4, None),
        (6, "request.payload.invalid"),
        (7, "request.payload.invalid"),
        (8, "request.line.malformed"),
    ]
    assert [list(answer.get("errors", {})) for answer in answers] == [[], [], ["cost"], ["cost"], []]
    first, second = sorted(await logged(bench), key=lambda event: str(event["kind"]), reverse=True)
    assert (first["component"], first["cost"], first["notes"]) == ("seal", 120.5, 'Leaking;\nsaid "so", twice')
    assert (second["cost"], second["notes"], second["occurred_at"]) == (7, "=1+1", "2026-03-01T12:00:00.000000Z")
    assert first["device_id"] == second["device_id"] == str(pump.id)


@pytest.mark.parametrize(
    ("header", "wrong"),
    [
        ("serial_number,kind", ["occurred_at"]),
        ("", ["kind", "occurred_at"]),
        ("serial_number,kind,occurred_at,colour", ["colour"]),
        ("serial_number,kind,occurred_at,kind", ["kind"]),
    ],
)
async def test_a_table_with_other_columns_is_refused_whole(bench: ApiBench, header: str, wrong: list[str]) -> None:
    answer = await import_file(bench, f"{header}\r\n".encode(), CSV)

    assert answer.refusal == (422, "request.payload.invalid")
    assert list(answer.json["errors"]) == wrong


@pytest.mark.parametrize(("accept", "kind"), [("application/x-ndjson", NDJSON), ("text/csv", CSV)])
async def test_a_log_that_is_exported_is_imported_again(bench: ApiBench, accept: str, kind: dict[str, str]) -> None:
    pump, fan = bench.add_device(), bench.add_device()
    events: list[dict[str, Any]] = [
        {"device_id": str(pump.id), "kind": "failure", "occurred_at": "2026-01-01T00:00:00.000001Z"},
        {"device_id": str(pump.id), "component": "=seal", "cost": 0.1, "notes": '\'a,\n"b"'} | SAID,
        {"device_id": str(fan.id), "cost": 1.0, "notes": "ü 😀"} | SAID | {"occurred_at": "2026-04-01T00:00:00Z"},
        {"device_id": str(fan.id), "cost": 10**18} | SAID | {"occurred_at": "2026-05-01T00:00:00Z"},
    ]
    told(await import_file(bench, lines(*events)))
    exported = await bench.get("/maintenance-events/export", by="operator", headers={"Accept": accept})
    before = await logged(bench)
    bench.maintenance_events.clear()

    answers = told(await import_file(bench, exported.body, kind))

    assert [answer["status"] for answer in answers] == ["created"] * len(events)
    after = await logged(bench)
    assert [[event.get(name) for name in KEPT] for event in after] == [
        [event.get(name) for name in KEPT] for event in before
    ]
    assert [type(event.get("cost")) for event in after] == [type(event.get("cost")) for event in before]
    assert {event["id"] for event in before}.isdisjoint(event["id"] for event in after)


async def test_an_export_is_narrowed_as_the_list_is(bench: ApiBench) -> None:
    pump, fan = bench.add_device(), bench.add_device()
    theirs = bench.add_device(bench.theirs)
    stranger = bench.log_in(bench.add_user(bench.theirs, role=Role.OPERATOR))
    await import_file(bench, lines({"device_id": str(theirs.id)} | SAID), by=stranger)
    told(await import_file(bench, lines(*({"device_id": str(device.id)} | SAID for device in (pump, fan, fan)))))

    async def export(**query: str) -> list[str]:
        answer = await bench.get("/maintenance-events/export", by="operator", query_string=query)
        assert answer.headers["Content-Disposition"] == 'attachment; filename="maintenance-events.ndjson"'
        return [json.loads(line)["device_id"] for line in answer.body.splitlines()]

    assert sorted(await export()) == sorted([str(pump.id), str(fan.id), str(fan.id)])
    assert await export(device_id=str(pump.id)) == [str(pump.id)]
    assert await export(kind="failure") == []
    refused = await bench.get("/maintenance-events/export", by="operator", query_string={"limit": "1"})
    assert refused.refusal == (422, "request.payload.invalid")


async def test_an_empty_table_has_its_columns(bench: ApiBench) -> None:
    answer = await bench.get("/maintenance-events/export", by="operator", headers={"Accept": "text/csv"})

    assert list(csv.reader(io.StringIO(answer.body.decode()))) == [
        ["id", "device_id", "kind", "component", "occurred_at", "notes", "cost", "recorded_by", "recorded_at"]
    ]


async def test_an_export_has_more_than_a_page(bench: ApiBench) -> None:
    pump = bench.add_device()
    await import_file(bench, lines(*({"device_id": str(pump.id), "cost": cost} | SAID for cost in range(1001))))

    exported = await bench.get("/maintenance-events/export", by="operator")

    assert sorted(json.loads(line)["cost"] for line in exported.body.splitlines()) == list(range(1001))


@pytest.mark.parametrize("by", ["viewer", "engineer"])
async def test_files_are_for_operators(bench: ApiBench, by: str) -> None:
    refused = (403, "identity.role.too_low")

    assert (await import_file(bench, b"", by=by)).refusal == refused
    assert (await bench.get("/maintenance-events/export", by=by)).refusal == refused


async def test_the_trail_tells_of_every_event_that_was_imported(bench: ApiBench) -> None:
    pump, fan = bench.add_device(), bench.add_device()

    answers = told(await import_file(bench, lines(*({"device_id": str(it.id)} | SAID for it in (pump, fan)))))

    entries = [entry for entry in bench.tables.audit.values() if entry.action == "import_maintenance_events"]
    assert {entry.target: entry.details["maintenance_event"] for entry in entries} == {
        f"device:{pump.id}": answers[0]["id"],
        f"device:{fan.id}": answers[1]["id"],
    }


async def test_a_file_that_is_sent_again_under_its_key_is_imported_once(bench: ApiBench) -> None:
    file = lines({"device_id": str(bench.add_device().id)} | SAID)

    first, again = [await import_file(bench, file, NDJSON | {"Idempotency-Key": "once"}) for _ in range(2)]

    assert (first.status, again.body) == (200, first.body)
    assert len(bench.maintenance_events) == 1


async def test_nothing_more_is_recorded_for_whom_may_no_longer(
    bench: ApiBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    pump, tables = bench.add_device(), bench.tables
    record = MaintenanceLogWorkflow.record_lines

    async def record_and_lose(self: MaintenanceLogWorkflow, **given: Any) -> Any:
        outcomes = await record(self, **given)
        tables.users |= {user.id: replace(user, role=Role.ENGINEER) for user in tables.users.values()}
        return outcomes

    monkeypatch.setattr(MaintenanceLogWorkflow, "record_lines", record_and_lose)
    monkeypatch.setattr("iotsphere.api.bulk.BATCH_LINES", 2)
    monkeypatch.setattr("iotsphere.api.operation.TRUSTED_SECONDS", -1)

    answers = told(await import_file(bench, lines(*({"device_id": str(pump.id)} | SAID for _ in range(3)))))

    assert [answer.get("code") for answer in answers] == [None, None, "identity.role.too_low"]
    assert len(bench.maintenance_events) == 2


async def test_lines_that_no_store_took_are_told_so(bench: ApiBench) -> None:
    file = lines({"device_id": str(bench.add_device().id)} | SAID)
    bench.container.stores.assets_unit_of_work.override(providers.Factory(AwayAssetsUnitOfWork, {}))

    (answer,) = told(await import_file(bench, file))

    assert (answer["status"], answer["code"]) == ("rejected", "assets.store.unavailable")
    assert not [entry for entry in bench.tables.audit.values() if entry.outcome.value == "done"]
