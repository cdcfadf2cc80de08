"""A key that one process revokes while another is cut off from the registry and remembers the key."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import httpx
import pytest_asyncio

from features.support.running import free_port
from tests.faults.deployment import Deployment
from tests.faults.site import eventually, open_site

# What is promised of a revoked key, on every process.
BOUND_SECONDS = 1.0
REFUSED = {401, 503}


@dataclass(frozen=True)
class Pair:
    """A process whose registry can be frozen, another that reaches the registry all the while, and a device."""

    here: httpx.AsyncClient
    there: httpx.AsyncClient
    headers: dict[str, str]
    device: str

    async def issue(self) -> tuple[str, str]:
        """Issue a key; give the path of its credential with it."""
        path = f"{self.device}/credentials"
        issued = (await self.there.post(path, headers=self.headers, json={})).json()
        return f"{path}/{issued['id']}", issued["api_key"]

    async def show(self, api_key: str) -> int:
        return (await self.here.get("/api/v1/me", headers={"X-API-Key": api_key})).status_code


@pytest_asyncio.fixture
async def pair(deployment: Deployment, registry_dsn: str) -> AsyncIterator[Pair]:
    elsewhere = Deployment(replace(deployment.settings, registry_dsn=registry_dsn, port=free_port()), {})
    with deployment.running("serve") as here, elsewhere.running("serve") as there:
        async with here, there:
            await open_site(here)
            site = await open_site(there)
            yield Pair(here, there, site.headers, (await site.register()).headers["Location"])
            await deployment.proxies["registry"].heal()


async def test_a_process_before_a_frozen_registry_soon_refuses_what_another_has_revoked(
    deployment: Deployment, pair: Pair
) -> None:
    registry = deployment.proxies["registry"]
    credential, api_key = await pair.issue()
    _, other_key = await pair.issue()

    async def is_warm_before_a_frozen_registry() -> bool:
        await registry.heal()
        if await pair.show(api_key) != 200:
            return False
        registry.freeze()
        return await pair.show(api_key) == 200

    await eventually(is_warm_before_a_frozen_registry, within=20)
    revoked = await pair.there.delete(credential, headers=pair.headers)
    assert revoked.status_code == 204, revoked.text

    began = time.monotonic()
    statuses = []
    while (asked_after := time.monotonic() - began) < 3 * BOUND_SECONDS:
        statuses.append(await pair.show(api_key))
        assert statuses[-1] in REFUSED or asked_after < BOUND_SECONDS, statuses
    first_refusal = next(index for index, status in enumerate(statuses) if status in REFUSED)
    assert set(statuses[first_refusal:]) <= REFUSED

    await registry.heal()

    async def is_recognised_as_revoked() -> bool:
        status = await pair.show(api_key)
        assert status in REFUSED
        return status == 401

    async def lets_the_other_in() -> bool:
        return await pair.show(other_key) == 200

    await eventually(is_recognised_as_revoked, within=10)
    await eventually(lets_the_other_in, within=10)
    assert await pair.show(api_key) == 401
