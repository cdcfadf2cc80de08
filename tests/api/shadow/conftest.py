from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from dependency_injector import containers, providers
from quart import Quart, Response, g

from iotsphere.api import operation
from iotsphere.api.errors import register_error_handlers
from iotsphere.api.shadow import endpoints
from iotsphere.kernel.actor import Actor, ActorKind, Role
from iotsphere.kernel.identifiers import DeviceId, OrganisationId
from iotsphere.registry.errors import DeviceNotFoundError
from iotsphere.shadow.service import DeviceShadowService
from tests.fakes.shadow import InMemoryShadowRepository

NOW = datetime(2026, 11, 20, 17, 23, tzinfo=UTC)
ORGANISATION = OrganisationId(uuid4())


class OneOrganisation:
    """Knows a user by a token that is the name of a role, and a device by a key that is its id."""

    def __init__(self) -> None:
        self.device_id = DeviceId(uuid4())

    async def authenticate_user(self, *, access_token: str) -> Actor:
        return Actor(ActorKind.USER, uuid4(), ORGANISATION, role=Role[access_token.upper()])

    async def authenticate_device(self, *, api_key: str) -> Actor:
        return Actor(ActorKind.DEVICE, uuid4(), ORGANISATION, device_id=DeviceId(UUID(api_key)))

    async def get_device(self, *, organisation_id: OrganisationId, device_id: DeviceId) -> DeviceId:
        if device_id != self.device_id:
            raise DeviceNotFoundError
        return device_id


class Registry(containers.DeclarativeContainer):
    devices: providers.Dependency[Any] = providers.Dependency()


class Workflows(containers.DeclarativeContainer):
    authentication: providers.Dependency[Any] = providers.Dependency()


class Doors(containers.DeclarativeContainer):
    """What the endpoints ask for, by the names that the application's container gives it."""

    shadow: providers.Dependency[Any] = providers.Dependency()
    organisation: providers.Dependency[Any] = providers.Dependency()
    registry = providers.Container(Registry, devices=organisation)
    workflows = providers.Container(Workflows, authentication=organisation)


@dataclass
class Api:
    """The shadow part of the API, on a store in memory, with one device."""

    app: Quart
    device_id: DeviceId

    async def call(
        self, method: str, path: str, *, by: str = "operator", at: DeviceId | None = None, **options: Any
    ) -> Response:
        """Call a path below the device, or below another, as a role or as ``device``."""
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
    app = Quart("shadow")
    register_error_handlers(app)
    app.register_blueprint(endpoints.blueprint, url_prefix="/api/v1")

    @app.before_request
    async def begin() -> None:
        g.correlation_id = "test"

    shadows = DeviceShadowService(shadows=InMemoryShadowRepository(), clock=lambda: NOW)
    container = Doors(shadow=shadows, organisation=organisation)
    container.wire(modules=[operation, endpoints])
    yield Api(app, organisation.device_id)
    container.unwire()


@pytest.fixture(params=["shadow", "shadows/config"], ids=["unnamed", "named"])
def path(request: pytest.FixtureRequest) -> str:
    return str(request.param)
