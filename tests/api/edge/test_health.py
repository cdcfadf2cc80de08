from dependency_injector import providers

from iotsphere.kernel.errors import UnavailableError
from tests.api.bench import ApiBench


class Up:
    async def probe(self) -> str:
        return "postgresql 17.6"

    async def find_remark(self) -> str | None:
        return None


class Rebuilding(Up):
    async def find_remark(self) -> str | None:
        return "It is being rebuilt."


class Down:
    async def probe(self) -> str:
        raise UnavailableError("shadow", "The shadow store does not answer. Try again shortly.")


async def test_a_process_lives_whatever_its_stores_do(bench: ApiBench) -> None:
    bench.close_registry()

    live = await bench.call("GET", "/health/live", by=None)

    assert (live.status, live.json) == (200, {"status": "live"})


async def test_it_is_ready_when_every_store_answers(bench: ApiBench) -> None:
    bench.container.stores.probes.override(providers.Dict(registry=providers.Factory(Up)))

    ready = await bench.call("GET", "/health/ready", by=None)

    assert (ready.status, ready.json["status"]) == (200, "ready")
    registry = ready.json["stores"]["registry"]
    assert registry.pop("latency_ms") >= 0
    assert registry == {"status": "up", "engine": "postgresql 17.6", "detail": None}


async def test_a_store_of_which_more_is_to_be_known_is_ready_all_the_same(bench: ApiBench) -> None:
    bench.container.stores.probes.override(providers.Dict(shadow=providers.Factory(Rebuilding)))

    ready = await bench.call("GET", "/health/ready", by=None)

    assert (ready.status, ready.json["stores"]["shadow"]["detail"]) == (200, "It is being rebuilt.")


async def test_it_says_which_store_does_not_answer(bench: ApiBench) -> None:
    bench.container.stores.probes.override(
        providers.Dict(registry=providers.Factory(Up), shadow=providers.Factory(Down))
    )

    unready = await bench.call("GET", "/health/ready", by=None)

    assert (unready.status, unready.headers["Retry-After"]) == (503, "1")
    assert unready.json["status"] == "unavailable"
    stores = unready.json["stores"]
    assert {name: store["status"] for name, store in stores.items()} == {"registry": "up", "shadow": "down"}
    assert "does not answer" in stores["shadow"]["detail"]


async def test_metrics_count_requests_by_rule_and_not_by_path(bench: ApiBench) -> None:
    device = bench.add_device()
    await bench.get(f"/devices/{device.id}")
    await bench.get("/nothing/7f3a")
    await bench.call("BREW", "/api/v1/nothing")

    metrics = (await bench.call("GET", "/metrics", by=None)).body.decode()

    assert 'route="/api/v1/devices/<uuid:device_id>",status="200"' in metrics
    assert 'route="unmatched",status="404"' in metrics
    assert str(device.id) not in metrics
    assert "7f3a" not in metrics
    assert "BREW" not in metrics
