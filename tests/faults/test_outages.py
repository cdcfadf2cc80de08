"""One store fails at a time, in both ways in which a server fails: gone, and there without answering."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from tests.faults.conftest import EMAIL, PASSWORD, Deployment
from tests.faults.proxy import FaultProxy

LONGEST_SECONDS = 3.0
STORES = ["registry", "assets", "telemetry", "shadow"]
Call = Callable[[], Awaitable[httpx.Response]]


async def eventually(check: Callable[[], Awaitable[bool]], *, within: float) -> None:
    deadline = time.monotonic() + within
    while not await check():
        assert time.monotonic() < deadline, f"not within {within} s"
        await asyncio.sleep(0.05)


async def status_of_readiness(http: httpx.AsyncClient) -> dict[str, str]:
    stores = (await http.get("/health/ready")).json()["stores"]
    return {store: condition["status"] for store, condition in stores.items()}


class Site:
    """A device on the running application, and a call for each store that needs that store (and the registry)."""

    def __init__(self, http: httpx.AsyncClient, *, token: str, device: str) -> None:
        self.http = http
        headers = {"Authorization": f"Bearer {token}"}
        path = f"/api/v1/devices/{device}"
        reading = {"values": {"temperature": 20}}
        self.calls: dict[str, Call] = {
            "registry": lambda: http.get(path, headers=headers),
            "assets": lambda: http.get(f"{path}/asset", headers=headers),
            "telemetry": lambda: http.post(f"{path}/telemetry", headers=headers, json=reading),
            "shadow": lambda: http.patch(
                f"{path}/shadow", headers=headers, json={"state": {"reported": {"on": True}}}
            ),
        }
        self.register = lambda: http.post(
            "/api/v1/devices", headers=headers, json={"serial_number": uuid4().hex, "device_type": "pump"}
        )
        self.headers = headers


async def open_site(http: httpx.AsyncClient) -> Site:
    async def is_ready() -> bool:
        try:
            return (await http.get("/health/ready")).status_code == 200
        except httpx.TransportError:
            return False

    await eventually(is_ready, within=30)
    answer = await http.post("/api/v1/auth/token", json={"email": EMAIL, "password": PASSWORD})
    token = answer.json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    body = {"serial_number": uuid4().hex, "device_type": "pump"}
    device = (await http.post("/api/v1/devices", headers=headers, json=body)).json()
    return Site(http, token=token, device=device["id"])


@pytest_asyncio.fixture
async def site(deployment: Deployment) -> AsyncIterator[Site]:
    with deployment.running() as http:
        yield await open_site(http)
        await http.aclose()


async def break_down(proxy: FaultProxy, *, how: str) -> None:
    if how == "gone":
        await proxy.refuse()
    else:
        proxy.freeze()


@pytest.mark.parametrize("how", ["gone", "frozen"])
@pytest.mark.parametrize("store", STORES)
async def test_a_store_fails_alone_and_comes_back_by_itself(
    site: Site, deployment: Deployment, store: str, how: str
) -> None:
    assert [(await call()).status_code for call in site.calls.values()] == [200, 200, 201, 200]
    await break_down(deployment.proxies[store], how=how)

    for needed, call in site.calls.items():
        began = time.monotonic()
        answer = await call()
        assert time.monotonic() - began < LONGEST_SECONDS
        if store in {needed, "registry"}:
            assert answer.status_code == 503, answer.text
            assert answer.json()["code"] == f"{store}.store.unavailable"
            assert answer.headers["Retry-After"]
        else:
            assert answer.status_code < 300, answer.text

    conditions = await status_of_readiness(site.http)
    assert conditions == {name: "down" if name == store else "up" for name in STORES}
    assert (await site.http.get("/health/live")).status_code == 200

    await deployment.proxies[store].heal()

    async def works_again() -> bool:
        return [(await call()).status_code for call in site.calls.values()] == [200, 200, 201, 200]

    await eventually(works_again, within=10)
    assert await status_of_readiness(site.http) == dict.fromkeys(STORES, "up")


async def test_many_requests_at_once_all_end_in_time_on_a_frozen_store(site: Site, deployment: Deployment) -> None:
    deployment.proxies["telemetry"].freeze()

    async def timed() -> tuple[int, float]:
        began = time.monotonic()
        answer = await site.calls["telemetry"]()
        return answer.status_code, time.monotonic() - began

    answers = await asyncio.gather(*(timed() for _ in range(60)))

    assert {status for status, _ in answers} == {503}
    assert max(seconds for _, seconds in answers) < LONGEST_SECONDS


@pytest.mark.parametrize("how", ["gone", "frozen"])
async def test_a_device_is_registered_while_the_asset_store_is_down(
    site: Site, deployment: Deployment, how: str
) -> None:
    await break_down(deployment.proxies["assets"], how=how)

    answer = await site.register()
    assert answer.status_code == 201, answer.text
    path = f"{answer.headers['Location']}/asset"
    assert (await site.http.get(path, headers=site.headers)).status_code == 503

    await deployment.proxies["assets"].heal()

    async def has_asset() -> bool:
        return (await site.http.get(path, headers=site.headers)).status_code == 200

    await eventually(has_asset, within=5)


async def test_the_application_starts_with_every_store_down_and_becomes_ready_by_itself(
    deployment: Deployment,
) -> None:
    for proxy in deployment.proxies.values():
        await proxy.refuse()
    with deployment.running() as http:

        async def is_unready() -> bool:
            try:
                return (await http.get("/health/ready")).status_code == 503
            except httpx.TransportError:
                return False

        await eventually(is_unready, within=30)
        assert await status_of_readiness(http) == dict.fromkeys(STORES, "down")

        for proxy in deployment.proxies.values():
            await proxy.heal()

        site = await open_site(http)
        assert (await site.calls["shadow"]()).status_code == 200
        await http.aclose()
