"""How things are, and how they should be."""

from uuid import uuid4

from dependency_injector import containers, providers

from iotsphere.kernel.clock import Clock
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
from iotsphere.workflows.shadow_rules import DeviceTypeRules


class Shadows(containers.DeclarativeContainer):
    stores = providers.DependenciesContainer()
    clock: providers.Dependency[Clock] = providers.Dependency()
    rules: providers.Dependency[DeviceTypeRules] = providers.Dependency()

    unit_of_work = stores.journal_unit_of_work.provider
    journal = providers.Singleton(JournalService, unit_of_work=unit_of_work, stream=stores.shadow_changes)
    backlog = providers.Singleton(BacklogReport, stream=stores.shadow_changes, clock=clock)
    recovery = providers.Singleton(
        ShadowStoreRecovery,
        keeper=stores.shadow_keeper,
        unit_of_work=unit_of_work,
        writer=providers.Singleton(
            ShadowWriter,
            writer_id=providers.Factory(uuid4),
            changes=providers.Singleton(AcknowledgedChanges),
            journal=journal,
            unit_of_work=unit_of_work,
        ),
        restorer=providers.Singleton(
            ShadowRestorer,
            keeper=stores.shadow_keeper,
            journal=journal,
            unit_of_work=unit_of_work,
        ),
    )
    absent_writers = providers.Singleton(AbsentWriters, keeper=stores.shadow_keeper, unit_of_work=unit_of_work)
    mender = providers.Singleton(
        JournalMender,
        inventory=stores.shadow_inventory,
        journal=journal,
        unit_of_work=unit_of_work,
        recovery=recovery,
    )
    history = providers.Singleton(
        ShadowHistoryService,
        unit_of_work=unit_of_work,
        stream=stores.shadow_changes,
        recovery=recovery,
    )
    shadows = providers.Singleton(
        DeviceShadowService,
        shadows=stores.shadows,
        recovery=recovery,
        rules=rules,
        journal=journal,
        unit_of_work=unit_of_work,
        clock=clock,
    )
    comparison = providers.Factory(
        ShadowComparison,
        inventory=stores.shadow_inventory,
        unit_of_work=unit_of_work,
    )
