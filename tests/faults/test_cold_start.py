import httpx

from tests.faults.deployment import Deployment
from tests.faults.site import START_SECONDS, eventually, open_site, status_of_readiness

STORES = ["registry", "assets", "telemetry", "shadow"]


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

        await eventually(is_unready, within=START_SECONDS)
        assert await status_of_readiness(http) == dict.fromkeys(STORES, "down")

        for proxy in deployment.proxies.values():
            await proxy.heal()

        site = await open_site(http)
        assert (await site.calls["shadow"]()).status_code == 200

        async def is_carried() -> bool:
            """What the worker does, which starts beside and may take longer."""
            answer = await http.get(site.history, headers=site.headers)
            return answer.status_code == 200 and bool(answer.json()["items"])

        await eventually(is_carried, within=START_SECONDS)
        await http.aclose()
