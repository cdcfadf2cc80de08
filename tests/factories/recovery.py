"""The recovery of one process, put together as the containers do."""

from uuid import uuid4

from iotsphere.shadow.acknowledged import AcknowledgedChanges
from iotsphere.shadow.handover import ShadowWriter
from iotsphere.shadow.journal import JournalService
from iotsphere.shadow.ports import JournalUnitOfWorkFactory, ShadowStoreKeeper
from iotsphere.shadow.recovery import ShadowStoreRecovery
from iotsphere.shadow.restoring import ShadowRestorer


def build_recovery(
    keeper: ShadowStoreKeeper, journal: JournalService, unit_of_work: JournalUnitOfWorkFactory
) -> ShadowStoreRecovery:
    return ShadowStoreRecovery(
        keeper=keeper,
        unit_of_work=unit_of_work,
        writer=ShadowWriter(
            writer_id=uuid4(), changes=AcknowledgedChanges(), journal=journal, unit_of_work=unit_of_work
        ),
        restorer=ShadowRestorer(keeper=keeper, journal=journal, unit_of_work=unit_of_work),
    )
