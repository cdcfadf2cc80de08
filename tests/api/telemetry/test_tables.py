"""Long tables while they go out: how many at once, to whom, and beside what."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import httpx
import pytest
from dependency_injector import providers

from iotsphere.api.operation import TRUSTED_SECONDS
from iotsphere.api.telemetry import formats
from iotsphere.api.telemetry.endpoints import POINTS_AT_ONCE
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.registry.model import Device
from iotsphere.telemetry import errors
from iotsphere.telemetry.model import Point, Selection
from iotsphere.telemetry.query_room import QueryRoom
from tests.api.bench import Answer, ApiBench
from tests.api.bench import bench as bench  # noqa: PLC0414  # pytest finds fixtures by the names in here
from tests.api.bench import wired as wired  # noqa: PLC0414
from tests.api.edge.test_connections import port as port  # noqa: PLC0414
from tests.api.registry.test_bulk_connections import ask
from tests.fakes.telemetry import InMemoryPointRepository, InMemoryTelemetryUnitOfWork, TelemetryData

START = datetime(2026, 11, 20, tzinfo=UTC)
CSV = {"Accept": "text/csv"}
PAGES = 3


class Store:
    """Three pages of points of one device; pages behind the first are given when they are let through."""

    def __init__(self) -> None:
        self.data = TelemetryData()
        self.let_through = asyncio.Event()
        self.let_through.set()
        self.asked = 0

    def fill(self, device_id: DeviceId) -> None:
        for number in range((PAGES - 1) * POINTS_AT_ONCE + 1):
            point = Point(device_id, "a", START + timedelta(seconds=number), float(number))
            self.data.points[device_id, "a", point.ts] = point

    def __call__(self) -> InMemoryTelemetryUnitOfWork:
        return GatedUnitOfWork(self)


class GatedPoints(InMemoryPointRepository):
    def __init__(self, store: Store) -> None:
        super().__init__(store.data)
        self._store = store

    async def range(self, selection: Selection, **asked: Any) -> list[Point]:
        self._store.asked += 1
        if self._store.asked > 1:
            await self._store.let_through.wait()
        return await super().range(selection, **asked)


class GatedUnitOfWork(InMemoryTelemetryUnitOfWork):
    def __init__(self, store: Store) -> None:
        super().__init__(store.data)
        self._store = store

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self.points = GatedPoints(self._store)
        return self


@pytest.fixture
def store(bench: ApiBench) -> Store:
    store = Store()
    bench.keep_telemetry(store)
    return store


@pytest.fixture
def device(bench: ApiBench, store: Store) -> Device:
    device = bench.add_device()
    store.fill(device.id)
    return device


def path_of(device: Device) -> str:
    return f"/devices/{device.id}/telemetry"


async def read(bench: ApiBench, device: Device, **query: Any) -> Answer:
    return await bench.get(path_of(device), headers=CSV, query_string=query)


async def until_left() -> None:
    async with asyncio.timeout(10):
        while formats.places.taken:  # noqa: ASYNC110  # only a look tells
            await asyncio.sleep(0.01)


@asynccontextmanager
async def reading(
    bench: ApiBench, port: int, device: Device
) -> AsyncIterator[tuple[httpx.Response, AsyncIterator[bytes]]]:
    """Have taken the first page of a long table."""
    async with (
        await ask(bench, port) as http,
        http.stream("GET", path_of(device), headers=CSV) as answer,
    ):
        pieces = answer.aiter_bytes()
        await anext(pieces)
        yield answer, pieces


async def test_only_so_many_long_tables_go_out_at_once(bench: ApiBench, device: Device) -> None:
    begun = [formats.places.take(bench.ours.id) for _ in range(4)]
    refused = await read(bench, device)
    assert (refused.refusal, refused.headers["Retry-After"]) == ((429, "telemetry.stream.busy"), "5")
    # What is one page long is none of them.
    assert (await read(bench, device, limit=1)).status == 200
    assert (await read(bench, device, end=START.isoformat())).status == 200

    begun.pop().leave()
    whole = await read(bench, device)
    assert (whole.status, whole.body.count(b"\n")) == (200, (PAGES - 1) * POINTS_AT_ONCE + 2)
    del begun
    assert formats.places.taken == {}


async def test_all_organisations_together_have_few_as_well(bench: ApiBench, device: Device) -> None:
    begun = [formats.places.take(bench.add_organisation().id) for _ in range(8)]

    assert (await read(bench, device)).refusal == (429, "telemetry.stream.busy")

    del begun


async def test_a_look_at_the_headers_takes_no_place(bench: ApiBench, device: Device) -> None:
    answer = await bench.call("HEAD", f"/api/v1{path_of(device)}", headers=CSV)

    assert (answer.status, formats.places.taken) == (200, {})


async def test_who_goes_away_in_the_middle_leaves_the_place(
    bench: ApiBench, store: Store, device: Device, port: int
) -> None:
    store.let_through.clear()
    async with reading(bench, port, device):
        assert formats.places.taken == {bench.ours.id: 1}

    store.let_through.set()
    await until_left()


async def test_who_is_shut_out_in_the_middle_reads_no_further(
    bench: ApiBench, store: Store, device: Device, port: int
) -> None:
    store.let_through.clear()
    async with reading(bench, port, device) as (answer, pieces):
        await bench.post("/auth/logout", by="operator")
        await asyncio.sleep(TRUSTED_SECONDS + 0.1)
        store.let_through.set()

        assert answer.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            [piece async for piece in pieces]

    # The page that it waited for; none after it.
    assert store.asked == PAGES - 1
    await until_left()


async def test_a_table_waits_for_its_turn_and_other_queries_are_told_to_come_again(
    bench: ApiBench, store: Store, device: Device, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errors, "RETRY_AFTER_SECONDS", 0.05)
    room = QueryRoom(places=3, places_of_one=1, longest_wait_seconds=0.05)
    bench.container.telemetry.query_room.override(providers.Object(room))
    store.let_through.clear()
    async with reading(bench, port, device) as (_, pieces):
        # The second page has a place already; the third has to wait.
        async with asyncio.timeout(10):
            while store.asked < 2:  # noqa: ASYNC110  # only a look tells
                await asyncio.sleep(0.01)
        busy = await bench.get(path_of(device))
        holding = asyncio.create_task(hold(room, bench, seconds=0.3))
        store.let_through.set()

        rest = b"".join([piece async for piece in pieces])
        await holding

    assert (busy.refusal, busy.headers["Retry-After"]) == ((429, "telemetry.query.busy"), "1")
    last = (PAGES - 1) * POINTS_AT_ONCE
    assert rest.splitlines()[-1].split(b",")[2] == f"{last}.0".encode()


@pytest.mark.parametrize("path", ["", "/latest", "/ledger"])
async def test_whatever_asks_the_database_takes_a_place_of_the_organisation(
    bench: ApiBench, device: Device, path: str
) -> None:
    room = QueryRoom(places=2, places_of_one=1, longest_wait_seconds=0.05)
    bench.container.telemetry.query_room.override(providers.Object(room))
    async with room.place(bench.ours.id):
        for wanted in (CSV, {}):
            busy = await bench.get(f"{path_of(device)}{path}", headers=wanted)
            assert busy.refusal == (429, "telemetry.query.busy")

    assert (
        await bench.get(f"{path_of(device)}{path}", query_string={"limit": 1} if not path else None)
    ).status == 200


async def hold(room: QueryRoom, bench: ApiBench, *, seconds: float) -> None:
    """Have the organisation's place for longer than a page waits for one."""
    while True:
        try:
            async with room.place(bench.ours.id):
                await asyncio.sleep(seconds)
                return
        except errors.QueryBusyError:
            pass
