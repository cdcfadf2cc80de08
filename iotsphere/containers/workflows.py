"""What several of the others take part in."""

from dependency_injector import containers, providers

from iotsphere.identity.change_watch import ChangeWatch
from iotsphere.kernel.clock import Clock
from iotsphere.throttling.service import Throttle
from iotsphere.workflows.asset_files import AssetFileWorkflow
from iotsphere.workflows.authentication import AuthenticationWorkflow
from iotsphere.workflows.commissioning import CommissioningWorkflow
from iotsphere.workflows.description import DescriptionWorkflow
from iotsphere.workflows.device_kinds import DeviceKinds
from iotsphere.workflows.examination import ExaminationWorkflow
from iotsphere.workflows.fleet_queries import FleetQueries
from iotsphere.workflows.maintenance_log import MaintenanceLogWorkflow
from iotsphere.workflows.metric_units import MetricUnits
from iotsphere.workflows.profile import ProfileWorkflow
from iotsphere.workflows.readiness import ReadinessWorkflow
from iotsphere.workflows.shadow_upkeep import ShadowUpkeep
from iotsphere.workflows.telemetry_intake import TelemetryIntakeWorkflow
from iotsphere.workflows.upkeep import AuthenticationUpkeep


class Workflows(containers.DeclarativeContainer):
    stores = providers.DependenciesContainer()
    identity = providers.DependenciesContainer()
    registry = providers.DependenciesContainer()
    audit = providers.DependenciesContainer()
    assets = providers.DependenciesContainer()
    telemetry = providers.DependenciesContainer()
    shadow = providers.DependenciesContainer()
    kinds: providers.Dependency[DeviceKinds] = providers.Dependency()
    throttle: providers.Dependency[Throttle] = providers.Dependency()
    clock: providers.Dependency[Clock] = providers.Dependency()

    authentication = providers.Singleton(
        AuthenticationWorkflow,
        sessions=identity.sessions,
        keys=identity.keys,
        devices=registry.devices,
        contacts=registry.contacts,
        throttle=throttle,
    )
    profile = providers.Singleton(ProfileWorkflow, accounts=identity.accounts, throttle=throttle)
    change_watch = providers.Singleton(
        ChangeWatch,
        caches=providers.List(identity.key_cache, identity.session_cache, registry.device_cache),
        feed=stores.change_feed,
    )
    upkeep = providers.Singleton(AuthenticationUpkeep, watch=change_watch, contacts=registry.contacts)
    commissioning = providers.Singleton(
        CommissioningWorkflow,
        devices=registry.devices,
        provisioning=registry.provisioning,
        outbox=registry.outbox,
        assets=assets.assets,
        types=assets.known_types,
    )
    description = providers.Singleton(
        DescriptionWorkflow, devices=registry.devices, kinds=kinds, types=assets.known_types, assets=assets.assets
    )
    telemetry_intake = providers.Singleton(
        TelemetryIntakeWorkflow,
        devices=registry.devices,
        contacts=registry.contacts,
        telemetry=telemetry.readings,
        clock=clock,
    )
    readiness = providers.Singleton(ReadinessWorkflow, probes=stores.probes)
    examination = providers.Singleton(
        ExaminationWorkflow,
        examiner_of=stores.examiners.provider,
        make_sealing=audit.sealing.provider,
        make_ring=identity.ring.provider,
        make_telemetry=telemetry.examination.provider,
        make_archive=telemetry.archive.provider,
        make_comparison=shadow.comparison.provider,
        clock=clock,
    )
    asset_files = providers.Singleton(
        AssetFileWorkflow,
        devices=registry.devices,
        kinds=kinds,
        types=assets.known_types,
        assets=assets.files,
    )
    maintenance_log = providers.Singleton(
        MaintenanceLogWorkflow, devices=registry.devices, maintenance=assets.maintenance
    )
    metric_units = providers.Singleton(MetricUnits, kinds=kinds, types=assets.known_types)
    fleet_queries = providers.Singleton(
        FleetQueries,
        devices=registry.devices,
        telemetry=telemetry.fleet,
        units=metric_units,
    )
    shadow_upkeep = providers.Singleton(ShadowUpkeep, recovery=shadow.recovery)
