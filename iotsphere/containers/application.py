"""The composition root: every service with what it needs. Doors ask for them by name (``registry.devices``)."""

import time
from uuid import uuid4

from dependency_injector import containers, providers

from iotsphere.assets.aggregates import AssetAggregateService
from iotsphere.assets.asset_files import AssetFileService
from iotsphere.assets.device_types import DeviceTypeService
from iotsphere.assets.history import AssetHistoryService
from iotsphere.assets.known_types import KnownTypes
from iotsphere.assets.maintenance import MaintenanceService
from iotsphere.assets.relationships import RelationshipService
from iotsphere.assets.searching import AssetSearchService
from iotsphere.assets.service import AssetService
from iotsphere.assets.shipped_types import ShippedTypes
from iotsphere.audit.allowance import RefusalAllowance
from iotsphere.audit.service import AuditService, SealingService
from iotsphere.config import Settings
from iotsphere.containers.stores import Stores
from iotsphere.identity.accounts import AccountService
from iotsphere.identity.api_keys import ApiKeyService
from iotsphere.identity.change_watch import ChangeWatch
from iotsphere.identity.idempotency import IdempotencyService
from iotsphere.identity.keys import KeyService
from iotsphere.identity.model import KeyHolder, LiveSession
from iotsphere.identity.secrets import (
    ApiKey,
    Argon2Passwords,
    PlatformCipher,
    ProvisioningKeyText,
    hash_secret,
    make_secret,
)
from iotsphere.identity.service import SessionService
from iotsphere.identity.signing import SigningKeyRing
from iotsphere.identity.tokens import AccessTokens
from iotsphere.kernel.clock import Clock, utc_now
from iotsphere.kernel.identifiers import CredentialId, IdSource, OrganisationId, ProvisioningKeyId
from iotsphere.kernel.lease import LeasedCache
from iotsphere.registry.contacts import ContactService
from iotsphere.registry.credentials import CredentialService
from iotsphere.registry.ownership import DeviceOwnership
from iotsphere.registry.provisioning import ProvisioningKeyService, ProvisioningService
from iotsphere.registry.service import DeviceRegistryService, OutboxService
from iotsphere.shadow.acknowledged import AcknowledgedChanges
from iotsphere.shadow.backlog import BacklogReport
from iotsphere.shadow.comparison import ShadowComparison
from iotsphere.shadow.handover import AbsentWriters, ShadowWriter
from iotsphere.shadow.history import ShadowHistoryService
from iotsphere.shadow.journal import JournalService
from iotsphere.shadow.mending import JournalMender
from iotsphere.shadow.recovery import ShadowStoreRecovery
from iotsphere.shadow.restoring import ShadowRestorer
from iotsphere.shadow.service import DeviceShadowService
from iotsphere.telemetry.archive import ArchiveService, ArchivingService
from iotsphere.telemetry.compressing import CompressingService
from iotsphere.telemetry.examination import TelemetryExamination
from iotsphere.telemetry.fleet import FleetTelemetryService
from iotsphere.telemetry.keeping import KeepingService
from iotsphere.telemetry.latest import EpochWatch, LatestValueService
from iotsphere.telemetry.latest_intake import LatestIntake
from iotsphere.telemetry.query_room import QueryRoom
from iotsphere.telemetry.retention_classes import RetentionService
from iotsphere.telemetry.rollup_backlog import RollupBacklogReport
from iotsphere.telemetry.rollups import GATHERING, RollupService
from iotsphere.telemetry.service import TelemetryService
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
from iotsphere.workflows.shadow_rules import DeviceTypeRules
from iotsphere.workflows.shadow_upkeep import ShadowUpkeep
from iotsphere.workflows.telemetry_intake import TelemetryIntakeWorkflow
from iotsphere.workflows.upkeep import AuthenticationUpkeep

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


def make_api_key(credential_id: CredentialId) -> tuple[str, bytes]:
    """Make a device's API key: the text to show once, and the hash to keep."""
    secret = make_secret()
    return str(ApiKey(credential_id, secret)), hash_secret(secret)


def make_provisioning_key(key_id: ProvisioningKeyId) -> tuple[str, bytes]:
    """Likewise a provisioning key."""
    secret = make_secret()
    return str(ProvisioningKeyText(key_id, secret)), hash_secret(secret)


class Identity(containers.DeclarativeContainer):
    settings = providers.Dependency(instance_of=Settings)
    stores = providers.DependenciesContainer()
    clock: providers.Dependency[Clock] = providers.Dependency()
    new_id: providers.Dependency[IdSource] = providers.Dependency()

    unit_of_work = stores.registry_unit_of_work.provider
    passwords = providers.Singleton(Argon2Passwords)
    ring = providers.Singleton(
        SigningKeyRing,
        unit_of_work=unit_of_work,
        cipher=providers.Singleton(
            PlatformCipher,
            "signing-key",
            settings.provided.secret_key,
            settings.provided.previous_secret_keys,
        ),
        clock=clock,
        new_id=new_id,
    )
    tokens = providers.Singleton(AccessTokens, ring)
    session_cache = providers.Singleton(LeasedCache[LiveSession])
    sessions = providers.Singleton(
        SessionService,
        unit_of_work=unit_of_work,
        passwords=passwords,
        tokens=tokens,
        cache=session_cache,
        clock=clock,
        new_id=new_id,
    )
    key_cache = providers.Singleton(LeasedCache[KeyHolder])
    keys = providers.Singleton(KeyService, unit_of_work=unit_of_work, cache=key_cache, clock=clock)
    idempotency = providers.Singleton(
        IdempotencyService,
        unit_of_work=unit_of_work,
        clock=clock,
        cipher=providers.Singleton(
            PlatformCipher,
            "idempotency",
            settings.provided.secret_key,
            settings.provided.previous_secret_keys,
        ),
    )
    accounts = providers.Singleton(
        AccountService,
        unit_of_work=unit_of_work,
        passwords=passwords,
        sessions=session_cache,
        clock=clock,
        new_id=new_id,
    )
    api_keys = providers.Singleton(ApiKeyService, unit_of_work=unit_of_work, clock=clock, new_id=new_id)


class Registry(containers.DeclarativeContainer):
    stores = providers.DependenciesContainer()
    clock: providers.Dependency[Clock] = providers.Dependency()
    new_id: providers.Dependency[IdSource] = providers.Dependency()

    unit_of_work = stores.registry_unit_of_work.provider
    devices = providers.Singleton(DeviceRegistryService, unit_of_work=unit_of_work, clock=clock, new_id=new_id)
    device_cache = providers.Singleton(LeasedCache[OrganisationId])
    ownership = providers.Singleton(DeviceOwnership, unit_of_work=unit_of_work, cache=device_cache)
    credentials = providers.Singleton(
        CredentialService,
        unit_of_work=unit_of_work,
        clock=clock,
        new_id=new_id,
        make_key=providers.Object(make_api_key),
    )
    provisioning_keys = providers.Singleton(
        ProvisioningKeyService,
        unit_of_work=unit_of_work,
        clock=clock,
        new_id=new_id,
        make_key=providers.Object(make_provisioning_key),
    )
    provisioning = providers.Singleton(
        ProvisioningService,
        unit_of_work=unit_of_work,
        clock=clock,
        new_id=new_id,
        make_key=providers.Object(make_api_key),
    )
    contacts = providers.Singleton(ContactService, unit_of_work=unit_of_work, clock=clock)
    outbox = providers.Singleton(OutboxService, unit_of_work=unit_of_work, clock=clock)


class Audit(containers.DeclarativeContainer):
    settings = providers.Dependency(instance_of=Settings)
    stores = providers.DependenciesContainer()
    clock: providers.Dependency[Clock] = providers.Dependency()

    unit_of_work = stores.registry_unit_of_work.provider
    allowance = providers.Singleton(RefusalAllowance, monotonic=providers.Object(time.monotonic))
    trail = providers.Singleton(AuditService, unit_of_work=unit_of_work, clock=clock, allowance=allowance)
    sealing = providers.Singleton(
        SealingService,
        unit_of_work=unit_of_work,
        secret_key=settings.provided.secret_key,
        previous_secret_keys=settings.provided.previous_secret_keys,
    )


class Workflows(containers.DeclarativeContainer):
    stores = providers.DependenciesContainer()
    identity = providers.DependenciesContainer()
    registry = providers.DependenciesContainer()
    assets: providers.Dependency[AssetService] = providers.Dependency()
    known_types: providers.Dependency[KnownTypes] = providers.Dependency()
    device_kinds: providers.Dependency[DeviceKinds] = providers.Dependency()
    telemetry: providers.Dependency[TelemetryService] = providers.Dependency()
    throttle: providers.Dependency[Throttle] = providers.Dependency()
    audit = providers.DependenciesContainer()
    telemetry_examination: providers.Dependency[TelemetryExamination] = providers.Dependency()
    archive: providers.Dependency[ArchiveService] = providers.Dependency()
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
        assets=assets,
        types=known_types,
    )
    description = providers.Singleton(
        DescriptionWorkflow, devices=registry.devices, kinds=device_kinds, types=known_types, assets=assets
    )
    telemetry_intake = providers.Singleton(
        TelemetryIntakeWorkflow,
        devices=registry.devices,
        contacts=registry.contacts,
        telemetry=telemetry,
        clock=clock,
    )
    readiness = providers.Singleton(ReadinessWorkflow, probes=stores.probes)
    examination = providers.Singleton(
        ExaminationWorkflow,
        examiner_of=stores.examiners.provider,
        make_sealing=audit.sealing.provider,
        make_ring=identity.ring.provider,
        make_telemetry=telemetry_examination.provider,
        make_archive=archive.provider,
        make_comparison=providers.Factory(
            ShadowComparison,
            inventory=stores.shadow_inventory,
            unit_of_work=stores.journal_unit_of_work.provider,
        ).provider,
        clock=clock,
    )


class Application(containers.DeclarativeContainer):
    settings = providers.Dependency(instance_of=Settings)
    clock = providers.Object(utc_now)
    new_id = providers.Object(uuid4)

    stores = providers.Container(Stores, settings=settings)
    identity = providers.Container(Identity, settings=settings, stores=stores, clock=clock, new_id=new_id)
    registry = providers.Container(Registry, stores=stores, clock=clock, new_id=new_id)
    audit = providers.Container(Audit, settings=settings, stores=stores, clock=clock)
    assets_unit_of_work = stores.assets_unit_of_work.provider
    assets = providers.Singleton(
        AssetService,
        unit_of_work=assets_unit_of_work,
        moving=stores.moving_unit_of_work.provider,
        clock=clock,
        new_id=new_id,
    )
    asset_history = providers.Singleton(AssetHistoryService, unit_of_work=assets_unit_of_work)
    asset_search = providers.Singleton(AssetSearchService, unit_of_work=stores.search_unit_of_work.provider)
    asset_aggregates = providers.Singleton(AssetAggregateService, unit_of_work=assets_unit_of_work)
    relationships = providers.Singleton(RelationshipService, unit_of_work=assets_unit_of_work, clock=clock)
    shipped_types = providers.Singleton(ShippedTypes.load)
    known_types = providers.Singleton(KnownTypes, unit_of_work=assets_unit_of_work, shipped=shipped_types)
    maintenance = providers.Singleton(
        MaintenanceService, unit_of_work=assets_unit_of_work, clock=clock, new_id=new_id
    )
    maintenance_log = providers.Singleton(MaintenanceLogWorkflow, devices=registry.devices, maintenance=maintenance)
    device_types = providers.Singleton(
        DeviceTypeService,
        unit_of_work=assets_unit_of_work,
        shipped=shipped_types,
        clock=clock,
        known_types=known_types,
    )
    device_kinds = providers.Singleton(DeviceKinds, devices=registry.devices)
    asset_files = providers.Singleton(
        AssetFileWorkflow,
        devices=registry.devices,
        kinds=device_kinds,
        types=known_types,
        assets=providers.Singleton(
            AssetFileService,
            unit_of_work=assets_unit_of_work,
            assets=assets,
            clock=clock,
            new_id=new_id,
        ),
    )
    shadow_rules = providers.Singleton(DeviceTypeRules, kinds=device_kinds, types=known_types)
    metric_units = providers.Singleton(MetricUnits, kinds=device_kinds, types=known_types)
    latest_epochs = providers.Singleton(
        EpochWatch,
        unit_of_work=stores.telemetry_unit_of_work.provider,
        monotonic=providers.Object(time.monotonic),
    )
    query_room = providers.Singleton(QueryRoom)
    latest_values = providers.Singleton(
        LatestValueService,
        unit_of_work=stores.telemetry_unit_of_work.provider,
        store=stores.latest_values,
        epochs=latest_epochs,
        room=query_room,
    )
    # Whatever writes readings does it in units of work of this, which keep the latest values true.
    latest_intake = providers.Singleton(
        LatestIntake,
        unit_of_work=stores.telemetry_unit_of_work.provider,
        store=stores.latest_values,
        epochs=latest_epochs,
    )
    telemetry = providers.Singleton(
        TelemetryService,
        unit_of_work=latest_intake,
        view=stores.telemetry_view.provider,
        clock=clock,
        room=query_room,
        kinds=device_kinds,
    )
    fleet_queries = providers.Singleton(
        FleetQueries,
        devices=registry.devices,
        telemetry=providers.Singleton(
            FleetTelemetryService, unit_of_work=stores.telemetry_view.provider, clock=clock, room=query_room
        ),
        units=metric_units,
    )
    rollups = providers.Singleton(
        RollupService, unit_of_work=stores.rollup_unit_of_work.provider, clock=clock, gathering=GATHERING
    )
    rollup_view = providers.Singleton(RollupService, unit_of_work=stores.rollup_view.provider, clock=clock)
    rollup_backlog = providers.Singleton(RollupBacklogReport, rollups=rollup_view, clock=clock)
    retention = providers.Singleton(
        RetentionService, unit_of_work=stores.telemetry_unit_of_work.provider, clock=clock
    )
    keeping = providers.Singleton(
        KeepingService,
        unit_of_work=stores.telemetry_unit_of_work.provider,
        keeping=stores.keeping_unit_of_work.provider,
        archiving=providers.Singleton(
            ArchivingService,
            files=stores.archive_files,
            clock=clock,
        ),
        clock=clock,
    )
    compressing = providers.Singleton(
        CompressingService,
        unit_of_work=stores.columnstore_unit_of_work.provider,
        clock=clock,
        compress_after=settings.provided.compress_after,
    )
    archive = providers.Singleton(
        ArchiveService,
        unit_of_work=stores.telemetry_unit_of_work.provider,
        keeping=stores.keeping_unit_of_work.provider,
        files=stores.archive_files,
        clock=clock,
    )
    telemetry_examination = providers.Singleton(
        TelemetryExamination,
        unit_of_work=stores.telemetry_unit_of_work.provider,
        keeping=stores.keeping_unit_of_work.provider,
        rollups=rollup_view,
        clock=clock,
    )
    shadow_journal = providers.Singleton(
        JournalService, unit_of_work=stores.journal_unit_of_work.provider, stream=stores.shadow_changes
    )
    shadow_backlog = providers.Singleton(BacklogReport, stream=stores.shadow_changes, clock=clock)
    shadow_recovery = providers.Singleton(
        ShadowStoreRecovery,
        keeper=stores.shadow_keeper,
        unit_of_work=stores.journal_unit_of_work.provider,
        writer=providers.Singleton(
            ShadowWriter,
            writer_id=providers.Factory(uuid4),
            changes=providers.Singleton(AcknowledgedChanges),
            journal=shadow_journal,
            unit_of_work=stores.journal_unit_of_work.provider,
        ),
        restorer=providers.Singleton(
            ShadowRestorer,
            keeper=stores.shadow_keeper,
            journal=shadow_journal,
            unit_of_work=stores.journal_unit_of_work.provider,
        ),
    )
    shadow_upkeep = providers.Singleton(ShadowUpkeep, recovery=shadow_recovery)
    absent_shadow_writers = providers.Singleton(
        AbsentWriters, keeper=stores.shadow_keeper, unit_of_work=stores.journal_unit_of_work.provider
    )
    shadow_mender = providers.Singleton(
        JournalMender,
        inventory=stores.shadow_inventory,
        journal=shadow_journal,
        unit_of_work=stores.journal_unit_of_work.provider,
        recovery=shadow_recovery,
    )
    shadow_history = providers.Singleton(
        ShadowHistoryService,
        unit_of_work=stores.journal_unit_of_work.provider,
        stream=stores.shadow_changes,
        recovery=shadow_recovery,
    )
    shadow = providers.Singleton(
        DeviceShadowService,
        shadows=stores.shadows,
        recovery=shadow_recovery,
        rules=shadow_rules,
        journal=shadow_journal,
        unit_of_work=stores.journal_unit_of_work.provider,
        clock=clock,
    )
    throttle = providers.Singleton(Throttle, store=stores.throttle, limits=settings.provided.request_limits)
    workflows = providers.Container(
        Workflows,
        stores=stores,
        identity=identity,
        registry=registry,
        audit=audit,
        telemetry_examination=telemetry_examination,
        archive=archive,
        assets=assets,
        known_types=known_types,
        device_kinds=device_kinds,
        telemetry=telemetry,
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
