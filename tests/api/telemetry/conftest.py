from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from dependency_injector import containers, providers
from quart import Quart, Response, g

from iotsphere.api import operation
from iotsphere.api.errors import register_error_handlers
from iotsphere.api.telemetry import endpoints
from iotsphere.kernel.actor import Actor, ActorKind, Role
from iotsphere.kernel.identifiers import DeviceId, OrganisationId
from iotsphere.registry.errors import DeviceNotFoundError
from iotsphere.telemetry.service import TelemetryService
from tests.fakes.telemetry import InMemoryTelemetryUnitOfWork, TelemetryData

NOW = datetime(2026, 11, 20, 17, 23, 5, 123456, tzinfo=UTC)
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

    telemetry: providers.Dependency[Any] = providers.Dependency()
    organisation: providers.Dependency[Any] = providers.Dependency()
    registry = providers.Container(Registry, devices=organisation)
    workflows = providers.Container(Workflows, authentication=organisation)


@dataclass
class Api:
    """The telemetry part of the API on a store in memory, with one device."""

    app: Quart
    device_id: DeviceId

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


@pytest.fixture
def api() -> Iterator[Api]:
    organisation = OneOrganisation()
    service = TelemetryService(unit_of_work=partial(InMemoryTelemetryUnitOfWork, TelemetryData()), clock=lambda: NOW)
    app = Quart("telemetry")
    register_error_handlers(app)
    app.register_blueprint(endpoints.blueprint, url_prefix="/api/v1")

    @app.before_request
    async def begin() -> None:
        g.correlation_id = "test"

    container = Doors(telemetry=service, organisation=organisation)
    container.wire(modules=[operation, endpoints])
    yield Api(app, organisation.device_id)
    container.unwire()
