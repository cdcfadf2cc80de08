from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from quart import Quart, Response

from iotsphere.api.telemetry import endpoints
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.service import TelemetryService
from tests.factories.latest import build_latest
from tests.fakes.doors import OneOrganisation, application_of
from tests.fakes.latest import InMemoryLatestStore
from tests.fakes.telemetry import InMemoryTelemetryUnitOfWork, TelemetryData

NOW = datetime(2026, 11, 20, 17, 23, 5, 123456, tzinfo=UTC)


@dataclass
class Api:
    """The telemetry part of the API on a store in memory, with one device."""

    app: Quart
    device_id: DeviceId
    data: TelemetryData

    async def call(self, method: str, path: str = "", *, by: str | None = "operator", **options: Any) -> Response:
        key = {"Authorization": f"Bearer {by}"} if by else {"X-API-Key": str(self.device_id)}
        answer: Response = await self.app.test_client().open(
            f"/api/v1/devices/{options.pop('device_id', self.device_id)}/telemetry{path}",
            method=method,
            headers=key | options.pop("headers", {}),
            **options,
        )
        return answer

    async def get(self, path: str = "", **query: Any) -> Any:
        """Read what must be readable."""
        answer = await self.call("GET", path, by="viewer", query_string=query)
        assert answer.status_code == 200, await answer.get_data()
        return await answer.get_json()

    async def send(self, document: Any, **query: Any) -> Any:
        """Send what must be taken."""
        answer = await self.call("POST", by=None, json=document, query_string=query)
        assert answer.status_code == 201, await answer.get_data()
        return await answer.get_json()

    async def refusal(self, method: str, path: str = "", *, status: int, **options: Any) -> Any:
        """Do what must be refused, and give the problem."""
        answer = await self.call(method, path, **options)
        problem = await answer.get_json()
        assert answer.status_code == status, problem
        assert answer.content_type == "application/problem+json"
        assert {"type", "title", "status", "detail", "code", "correlation_id"} <= problem.keys()
        return problem


class SomeUnits:
    async def find_units(self, *, device_id: DeviceId) -> dict[str, str]:
        return {"flow": "l/min", "power": "kW"}


@pytest.fixture
def api() -> Iterator[Api]:
    organisation = OneOrganisation()
    data = TelemetryData()
    unit_of_work = partial(InMemoryTelemetryUnitOfWork, data)
    latest_values, latest_intake = build_latest(unit_of_work, InMemoryLatestStore())
    services = {
        "telemetry.readings": TelemetryService(unit_of_work=latest_intake, clock=lambda: NOW),
        "telemetry.latest_values": latest_values,
        "workflows.metric_units": SomeUnits(),
    }
    with application_of(endpoints, callers=organisation, devices=organisation, services=services) as app:
        yield Api(app, organisation.device_id, data)
