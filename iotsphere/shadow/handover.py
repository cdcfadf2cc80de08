"""What one process contributes when the store has lost data: the changes that it alone still knows."""

from uuid import UUID

import structlog

from iotsphere.shadow.acknowledged import AcknowledgedChanges
from iotsphere.shadow.journal import JournalService
from iotsphere.shadow.ports import JournalUnitOfWorkFactory, ShadowStoreKeeper

log = structlog.get_logger()

HANDED_OVER_AT_ONCE = 500


class ShadowWriter:
    """A process that writes, as the journal knows it: open while it may know of changes that the journal lacks."""

    def __init__(
        self,
        *,
        writer_id: UUID,
        changes: AcknowledgedChanges,
        journal: JournalService,
        unit_of_work: JournalUnitOfWorkFactory,
    ) -> None:
        self.id = writer_id
        self.changes = changes
        self._journal = journal
        self._unit_of_work = unit_of_work
        self.opened: int | None = None

    async def open(self, generation: int) -> None:
        """Be open in the generation, whether or not it was before."""
        async with self._unit_of_work() as uow:
            await uow.journal.open_writer(self.id, generation=generation)
            await uow.commit()
        self.opened = generation

    async def hand_over(self) -> None:
        """Give the journal what it may lack."""
        while waiting := self.changes.list_waiting()[:HANDED_OVER_AT_ONCE]:
            await self._journal.record(waiting)
            self.changes.forget(waiting)

    async def close(self) -> None:
        """Be closed in every generation so far, if the journal has all that was made in them."""
        if self.opened is None or len(self.changes) or not self.changes.is_complete:
            return
        async with self._unit_of_work() as uow:
            await uow.journal.close_writers([self.id], generation=self.opened)
            await uow.commit()
        self.opened = None

    async def find_company(self, *, before: int | None = None) -> set[UUID]:
        """Give the others that may know of changes that the journal lacks, of generations before this or of any."""
        async with self._unit_of_work() as uow:
            return set(await uow.journal.list_open_writers(before=before)) - {self.id}


class AbsentWriters:
    """Closes writers that ended without saying so, once the journal has whatever they can have written."""

    def __init__(self, *, keeper: ShadowStoreKeeper, unit_of_work: JournalUnitOfWorkFactory) -> None:
        self._keeper = keeper
        self._unit_of_work = unit_of_work
        self._absent: set[UUID] = set()
        self._wrote_until = 0

    async def close_absent(self) -> None:
        """Close those that were absent now and when this was asked before, which should be a while ago."""
        async with self._unit_of_work() as uow:
            latest = await uow.journal.find_generation()
            opened = await uow.journal.list_open_writers()
        condition = await self._keeper.look()
        if latest is None or condition.generation != latest.number or not condition.is_confirmed:
            # What was lost with the store may be known to those alone that seem to be gone.
            self._absent = set()
            return
        absent = set(opened) - await self._keeper.find_present(opened)
        oldest = await self._keeper.find_oldest_waiting()
        gone = absent & self._absent
        if gone and (oldest is None or oldest > self._wrote_until):
            async with self._unit_of_work() as uow:
                await uow.journal.close_writers(gone, generation=latest.number)
                await uow.commit()
            log.info("shadow.writers.closed", count=len(gone))
        if absent != self._absent:
            self._absent, self._wrote_until = absent, condition.position
