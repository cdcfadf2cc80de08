"""One store fails at a time, in both ways in which a server fails: gone, and there without answering."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.faults.deployment import Deployment
from tests.faults.proxy import FaultProxy
from tests.faults.site import Site, eventually, open_site, status_of_readiness

LONGEST_SECONDS = 3.0
STORES = ["registry", "assets", "telemetry", "shadow"]


@pytest_asyncio.fixture(scope="module")
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
    if store == "registry":
        # Whom a process has let in a moment ago it knows until its lease is over (ADR 0014, 0025).
        async def is_refused() -> bool:
            return (await site.calls["assets"]()).status_code == 503

        await eventually(is_refused, within=2)

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

    await deployment.proxies["telemetry"].heal()
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
