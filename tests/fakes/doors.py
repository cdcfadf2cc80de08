"""The edge around one context: callers that are known by their tokens, and an application of its endpoints alone."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial, reduce
from types import ModuleType
from typing import Any
from uuid import UUID, uuid4

from dependency_injector import containers, providers
from quart import Quart, g

from iotsphere.api import admission, recording
from iotsphere.api.errors import register_error_handlers
from iotsphere.audit.allowance import RefusalAllowance
from iotsphere.audit.service import AuditService
from iotsphere.kernel.actor import Actor, ActorKind, Role
from iotsphere.kernel.audit import Attempt
from iotsphere.kernel.clock import utc_now
from iotsphere.kernel.identifiers import DeviceId, OrganisationId
from iotsphere.registry.errors import DeviceNotFoundError
from iotsphere.throttling.model import RequestLimits
from iotsphere.throttling.process import ProcessThrottleStore
from iotsphere.throttling.service import Throttle
from tests.fakes.registry import InMemoryRegistryUnitOfWork, RegistryTables

ORGANISATION = OrganisationId(uuid4())


class OneOrganisation:
    """Knows a user by a token that is the name of a role, and a device by a key that is its id."""

    def __init__(self) -> None:
        self.device_id = DeviceId(uuid4())

    async def authenticate_user(self, *, access_token: str) -> Actor:
        return Actor(ActorKind.USER, uuid4(), ORGANISATION, role=Role[access_token.upper()])

    async def authenticate_key(self, *, api_key: str, attempt: Attempt) -> Actor:
        return Actor(ActorKind.DEVICE, uuid4(), ORGANISATION, device_id=DeviceId(UUID(api_key)))

    async def check_device(self, *, organisation_id: OrganisationId, device_id: DeviceId) -> None:
        if device_id != self.device_id:
            raise DeviceNotFoundError


class Registry(containers.DeclarativeContainer):
    devices: providers.Dependency[Any] = providers.Dependency()
    ownership: providers.Dependency[Any] = providers.Dependency()


class Audit(containers.DeclarativeContainer):
    trail: providers.Dependency[Any] = providers.Dependency()


class Assets(containers.DeclarativeContainer):
    assets: providers.Dependency[Any] = providers.Dependency()
    history: providers.Dependency[Any] = providers.Dependency()
    search: providers.Dependency[Any] = providers.Dependency()
    relationships: providers.Dependency[Any] = providers.Dependency()
    aggregates: providers.Dependency[Any] = providers.Dependency()
    device_types: providers.Dependency[Any] = providers.Dependency()


class Shadows(containers.DeclarativeContainer):
    shadows: providers.Dependency[Any] = providers.Dependency()
    history: providers.Dependency[Any] = providers.Dependency()


class Telemetry(containers.DeclarativeContainer):
    readings: providers.Dependency[Any] = providers.Dependency()
    latest_values: providers.Dependency[Any] = providers.Dependency()


class Workflows(containers.DeclarativeContainer):
    authentication: providers.Dependency[Any] = providers.Dependency()
    description: providers.Dependency[Any] = providers.Dependency()
    metric_units: providers.Dependency[Any] = providers.Dependency()
    fleet_queries: providers.Dependency[Any] = providers.Dependency()


class Doors(containers.DeclarativeContainer):
    """What the endpoints ask for, by the names that the application's container gives it."""

    throttle = providers.Singleton(Throttle, store=ProcessThrottleStore(), limits=RequestLimits())
    registry = providers.Container(Registry)
    audit = providers.Container(Audit)
    assets = providers.Container(Assets)
    telemetry = providers.Container(Telemetry)
    shadow = providers.Container(Shadows)
    workflows = providers.Container(Workflows)


@contextmanager
def application_of(
    *endpoints: ModuleType, callers: Any, devices: Any, services: Mapping[str, Any]
) -> Iterator[Quart]:
    """Give an application of some endpoints, which find these services by their names.

    ``callers`` authenticates as the application's workflow does, and ``devices`` is asked whether a device is there.
    """
    app = Quart(__name__)
    register_error_handlers(app)
    for module in endpoints:
        app.register_blueprint(module.blueprint, url_prefix="/api/v1")

    @app.before_request
    async def begin() -> None:
        g.correlation_id = "test"

    trail = AuditService(
        unit_of_work=partial(InMemoryRegistryUnitOfWork, RegistryTables()),
        clock=utc_now,
        allowance=RefusalAllowance(monotonic=time.monotonic),
    )
    needed = {
        "audit.trail": trail,
        "registry.devices": devices,
        "registry.ownership": devices,
        "workflows.authentication": callers,
    }
    container = Doors()
    for name, service in {**needed, **services}.items():
        place: Any = reduce(getattr, name.split("."), container)
        place.override(providers.Object(service))
    container.wire(modules=[admission, recording, *endpoints])
    yield app
    container.unwire()
