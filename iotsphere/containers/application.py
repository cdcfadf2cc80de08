"""The composition root: every service with what it needs. Doors ask for them by name (``registry.devices``)."""

from uuid import uuid4

from dependency_injector import containers, providers

from iotsphere.config import Settings
from iotsphere.containers.assets import Assets
from iotsphere.containers.audit import Audit
from iotsphere.containers.identity import Identity
from iotsphere.containers.registry import Registry
from iotsphere.containers.shadow import Shadows
from iotsphere.containers.stores import Stores
from iotsphere.containers.telemetry import Telemetry
from iotsphere.containers.workflows import Workflows
from iotsphere.kernel.clock import utc_now
from iotsphere.throttling.service import Throttle
from iotsphere.workflows.device_kinds import DeviceKinds
from iotsphere.workflows.shadow_rules import DeviceTypeRules

DOORS = [
    "iotsphere.api.idempotency",
    "iotsphere.api.admission",
    "iotsphere.api.assets.asset_bulk",
    "iotsphere.api.assets.aggregate",
    "iotsphere.api.assets.device_types",
    "iotsphere.api.assets.endpoints",
    "iotsphere.api.assets.maintenance",
    "iotsphere.api.assets.maintenance_bulk",
    "iotsphere.api.assets.relationships",
    "iotsphere.api.assets.search",
    "iotsphere.api.assets.tree",
    "iotsphere.api.audit.endpoints",
    "iotsphere.api.recording",
    "iotsphere.api.health.endpoints",
    "iotsphere.api.identity.endpoints",
    "iotsphere.api.registry.bulk",
    "iotsphere.api.registry.endpoints",
    "iotsphere.api.registry.provisioning",
    "iotsphere.api.registry.schemas",
    "iotsphere.api.shadow.endpoints",
    "iotsphere.api.telemetry.endpoints",
    "iotsphere.api.telemetry.retention",
    "iotsphere.api.telemetry.stream",
    "iotsphere.api.telemetry.fleet",
    "iotsphere.web.endpoints",
]


class Application(containers.DeclarativeContainer):
    settings = providers.Dependency(instance_of=Settings)
    clock = providers.Object(utc_now)
    new_id = providers.Object(uuid4)

    stores = providers.Container(Stores, settings=settings)
    identity = providers.Container(Identity, settings=settings, stores=stores, clock=clock, new_id=new_id)
    registry = providers.Container(Registry, stores=stores, clock=clock, new_id=new_id)
    audit = providers.Container(Audit, settings=settings, stores=stores, clock=clock)
    assets = providers.Container(Assets, stores=stores, clock=clock, new_id=new_id)
    # What telemetry and shadow have to know of registry and assets, of which they know nothing.
    device_kinds = providers.Singleton(DeviceKinds, devices=registry.devices)
    shadow_rules = providers.Singleton(DeviceTypeRules, kinds=device_kinds, types=assets.known_types)
    telemetry = providers.Container(Telemetry, settings=settings, stores=stores, clock=clock, kinds=device_kinds)
    shadow = providers.Container(Shadows, stores=stores, clock=clock, rules=shadow_rules)
    throttle = providers.Singleton(Throttle, store=stores.throttle, limits=settings.provided.request_limits)
    workflows = providers.Container(
        Workflows,
        stores=stores,
        identity=identity,
        registry=registry,
        audit=audit,
        assets=assets,
        telemetry=telemetry,
        shadow=shadow,
        kinds=device_kinds,
        throttle=throttle,
        clock=clock,
    )


def create_container(settings: Settings) -> Application:
    """Make the services of one process; each comes into being when it is first asked for."""
    return Application(settings=settings)


def wire_doors(container: Application) -> None:
    """Let the HTTP endpoints find their services. Other processes need not load them.

    A wrong marker is a warning here, and an error in the tests, rather than an object of the wrong kind in the middle
    of a request.
    """
    container.wire(modules=DOORS, warn_unresolved=True)
