"""What the page that shows the API offers to try out is taken as it stands."""

from functools import partial
from typing import Any
from uuid import UUID

import pytest

from iotsphere.kernel.identifiers import DeviceId
from tests.api.bench import ApiBench
from tests.api.bench import bench as bench  # noqa: PLC0414  # pytest finds fixtures by the names in here
from tests.api.bench import wired as wired  # noqa: PLC0414
from tests.fakes.telemetry import InMemoryTelemetryUnitOfWork, TelemetryData


@pytest.fixture(autouse=True)
def _store(bench: ApiBench) -> None:
    bench.keep_telemetry(partial(InMemoryTelemetryUnitOfWork, TelemetryData()))


async def example(bench: ApiBench, path: str, media_type: str = "application/json") -> Any:
    document = (await bench.get("/openapi.json", by=None)).json
    return document["paths"][f"/api/v1{path}"]["post"]["requestBody"]["content"][media_type]["example"]


async def test_readings_of_a_device(bench: ApiBench) -> None:
    shown = await example(bench, "/devices/{device_id}/telemetry")

    answer = await bench.post(f"/devices/{bench.add_device().id}/telemetry", shown)

    assert answer.status == 201
    assert (answer.json["stored"], answer.json["rejected"]) == (4, 0)


async def test_lines_of_a_gateway_once_the_device_is_there(bench: ApiBench) -> None:
    shown = await example(bench, "/telemetry", "application/x-ndjson")
    bench.add_device(id=DeviceId(UUID("9a1c50e2-53d4-4a0e-9a5b-70d7d0a0ad5b")))

    answer = await bench.send("/telemetry", shown.encode(), headers={"Content-Type": "application/x-ndjson"})

    assert answer.status == 201
    assert (answer.json["lines"], answer.json["stored"]) == (1, 2)


async def test_a_question_about_many_devices(bench: ApiBench) -> None:
    shown = await example(bench, "/telemetry/query")

    assert (await bench.post("/telemetry/query", shown)).status == 200
