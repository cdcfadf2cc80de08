"""Files of devices in and out."""

import asyncio
import csv
import gc
import io
import json
import tempfile
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import pytest
from dependency_injector import providers
from hypothesis import given, settings
from hypothesis import strategies as st
from quart.testing.connections import TestHTTPConnection as Connection

from iotsphere.api.bulk import MAX_IMPORT_BYTES, MAX_IMPORT_LINES
from iotsphere.api.operation import MAX_REMEMBERED_LINES
from iotsphere.api.spool import MAX_SPOOLS
from iotsphere.kernel.actor import Role
from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.kernel.pagination import Page
from iotsphere.registry.model import Device
from iotsphere.workflows.commissioning import CommissioningWorkflow
from tests.api.bench import Answer, ApiBench, WiredApplication
from tests.fakes.registry import InMemoryDeviceRepository, InMemoryRegistryUnitOfWork, RegistryTables
from tests.unit.api.test_device_lines import DEVICES

NDJSON = {"Content-Type": "application/x-ndjson"}
CSV = {"Content-Type": "text/csv"}
KEPT = ("serial_number", "device_type", "name", "labels", "status")


def lines(*devices: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(device).encode() + b"\n" for device in devices)


def pump(serial_number: str, **more: Any) -> dict[str, Any]:
    return {"serial_number": serial_number, "device_type": "pump"} | more


def answers(answer: Answer) -> list[dict[str, Any]]:
    assert answer.status == 200, answer.body
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.body.splitlines()]


async def import_file(
    bench: ApiBench, body: bytes, kind: dict[str, str] = NDJSON, *, key: str | None = None
) -> Answer:
    headers = kind | {"X-Correlation-ID": "the-import"} | ({"Idempotency-Key": key} if key else {})
    return await bench.send("/devices/import", body, headers=headers, by="operator")


async def export(bench: ApiBench, query: str = "", **headers: str) -> Answer:
    return await bench.get(f"/devices/export{query}", by="operator", headers=headers)


def connection(bench: ApiBench) -> Connection:
    """Open a connection on which the body of an import is still to come."""
    request: Any = bench.app.test_client().request(
        "/api/v1/devices/import", method="POST", headers=bench.credentials["operator"] | NDJSON
    )
    assert isinstance(request, Connection)
    return request


async def test_every_line_is_answered_for_and_a_bad_one_costs_no_other(bench: ApiBench) -> None:
    bench.add_device(serial_number="taken")
    body = lines(pump("new", name="Boiler", labels={"a": "b"}, status="suspended"), pump("taken"), pump("")) + b"{\n"

    [created, taken, invalid, malformed, again, last] = answers(
        await import_file(bench, body + lines(pump("new"), pump("last", asset={"properties": {"kw": 1.5}})))
    )

    assert created == {"line": 1, "status": "created", "id": created["id"]}
    assert (taken["line"], taken["status"], taken["code"]) == (2, "rejected", "registry.device.serial_number_taken")
    assert (invalid["line"], invalid["code"]) == (3, "request.payload.invalid")
    assert invalid["errors"] == {"serial_number": ["Must be 1 to 128 visible characters."]}
    assert (malformed["line"], malformed["code"]) == (4, "request.json.malformed")
    assert (again["line"], again["code"]) == (5, "registry.device.serial_number_taken")
    assert all(refused["detail"] for refused in (taken, invalid, malformed, again))
    device = (await bench.get(f"/devices/{created['id']}")).json
    assert (device["name"], device["labels"], device["status"]) == ("Boiler", {"a": "b"}, "suspended")
    asset = (await bench.get(f"/devices/{last['id']}/asset")).json
    assert asset["properties"] == {"kw": 1.5}


async def test_devices_of_a_file_are_put_in_their_places(bench: ApiBench) -> None:
    hall = (await bench.post("/assets", {"asset_type": "hall", "name": "Hall A"})).json["id"]
    nowhere = "00000000-0000-0000-0000-00000000dead"
    table = f"serial_number,device_type,asset.parent_id\nSN-1,pump,{hall}\nSN-2,pump,\nSN-3,pump,{nowhere}\n"

    told = answers(await import_file(bench, table.encode(), CSV))
    told += answers(await import_file(bench, lines(pump("SN-4", asset={"parent_id": hall}))))

    assert [line["status"] for line in told] == ["created", "created", "rejected", "created"]
    assert list(told[2]["errors"]) == ["asset.parent_id"]
    parents = [
        (await bench.get(f"/devices/{line['id']}/asset")).json.get("parent_id") for line in told if "id" in line
    ]
    assert parents == [hall, None, hall]


@pytest.mark.parametrize(
    ("loss", "code"), [("session", "identity.credential.invalid"), ("role", "identity.role.too_low")]
)
@pytest.mark.parametrize("key", [None, "once"])
async def test_an_import_registers_nothing_more_when_its_caller_may_no_longer(
    bench: ApiBench, monkeypatch: pytest.MonkeyPatch, loss: str, code: str, key: str | None
) -> None:
    tables, register = bench.tables, CommissioningWorkflow.register_devices

    async def register_and_lose(self: CommissioningWorkflow, **given: Any) -> Any:
        outcomes = await register(self, **given)
        if loss == "session":
            tables.sessions.clear()
        tables.users |= {user.id: replace(user, role=Role.VIEWER) for user in tables.users.values()}
        return outcomes

    monkeypatch.setattr(CommissioningWorkflow, "register_devices", register_and_lose)
    monkeypatch.setattr("iotsphere.api.bulk.BATCH_LINES", 2)
    monkeypatch.setattr("iotsphere.api.operation.TRUSTED_SECONDS", -1)
    body = lines(*(pump(str(number)) for number in range(5)), pump(""), pump("last"))

    told = answers(await import_file(bench, body, key=key))

    assert [answer["line"] for answer in told] == list(range(1, 8))
    assert [answer.get("code") for answer in told] == [None] * 2 + [code] * 3 + ["request.payload.invalid", code]
    assert {device.serial_number for device in tables.devices.values()} == {"0", "1"}
    [refused] = [entry for entry in tables.audit.values() if entry.code == code]
    assert (refused.action, refused.correlation_id) == ("import_devices", "the-import")


async def test_what_an_import_registers_is_in_the_trail_and_what_it_found_taken(bench: ApiBench) -> None:
    await import_file(bench, lines(pump("a"), pump("a")))

    entries = list(bench.tables.audit.values())
    assert sorted((entry.action, entry.outcome.value) for entry in entries) == [
        ("import_devices", "done"),
        ("import_devices", "refused"),
    ]
    assert {entry.correlation_id for entry in entries} == {"the-import"}


async def test_the_devices_of_a_file_are_listed_in_the_order_of_its_lines(bench: ApiBench) -> None:
    serial_numbers = [f"P-{number}" for number in range(30)]

    await import_file(bench, lines(*map(pump, serial_numbers)))

    assert [device["serial_number"] for device in (await bench.get("/devices")).json["items"]] == serial_numbers


async def test_csv_is_told_by_its_media_type(bench: ApiBench) -> None:
    body = "serial_number,device_type,label.site\r\nä,pump,north\r\n,pump,\r\n".encode()

    [created, rejected] = answers(await import_file(bench, body, {"Content-Type": "text/csv; charset=UTF-8"}))

    assert (created["line"], rejected["line"], rejected["code"]) == (2, 3, "request.payload.invalid")
    [device] = bench.tables.devices.values()
    assert (device.id, device.serial_number, device.labels) == (UUID(created["id"]), "ä", {"site": "north"})


async def test_a_file_whose_columns_are_not_known_registers_nothing(bench: ApiBench) -> None:
    refused = await import_file(bench, b"serial_number,device_type,colour\na,pump,red\n", CSV)

    assert refused.refusal == (422, "request.payload.invalid")
    assert refused.json["errors"] == {"colour": ["Unknown column."]}
    assert bench.tables.devices == {}


@pytest.mark.parametrize("body", [b"", b"\n \r\n"])
async def test_an_empty_file_has_an_empty_answer(bench: ApiBench, body: bytes) -> None:
    assert answers(await import_file(bench, body)) == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/json"},
        {"Content-Type": "text/csv; charset=latin-1"},
        NDJSON | {"Content-Encoding": "gzip"},
    ],
)
async def test_another_kind_of_body_is_refused(bench: ApiBench, headers: dict[str, str]) -> None:
    refused = await import_file(bench, lines(pump("a")), headers)

    assert refused.refusal == (415, "request.body.media_type_unsupported")


async def test_a_file_may_be_larger_than_any_other_body_and_has_a_limit_of_its_own(bench: ApiBench) -> None:
    filler = b" " * 1_000_000 + b"\n"

    assert len(answers(await import_file(bench, filler * 20 + lines(pump("a"))))) == 1
    refused = await import_file(bench, filler * (MAX_IMPORT_BYTES // len(filler) + 1))
    assert refused.refusal == (413, "request.body.too_large")
    refused = await import_file(bench, b"\n" * MAX_IMPORT_LINES + lines(pump("b")))
    assert refused.refusal == (413, "request.body.too_large")
    assert len(bench.tables.devices) == 1


async def test_a_file_of_unstated_length_has_the_same_limit(bench: ApiBench) -> None:
    async with connection(bench) as sending:
        for _ in range(MAX_IMPORT_BYTES // 1_000_000 + 1):
            await sending.send(b" " * 1_000_000)
        await sending.send_complete()

    assert sending.status_code == 413
    assert bench.tables.devices == {}


async def test_other_bodies_keep_their_limit(bench: ApiBench) -> None:
    body = b'{"serial_number":"' + b"x" * 7_000_000 + b'"}'

    assert (await bench.send("/devices", body)).refusal == (413, "request.body.too_large")


async def test_a_repeat_under_an_idempotency_key_gets_the_first_answer(bench: ApiBench) -> None:
    first = await import_file(bench, lines(pump("a"), pump("")), key="one")
    repeated = await import_file(bench, lines(pump("a"), pump("")), key="one")
    other = await import_file(bench, lines(pump("b")), key="one")

    assert [answer["status"] for answer in answers(first)] == ["created", "rejected"]
    assert answers(repeated) == answers(first)
    assert other.refusal == (409, "idempotency.key.reused")
    assert len(bench.tables.devices) == 1


async def test_a_file_whose_answer_is_to_be_remembered_is_shorter(bench: ApiBench) -> None:
    refused = await import_file(bench, b"\n" * (MAX_REMEMBERED_LINES + 1), key="one")

    assert refused.refusal == (413, "request.body.too_large")


class RegistryWithRoom(InMemoryRegistryUnitOfWork):
    """A registry that does not answer any more once it holds 500 devices."""

    async def __aenter__(self) -> Self:
        if len(self._committed.devices) >= 500:
            raise UnavailableError("registry", "Down.")
        return await super().__aenter__()


async def test_when_the_registry_goes_down_every_line_left_is_told_so(bench: ApiBench) -> None:
    bench.container.stores.registry_unit_of_work.override(providers.Factory(RegistryWithRoom, bench.tables))

    told = answers(await import_file(bench, lines(*(pump(str(number)) for number in range(1_200)))))

    assert [answer["line"] for answer in told] == list(range(1, 1_201))
    assert [answer["status"] for answer in told] == ["created"] * 500 + ["rejected"] * 700
    assert {answer["code"] for answer in told[500:]} == {"registry.store.unavailable"}
    assert len(bench.tables.devices) == 500


class RegistryThatHangs(InMemoryRegistryUnitOfWork):
    """A registry that never answers once it holds a device, and tells that it is waited for."""

    def __init__(self, committed: RegistryTables, is_waited_for: asyncio.Event) -> None:
        super().__init__(committed)
        self._is_waited_for = is_waited_for

    async def __aenter__(self) -> Self:
        if self._committed.devices:
            self._is_waited_for.set()
            await asyncio.Event().wait()
        return await super().__aenter__()


async def test_who_goes_away_leaves_what_is_registered_and_no_file(bench: ApiBench) -> None:
    is_waited_for = asyncio.Event()
    bench.container.stores.registry_unit_of_work.override(
        providers.Factory(RegistryThatHangs, bench.tables, is_waited_for)
    )
    tasks, files = asyncio.all_tasks(), temporary_files()

    async with connection(bench) as sending:
        await sending.send(lines(*(pump(str(number)) for number in range(1_200))))
        await sending.send_complete()
        await asyncio.wait_for(is_waited_for.wait(), timeout=30)
        assert len(temporary_files()) == len(files) + 1
        await sending.disconnect()

    assert len(bench.tables.devices) == 500
    assert asyncio.all_tasks() == tasks
    assert temporary_files() == files


async def test_so_many_files_at_once_and_no_more(bench: ApiBench) -> None:
    files = temporary_files()
    async with AsyncExitStack() as others:
        connections: list[Any] = [connection(bench) for _ in range(MAX_SPOOLS)]
        sending = [await others.enter_async_context(other) for other in connections]
        for other in sending:
            await other.send(lines(pump("a")))
        await files_are_open(len(files) + MAX_SPOOLS)

        refused = await import_file(bench, lines(pump("b")))
        await sending.pop().disconnect()
        await files_are_open(len(files) + MAX_SPOOLS - 1)
        told = answers(await import_file(bench, lines(pump("b"))))
        for other in sending:
            await other.disconnect()

    assert refused.refusal == (429, "registry.import.busy")
    assert refused.headers["Retry-After"] == "5"
    assert [line["status"] for line in told] == ["created"]
    assert temporary_files() == files


@pytest.mark.parametrize("key", [None, "the-key"])
@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        (NDJSON, b"\n" * 100_001, 413),
        (NDJSON, b" " * (MAX_IMPORT_BYTES + 1), 413),
        (CSV, b"nonsense\n", 422),
        (CSV, b'"', 400),
        (CSV, b"serial_number,device_type\n\xff,pump\n", 200),
    ],
)
async def test_a_file_that_was_refused_makes_room_for_the_next_at_once(
    bench: ApiBench, kind: dict[str, str], body: bytes, status: int, key: str | None
) -> None:
    gc.collect()
    gc.disable()
    try:
        told = [(await import_file(bench, body, kind, key=key)).status for _ in range(MAX_SPOOLS)]
        after = await import_file(bench, lines(pump("SN-1")))
    finally:
        gc.enable()

    assert told == [status] * MAX_SPOOLS
    assert [line["status"] for line in answers(after)] == ["created"]


async def files_are_open(count: int) -> None:
    async with asyncio.timeout(30):
        while len(temporary_files()) != count:  # noqa: ASYNC110  # only a look tells
            await asyncio.sleep(0.01)


def temporary_files() -> list[str]:
    """Give the files without a name that this process has open; one that only garbage holds is as good as closed."""
    gc.collect()
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(descriptor.readlink()))
        except FileNotFoundError:
            # The one through which we look.
            continue
    return sorted(name for name in found if name.startswith(tempfile.gettempdir()) and name.endswith("(deleted)"))


async def test_an_export_has_every_device_of_the_organisation_and_no_other(bench: ApiBench) -> None:
    ours = [bench.add_device(name=f"Pump {number}") for number in range(1_203)]
    bench.add_device(bench.theirs)

    answer = await export(bench)

    exported = answers(answer)
    assert [device["id"] for device in exported] == [str(device.id) for device in ours]
    assert exported[0] == (await bench.get(f"/devices/{ours[0].id}")).json
    assert answer.headers["Content-Disposition"] == 'attachment; filename="devices.ndjson"'


@pytest.mark.parametrize("accept", ["text/csv", "text/*", "application/x-ndjson;q=0.1, text/csv"])
async def test_an_export_is_csv_for_who_asks_for_it(bench: ApiBench, accept: str) -> None:
    device = bench.add_device(name='=A "b",\nc', labels={"site": "north"})

    answer = await export(bench, Accept=accept)

    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="devices.csv"'
    [row] = csv.DictReader(io.StringIO(answer.body.decode(), newline=""))
    shown = (await bench.get(f"/devices/{device.id}")).json
    assert row.keys() == shown.keys()
    assert (row["id"], row["name"], row["labels"]) == (str(device.id), '\'=A "b",\nc', '{"site":"north"}')


@pytest.mark.parametrize("accept", ["", "*/*", "application/*", "image/png", "application/x-ndjson, text/csv"])
async def test_an_export_is_lines_of_json_otherwise(bench: ApiBench, accept: str) -> None:
    assert answers(await export(bench, Accept=accept)) == []


async def test_an_export_is_narrowed_as_a_list_is(bench: ApiBench) -> None:
    device = bench.add_device(device_type="boiler", labels={"site": "south"})
    bench.add_device()

    for query in ("?device_type=boiler", "?label=site:south", f"?q={device.serial_number}", "?q=nothing"):
        assert answers(await export(bench, query)) == (await bench.get(f"/devices{query}")).json["items"]
    for query in ("?limit=1", "?cursor=x", "?colour=red", "?status=broken"):
        assert (await export(bench, query)).refusal == (422, "request.payload.invalid")


async def test_a_head_of_an_export_reads_no_further(bench: ApiBench) -> None:
    bench.add_device()

    answer = await bench.call("HEAD", "/api/v1/devices/export", by="operator")

    assert (answer.status, answer.body) == (200, b"")


class FewPages(InMemoryDeviceRepository):
    """Devices of which no page is to be had, or none but the first."""

    def __init__(self, stored: dict[DeviceId, Device], *, first: bool) -> None:
        super().__init__(stored)
        self._first = first

    async def list(self, *asked: Any, cursor: str | None, **more: Any) -> Page[Device]:
        if cursor is not None or not self._first:
            raise UnavailableError("registry", "Down.")
        return await super().list(*asked, cursor=cursor, **more)


class RegistryOfFewPages(InMemoryRegistryUnitOfWork):
    def __init__(self, committed: RegistryTables, *, first: bool) -> None:
        super().__init__(committed)
        self._first = first

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self.devices = FewPages(self._tables.devices, first=self._first)
        return self


async def test_an_export_that_fails_in_the_middle_is_no_whole_answer(bench: ApiBench) -> None:
    for _ in range(501):
        bench.add_device()
    bench.container.stores.registry_unit_of_work.override(
        providers.Factory(RegistryOfFewPages, bench.tables, first=True)
    )

    # This ends the connection: tests/integration/registry sees it as a client does.
    with pytest.raises(UnavailableError):
        await export(bench)


async def test_an_export_that_fails_at_once_is_a_problem(bench: ApiBench) -> None:
    bench.container.stores.registry_unit_of_work.override(
        providers.Factory(RegistryOfFewPages, bench.tables, first=False)
    )

    assert (await export(bench)).refusal == (503, "registry.store.unavailable")


@pytest.mark.parametrize(("method", "path"), [("POST", "/devices/import"), ("GET", "/devices/export")])
async def test_files_are_for_operators(bench: ApiBench, method: str, path: str) -> None:
    key = bench.give_key(bench.add_device())

    statuses = [
        (await bench.call(method, f"/api/v1{path}", headers=NDJSON, by=by)).status
        for by in (None, key, "viewer", "engineer", "operator", "admin")
    ]

    assert statuses == [401, 403, 403, 403, 200, 200]


@settings(max_examples=20)
@given(devices=st.lists(DEVICES, max_size=6, unique_by=lambda device: device.serial_number))
async def test_an_export_imports_to_the_same_registry(wired: WiredApplication, devices: list[Any]) -> None:
    for kind in (NDJSON, CSV):
        here = ApiBench(wired)
        for device in devices:
            here.add_device(**{name: getattr(device, name) for name in KEPT})
        file, before = await export(here, Accept=kind["Content-Type"]), await what_is_kept(here)

        there = ApiBench(wired)
        told = answers(await import_file(there, file.body, kind))
        assert [line["status"] for line in told] == ["created"] * len(devices)
        assert await what_is_kept(there) == before


async def what_is_kept(bench: ApiBench) -> dict[str, Any]:
    return {device["serial_number"]: {name: device[name] for name in KEPT} for device in answers(await export(bench))}
