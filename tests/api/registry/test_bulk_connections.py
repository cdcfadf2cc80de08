"""Files of devices over a real connection: what the test client cannot show."""

import httpx
import pytest
from dependency_injector import providers

from tests.api.bench import ApiBench
from tests.api.edge.test_connections import connect
from tests.api.edge.test_connections import port as port  # noqa: PLC0414  # pytest finds fixtures by the names in here
from tests.api.registry.test_bulk_endpoints import NDJSON, RegistryOfFewPages, lines, pump


async def ask(bench: ApiBench, port: int) -> httpx.AsyncClient:
    _, writer = await connect(port)
    writer.close()
    await writer.wait_closed()
    address = f"http://127.0.0.1:{port}/api/v1"
    return httpx.AsyncClient(base_url=address, headers=bench.credentials["operator"], trust_env=False, timeout=60)


async def test_a_file_is_answered_that_is_sent_whole_before_anything_is_read(bench: ApiBench, port: int) -> None:
    # As large as no connection holds on its way, in both directions.
    body = lines(*(pump(f"SN-{number}", colour="x" * 1_000) for number in range(12_000)))

    async with await ask(bench, port) as http:
        answer = await http.post("/devices/import", content=body, headers=NDJSON)
        after = await http.get("/devices")

    assert (len(body) > 10_000_000, len(answer.content) > 1_000_000) == (True, True)
    assert [
        number for number, line in enumerate(answer.text.splitlines(), 1) if f'"line":{number},' not in line
    ] == []
    assert answer.text.count("\n") == 12_000
    assert (after.status_code, bench.tables.devices) == (200, {})


async def test_an_export_that_fails_in_the_middle_shows_it_to_the_client(bench: ApiBench, port: int) -> None:
    for _ in range(501):
        bench.add_device()
    bench.container.stores.registry_unit_of_work.override(
        providers.Factory(RegistryOfFewPages, bench.tables, first=True)
    )

    async with await ask(bench, port) as http:
        async with http.stream("GET", "/devices/export") as answer:
            assert answer.status_code == 200
            with pytest.raises(httpx.RemoteProtocolError):
                await answer.aread()
        assert (await http.get("/me")).status_code == 200
