"""What things measured: intake, queries, figures, and for how long it is kept."""

import time

from dependency_injector import containers, providers

from iotsphere.config import Settings
from iotsphere.kernel.clock import Clock
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
from iotsphere.workflows.device_kinds import DeviceKinds


class Telemetry(containers.DeclarativeContainer):
    settings = providers.Dependency(instance_of=Settings)
    stores = providers.DependenciesContainer()
    clock: providers.Dependency[Clock] = providers.Dependency()
    kinds: providers.Dependency[DeviceKinds] = providers.Dependency()

    unit_of_work = stores.telemetry_unit_of_work.provider
    latest_epochs = providers.Singleton(
        EpochWatch,
        unit_of_work=unit_of_work,
        monotonic=providers.Object(time.monotonic),
    )
    query_room = providers.Singleton(QueryRoom)
    latest_values = providers.Singleton(
        LatestValueService,
        unit_of_work=unit_of_work,
        store=stores.latest_values,
        epochs=latest_epochs,
        room=query_room,
    )
    # Whatever writes readings does it in units of work of this, which keep the latest values true.
    latest_intake = providers.Singleton(
        LatestIntake,
        unit_of_work=unit_of_work,
        store=stores.latest_values,
        epochs=latest_epochs,
    )
    readings = providers.Singleton(
        TelemetryService,
        unit_of_work=latest_intake,
        view=stores.telemetry_view.provider,
        clock=clock,
        room=query_room,
        kinds=kinds,
    )
    fleet = providers.Singleton(
        FleetTelemetryService, unit_of_work=stores.telemetry_view.provider, clock=clock, room=query_room
    )
    rollups = providers.Singleton(
        RollupService, unit_of_work=stores.rollup_unit_of_work.provider, clock=clock, gathering=GATHERING
    )
    rollup_view = providers.Singleton(RollupService, unit_of_work=stores.rollup_view.provider, clock=clock)
    rollup_backlog = providers.Singleton(RollupBacklogReport, rollups=rollup_view, clock=clock)
    retention = providers.Singleton(RetentionService, unit_of_work=unit_of_work, clock=clock)
    keeping = providers.Singleton(
        KeepingService,
        unit_of_work=unit_of_work,
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
        unit_of_work=unit_of_work,
        keeping=stores.keeping_unit_of_work.provider,
        files=stores.archive_files,
        clock=clock,
    )
    examination = providers.Singleton(
        TelemetryExamination,
        unit_of_work=unit_of_work,
        keeping=stores.keeping_unit_of_work.provider,
        rollups=rollup_view,
        clock=clock,
    )
