"""The telemetry database stops answering: whatever is asked of it ends in time, says so, and works again later."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from itertools import count
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.faults.deployment import Deployment
from tests.faults.proxy import FaultProxy
from tests.faults.site import Site, eventually, open_site

LONGEST_SECONDS = 3.0
FIRST = 1_700_000_000_000
NDJSON = {"Content-Type": "application/x-ndjson"}
CSV = {"Accept": "text/csv"}
ARROW = {"Accept": "application/vnd.apache.arrow.stream"}
NOTHING: Mapping[str, str] = {}
FIGURES: Mapping[str, Any] = {"interval": "1h", "aggregates": "avg,p95"}


class Caller:
    """Asks for the telemetry of one device; every reading that it sends is another."""

    def __init__(self, site: Site, device_id: str) -> None:
        self.device_id = device_id
        self._site = site
        self._times = count(FIRST)

    async def ask(self, method: str, path: str, headers: Mapping[str, str] = NOTHING, **what: Any) -> httpx.Response:
        return await self._site.http.request(method, self.url(path), headers=self.headers(headers), **what)

    async def get(self, path: str, headers: Mapping[str, str] = NOTHING, **query: Any) -> httpx.Response:
        return await self.ask("GET", path, headers, params=query)

    async def count_stored(self) -> int:
        entries = (await self.get("DEVICE/ledger")).json()["items"]
        return sum(entry["stored"] for entry in entries)

    def stream(self, method: str, path: str, headers: Mapping[str, str] = NOTHING, **what: Any) -> Any:
        return self._site.http.stream(method, self.url(path), headers=self.headers(headers), **what)

    def url(self, path: str) -> str:
        return f"/api/v1{path}".replace("DEVICE", f"/devices/{self.device_id}/telemetry")

    def headers(self, more: Mapping[str, str]) -> dict[str, str]:
        return {**self._site.headers, **more}

    def readings(self, amount: int) -> list[dict[str, Any]]:
        return [{"ts": next(self._times), "values": {"a": number, "b": "x"}} for number in range(amount)]

    def lines(self, amount: int) -> bytes:
        return b"".join(
            json.dumps({"device_id": self.device_id, **reading}).encode() + b"\n" for reading in self.readings(amount)
        )


def question(caller: Caller) -> dict[str, Any]:
    return {"devices": [caller.device_id], "metrics": ["a"], "start": FIRST, "end": FIRST + 10**9, "interval": "1d"}


Call = Callable[[Caller], Awaitable[httpx.Response]]
CALLS: dict[str, Call] = {
    "a reading": lambda caller: caller.ask("POST", "DEVICE", json=caller.readings(1)[0]),
    "a batch": lambda caller: caller.ask("POST", "DEVICE", json=caller.readings(500)),
    "a correction": lambda caller: caller.ask("POST", "DEVICE?on_conflict=replace", json=caller.readings(10)),
    "a stream": lambda caller: caller.ask("POST", "/telemetry", NDJSON, content=caller.lines(2_000)),
    "points": lambda caller: caller.get("DEVICE"),
    "figures": lambda caller: caller.get("DEVICE", **FIGURES),
    "a curve": lambda caller: caller.get("DEVICE", max_points=100),
    "a table": lambda caller: caller.get("DEVICE", CSV),
    "a table of figures": lambda caller: caller.get("DEVICE", ARROW, **FIGURES),
    "a table of the latest values": lambda caller: caller.get("DEVICE/latest", CSV),
    "the ledger": lambda caller: caller.get("DEVICE/ledger"),
    "figures of a fleet": lambda caller: caller.ask("POST", "/telemetry/query", json=question(caller)),
    "a deletion": lambda caller: caller.ask("DELETE", "DEVICE", params={"end": "2001-01-01T00:00:00Z"}),
}


@pytest_asyncio.fixture(scope="module")
async def caller(deployment: Deployment) -> AsyncIterator[Caller]:
    with deployment.running("serve") as http:
        site = await open_site(http)
        yield Caller(site, (await site.register()).json()["id"])
        await http.aclose()


@pytest_asyncio.fixture
async def store(caller: Caller, deployment: Deployment) -> AsyncIterator[FaultProxy]:
    """The way to the telemetry database, which is well before the test, and again afterwards."""
    proxy = deployment.proxies["telemetry"]

    async def is_well() -> bool:
        return (await CALLS["a reading"](caller)).status_code == 201

    await eventually(is_well, within=10)
    yield proxy
    await proxy.heal()
    await eventually(is_well, within=10)


def assert_says_so(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.json()["code"] == "telemetry.store.unavailable"
    assert answer.headers["Retry-After"]


@pytest.mark.parametrize("kind", CALLS)
async def test_whoever_is_the_first_to_find_it_frozen_is_told_in_time(
    caller: Caller, store: FaultProxy, kind: str
) -> None:
    assert (await CALLS[kind](caller)).status_code in {200, 201}
    store.freeze()

    began = time.monotonic()
    answer = await CALLS[kind](caller)

    assert time.monotonic() - began < LONGEST_SECONDS
    assert_says_so(answer)


async def test_latest_values_are_told_from_memory_for_a_moment_and_then_no_more(
    caller: Caller, store: FaultProxy
) -> None:
    assert (await caller.get("DEVICE/latest")).status_code == 200
    store.freeze()

    async def is_refused() -> bool:
        began = time.monotonic()
        answer = await caller.get("DEVICE/latest")
        assert time.monotonic() - began < LONGEST_SECONDS
        if answer.status_code == 200:
            return False
        assert_says_so(answer)
        return True

    await eventually(is_refused, within=2 * LONGEST_SECONDS)


async def test_all_who_find_it_frozen_at_once_are_told_in_time(caller: Caller, store: FaultProxy) -> None:
    store.freeze()

    began = time.monotonic()
    answers = await asyncio.gather(*(call(caller) for call in CALLS.values()))

    assert time.monotonic() - began < LONGEST_SECONDS
    for answer in answers:
        assert_says_so(answer)


async def test_a_table_that_is_under_way_breaks_off_in_time(caller: Caller, store: FaultProxy) -> None:
    for _ in range(40):
        assert (await CALLS["a batch"](caller)).status_code == 201

    async with caller.stream("GET", "DEVICE", CSV) as answer:
        pieces = answer.aiter_bytes()
        assert await anext(pieces)
        store.freeze()
        began = time.monotonic()
        with pytest.raises(httpx.RemoteProtocolError):
            async for _ in pieces:
                pass

    assert time.monotonic() - began < LONGEST_SECONDS


async def test_a_stream_that_is_under_way_is_told_how_far_it_went(caller: Caller, store: FaultProxy) -> None:
    """It may have been a second until what had come before was to be stored."""
    lines = caller.lines(100)
    stored = await caller.count_stored()
    frozen_at = 0.0

    async def is_stored() -> bool:
        return await caller.count_stored() == stored + 2_000

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal frozen_at
        yield caller.lines(1_000)
        await eventually(is_stored, within=30)
        store.freeze()
        frozen_at = time.monotonic()
        while time.monotonic() < frozen_at + LONGEST_SECONDS:
            yield lines
            await asyncio.sleep(0.01)

    answer = await caller.ask("POST", "/telemetry", NDJSON, content=pieces())

    assert time.monotonic() - frozen_at < LONGEST_SECONDS + 1
    assert_says_so(answer)
    report = answer.json()
    assert (report["lines"], report["stored"]) == (1_000, 2_000)
