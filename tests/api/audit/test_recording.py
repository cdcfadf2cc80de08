"""What the door records: refusals with where they came from, and what was done in stores other than the registry."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from dependency_injector import providers
from structlog.testing import capture_logs

from iotsphere.api.bulk import MAX_IMPORT_BYTES
from iotsphere.api.operation import MAX_BODY_BYTES
from iotsphere.app import MAX_REQUEST_BYTES
from iotsphere.audit.service import REFUSALS_OF_A_STRANGER
from iotsphere.kernel.audit import AuditEntry, AuditOutcome
from iotsphere.kernel.errors import UnavailableError
from iotsphere.registry.model import DeviceStatus
from iotsphere.telemetry.service import REMOVED_AT_ONCE
from tests.api.bench import ApiBench, Credentials
from tests.factories.telemetry import FIRST_READING, build_point
from tests.fakes.shadow import InMemoryShadowRepository
from tests.fakes.telemetry import InMemoryTelemetryUnitOfWork, TelemetryData

JSON_SENT = {"Content-Type": "application/json"}
LINES_SENT = {"Content-Type": "application/x-ndjson"}
TICKET = {"X-Correlation-ID": "ticket-42"}


@contextmanager
def recorded(bench: ApiBench) -> Iterator[list[AuditEntry]]:
    """Give, at the end of the block, the entries that were added in it."""
    before = set(bench.tables.audit)
    entries: list[AuditEntry] = []
    yield entries
    entries += [entry for entry in bench.tables.audit.values() if entry.id not in before]


@pytest.fixture
def shadows(bench: ApiBench) -> None:
    bench.container.stores.shadows.override(InMemoryShadowRepository())


async def test_a_refusal_names_who_tried_what_on_what_and_from_where(bench: ApiBench) -> None:
    device = bench.add_device()
    with recorded(bench) as entries:
        answer = await bench.patch(f"/devices/{device.id}", {"name": "P"}, by="viewer", headers=TICKET)

    assert answer.status == 403
    [entry] = entries
    assert (entry.action, entry.target, entry.code) == ("change_device", f"device:{device.id}", answer.code)
    assert (entry.outcome, entry.correlation_id) == (AuditOutcome.REFUSED, "ticket-42")
    assert (entry.organisation_id, entry.actor.partition(":")[0]) == (bench.ours.id, "user")
    assert entry.address
    assert entry.details == {}


async def test_a_try_at_what_belongs_to_others_is_kept_by_those_who_tried(bench: ApiBench) -> None:
    device = bench.add_device(bench.theirs)
    with recorded(bench) as entries:
        assert (await bench.patch(f"/devices/{device.id}", {"name": "P"})).status == 404

    assert [(entry.organisation_id, entry.target) for entry in entries] == [(bench.ours.id, f"device:{device.id}")]


@pytest.mark.parametrize("by", [None, {"Authorization": "Bearer made.up"}, {"X-API-Key": f"iot_{'0' * 32}_x"}])
async def test_a_stranger_is_recorded_for_the_platform_administrator(bench: ApiBench, by: Credentials | None) -> None:
    with recorded(bench) as entries:
        answer = await bench.get("/devices", by=by)

    assert answer.status == 401
    [entry] = entries
    assert (entry.organisation_id, entry.actor, entry.code) == (None, "anonymous", answer.code)


async def test_a_failed_login_is_recorded_where_the_account_is_and_without_what_was_typed(bench: ApiBench) -> None:
    user = bench.add_user(bench.ours)
    with recorded(bench) as entries:
        await bench.post("/auth/token", {"email": user.email, "password": "hunter2hunter2"}, by=None)
        await bench.post("/auth/token", {"email": "x@y.example", "password": "hunter2hunter2"}, by=None)

    known, unknown = entries
    assert (known.organisation_id, known.target) == (bench.ours.id, f"user:{user.id}")
    assert (unknown.organisation_id, unknown.target) == (None, None)
    assert "hunter2" not in repr(entries)
    assert "x@y" not in repr(entries)


async def test_a_suspended_device_that_is_turned_away_is_recorded_where_it_belongs(bench: ApiBench) -> None:
    device = bench.add_device(status=DeviceStatus.SUSPENDED)
    with recorded(bench) as entries:
        assert (await bench.get("/me", by=bench.give_key(device))).status == 403

    [entry] = entries
    assert (entry.organisation_id, entry.target, entry.code) == (
        bench.ours.id,
        f"device:{device.id}",
        "registry.device.suspended",
    )


async def test_a_stranger_cannot_flood_the_trail(bench: ApiBench) -> None:
    with recorded(bench) as entries:
        for _ in range(REFUSALS_OF_A_STRANGER + 5):
            assert (await bench.get("/devices", by=None)).status == 401

    assert len(entries) == REFUSALS_OF_A_STRANGER


@pytest.mark.parametrize(
    ("method", "path", "sent", "status"),
    [
        ("PATCH", "/devices/{device}", {"json": {"nonsense": 1}}, 422),
        ("PATCH", "/devices/{device}", {"data": b"{", "headers": JSON_SENT}, 400),
        ("PATCH", "/devices/{device}", {"data": b" " * (MAX_BODY_BYTES + 1), "headers": JSON_SENT}, 413),
        ("PATCH", "/devices/{device}", {"data": b" " * (MAX_REQUEST_BYTES + 1), "headers": JSON_SENT}, 413),
        ("POST", "/devices/import", {"data": b"\n" * 100_001, "headers": LINES_SENT}, 413),
        ("POST", "/devices/import", {"data": b" " * (MAX_IMPORT_BYTES + 1), "headers": LINES_SENT}, 413),
        ("PATCH", "/devices/{device}", {"json": {"name": "P"}, "headers": {"If-Match": '"99"'}}, 412),
        ("DELETE", "/devices/{device}/credentials/{unknown}", {}, 404),
        ("POST", "/devices", {"json": {"serial_number": "SN-1", "device_type": "pump"}}, 409),
        ("DELETE", "/assets/{unknown}", {}, 404),
    ],
)
async def test_whoever_tries_to_change_something_in_vain_is_recorded(
    bench: ApiBench, method: str, path: str, sent: dict[str, Any], status: int
) -> None:
    device = bench.add_device(serial_number="SN-1")
    with recorded(bench) as entries:
        answer = await bench.call(method, f"/api/v1{path}".format(device=device.id, unknown=uuid4()), **sent)

    assert (answer.status, [entry.code for entry in entries]) == (status, [answer.code])


@pytest.mark.parametrize("path", ["/devices/{unknown}", "/devices?limit=0", "/devices?cursor=x", "/assets/{unknown}"])
async def test_reading_in_vain_is_not_recorded(bench: ApiBench, path: str) -> None:
    with recorded(bench) as entries:
        assert (await bench.get(path.format(unknown=uuid4()))).status in {400, 404, 422}

    assert entries == []


async def test_reading_is_recorded_where_it_was_not_permitted(bench: ApiBench) -> None:
    with recorded(bench) as entries:
        assert (await bench.get("/audit", by="operator")).status == 403

    assert [(entry.action, entry.target) for entry in entries] == [("list_audit_entries", None)]


async def test_what_a_device_sends_is_no_matter_for_the_trail(bench: ApiBench, shadows: None) -> None:
    device = bench.add_device(status=DeviceStatus.ACTIVE)
    path, key = f"/devices/{device.id}", bench.give_key(device)
    with recorded(bench) as entries:
        assert (await bench.post(f"{path}/telemetry?on_conflict=no", {}, by=key)).status == 422
        assert (await bench.patch(f"{path}/shadow", {"state": 1}, by=key)).status == 422
        assert (await bench.patch(f"{path}/shadow", {"state": {"reported": {"a": 1}}}, by=key)).status == 200
    assert entries == []

    with recorded(bench) as entries:
        assert (await bench.patch(f"{path}/shadow", {"state": {"desired": {"a": 1}}}, by=key)).status == 403
    assert [entry.target for entry in entries] == [f"device:{device.id}"]


async def test_a_first_contact_is_recorded_once_and_as_what_the_device_asked_for(bench: ApiBench) -> None:
    device = bench.add_device()
    key, name = bench.give_key(device), f"device:{device.id}"
    with recorded(bench) as entries:
        for _ in range(2):
            assert (await bench.get(f"/devices/{device.id}", by=key, headers=TICKET)).status == 200

    [entry] = entries
    assert (entry.actor, entry.target, entry.organisation_id) == (name, name, bench.ours.id)
    assert (entry.action, entry.outcome) == ("get_device", AuditOutcome.DONE)
    assert (entry.details, entry.correlation_id) == ({"status": "active"}, "ticket-42")


async def test_a_device_that_is_refused_what_it_asked_for_has_been_heard_of_all_the_same(bench: ApiBench) -> None:
    device, other = bench.add_device(), bench.add_device()
    with recorded(bench) as entries:
        assert (await bench.get(f"/devices/{other.id}", by=bench.give_key(device))).status == 404
        assert (await bench.get("/devices", by=bench.give_key(device))).status == 403

    assert [(entry.action, entry.outcome, entry.target) for entry in entries] == [
        ("get_device", AuditOutcome.DONE, f"device:{device.id}"),
        ("list_devices", AuditOutcome.REFUSED, None),
    ]


async def test_what_is_done_to_assets_is_recorded(bench: ApiBench) -> None:
    with recorded(bench) as entries:
        body = {"asset_type": "pump", "name": "P1"}
        asset = (await bench.post("/assets", body, headers=TICKET)).json
        await bench.patch(f"/assets/{asset['id']}", {"name": "P2", "properties": {"secret": "x"}})
        assert (await bench.delete(f"/assets/{asset['id']}")).status == 204

    assert {(entry.target, entry.outcome) for entry in entries} == {(f"asset:{asset['id']}", AuditOutcome.DONE)}
    assert [(entry.action, entry.details) for entry in entries] == [
        ("add_asset", {"asset_type": "pump", "name": "P1"}),
        ("change_asset", {"version": 2, "changed": ["name", "properties"]}),
        ("remove_asset", {}),
    ]
    assert entries[0].correlation_id == "ticket-42"


async def test_a_repeated_request_is_recorded_once(bench: ApiBench) -> None:
    with recorded(bench) as entries:
        for _ in range(2):
            body = {"asset_type": "pump", "name": "P1"}
            assert (await bench.post("/assets", body, headers={"Idempotency-Key": "1"})).status == 201

    assert [entry.action for entry in entries] == ["add_asset"]


async def test_what_people_do_to_a_shadow_is_recorded(bench: ApiBench, shadows: None) -> None:
    path = f"/devices/{bench.add_device().id}"
    with recorded(bench) as entries:
        await bench.patch(f"{path}/shadow", {"state": {"desired": {"a": 1}}}, by="operator")
        await bench.patch(f"{path}/shadow", {"state": {"reported": {"a": 1}}}, by="operator")
        await bench.patch(f"{path}/shadows/b", {"state": None}, by="operator")
        assert (await bench.delete(f"{path}/shadow", by="operator")).status == 200

    assert [(entry.action, entry.details) for entry in entries] == [
        ("update_shadow", {"shadow": None, "version": 1, "changed": ["desired"]}),
        ("update_shadow", {"shadow": None, "version": 2, "changed": ["reported"]}),
        ("update_named_shadow", {"shadow": "b", "version": 1, "changed": ["desired", "reported"]}),
        ("delete_shadow", {"shadow": None, "version": 3}),
    ]


async def test_what_was_deleted_of_the_telemetry_before_it_broke_off_is_recorded(bench: ApiBench) -> None:
    device, data = bench.add_device(), TelemetryData()
    for second in range(REMOVED_AT_ONCE + 1):
        point = build_point(device_id=device.id, ts=FIRST_READING + timedelta(seconds=second))
        data.points[device.id, point.metric, point.ts] = point
    openings = iter([InMemoryTelemetryUnitOfWork])

    def open_once() -> InMemoryTelemetryUnitOfWork:
        for unit_of_work in openings:
            return unit_of_work(data)
        raise UnavailableError("telemetry", "It is away.")

    bench.container.stores.telemetry_unit_of_work.override(providers.Callable(open_once))
    path = f"/devices/{device.id}/telemetry?metrics=temperature&start=2026-11-20T00:00:00Z"
    with recorded(bench) as entries:
        assert (await bench.delete(path)).status == 503
        bench.container.stores.telemetry_unit_of_work.override(providers.Factory(InMemoryTelemetryUnitOfWork, data))
        bench.container.telemetry.readings.reset()  # type: ignore[attr-defined]
        assert (await bench.delete(path)).json == {"deleted": 1}

    asked = {"start": "2026-11-20T00:00:00.000000Z", "end": None, "metrics": ("temperature",)}
    assert [(entry.action, entry.target, entry.details) for entry in entries] == [
        ("remove_points", f"device:{device.id}", {"deleted": REMOVED_AT_ONCE, **asked}),
        ("remove_points", f"device:{device.id}", {"deleted": 1, **asked}),
    ]


async def test_without_the_registry_a_refusal_is_answered_all_the_same_and_logged(bench: ApiBench) -> None:
    bench.close_registry()
    with capture_logs() as logs:
        assert (await bench.get("/devices", by=None)).refusal == (401, "identity.credential.missing")

    assert [line["event"] for line in logs] == ["audit.refusal.unrecorded"]
    assert logs[0]["code"] == "identity.credential.missing"


async def test_an_outage_is_no_refusal(bench: ApiBench) -> None:
    bench.close_registry()
    with recorded(bench) as entries, capture_logs() as logs:
        await bench.patch(f"/devices/{uuid4()}", {"name": "P"})

    assert (entries, logs) == ([], [])
