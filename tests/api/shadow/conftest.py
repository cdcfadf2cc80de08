from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from quart import Quart, Response

from iotsphere.api.shadow import endpoints
from iotsphere.kernel.identifiers import DeviceId
from tests.fakes.doors import OneOrganisation, application_of
from tests.fakes.shadow_process import ShadowProcess

NOW = datetime(2026, 11, 20, 17, 23, tzinfo=UTC)


@dataclass
class Api:
    """The shadow part of the API, on a store and a journal in memory, with one device."""

    app: Quart
    device_id: DeviceId
    process: ShadowProcess

    async def call(
        self, method: str, path: str, *, by: str = "operator", at: DeviceId | None = None, **options: Any
    ) -> Response:
        """Call a path below the device, or below another, as a role or as ``device``."""
        await self.process.journal_all()
        key = {"X-API-Key": str(self.device_id)}
        headers = key if by == "device" else {"Authorization": f"Bearer {by}"}
        options["headers"] = headers | options.get("headers", {})
        url = f"/api/v1/devices/{at or self.device_id}/{path}"
        answer: Response = await self.app.test_client().open(url, method=method, **options)
        return answer

    async def patch(self, path: str, body: Any, **options: Any) -> Response:
        return await self.call("PATCH", path, json=body, **options)

    async def get(self, path: str, **options: Any) -> Any:
        """Read something that has to be there."""
        answer = await self.call("GET", path, by="viewer", **options)
        assert answer.status_code == 200, await answer.get_data()
        return await answer.get_json()


@pytest.fixture
def api() -> Iterator[Api]:
    organisation = OneOrganisation()
    process = ShadowProcess(lambda: NOW)
    services = {"shadow.shadows": process.service, "shadow.history": process.history}
    with application_of(endpoints, callers=organisation, devices=organisation, services=services) as app:
        yield Api(app, organisation.device_id, process)


@pytest.fixture(params=["shadow", "shadows/config"], ids=["unnamed", "named"])
def path(request: pytest.FixtureRequest) -> str:
    return str(request.param)
