"""Puts shadows back into the store from what the journal knows of them.

Where a process is gone together with the last changes that it made, nobody knows how far a version had come. All
versions go on so much further then that none is ever given to two states; the step is a change of its own.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from prometheus_client import Counter

from iotsphere.shadow.errors import StoreUnverifiedError
from iotsphere.shadow.journal import JournalService
from iotsphere.shadow.model import ChangeKind, Generation, Section, Shadow, ShadowChange, ShadowHead, ShadowKey
from iotsphere.shadow.ports import JournalUnitOfWorkFactory, ShadowStoreCondition, ShadowStoreKeeper

RESTORED_AT_ONCE = 500
PLATFORM = "platform"
RESTORED = Counter("iotsphere_shadow_restored", "Shadows that were put back from the journal")
Report = Callable[[float, int], None]


class ShadowRestorer:
    """``backlog_until`` is the last change that the store held when it was taken over, in the journal or not."""

    def __init__(
        self, *, keeper: ShadowStoreKeeper, journal: JournalService, unit_of_work: JournalUnitOfWorkFactory
    ) -> None:
        self._keeper = keeper
        self._journal = journal
        self._unit_of_work = unit_of_work
        self._generation: Generation | None = None
        self._journalled_until = 0
        self.backlog_until = 0

    async def restore_key(self, key: ShadowKey, *, number: int) -> None:
        """Restore one shadow, which may be none.

        :raises StoreUnverifiedError: the store is not in this generation any more.
        """
        generation = await self._prepare(number)
        async with self._unit_of_work() as uow:
            head = await uow.journal.find_head(key)
        await self._restore([head or ShadowHead(key, Shadow(), number)], generation)

    async def restore_all(self, condition: ShadowStoreCondition, *, number: int, report: Report) -> None:
        """Restore every shadow; while some are put back, the next ones are read.

        :param report: told after each batch which share is done, and how many it was.
        :raises StoreUnverifiedError: as above.
        """
        generation = await self._prepare(number)
        heads = await self._list_heads(None)
        while heads:
            reading = asyncio.create_task(self._list_heads(heads[-1].key))
            try:
                await self._restore(heads, generation)
                share = share_until(heads[-1].key)
                report(share, len(heads))
                await self._keeper.note_progress(condition, share=share)
                heads = await reading
            finally:
                reading.cancel()
                await asyncio.wait([reading])
        await self._end(condition, number)

    async def _end(self, condition: ShadowStoreCondition, number: int) -> None:
        async with self._unit_of_work() as uow:
            await uow.journal.end_rebuilding(number)
            await uow.commit()
        await self._keeper.end_rebuilding(condition)

    async def _list_heads(self, after: ShadowKey | None) -> Sequence[ShadowHead]:
        async with self._unit_of_work() as uow:
            return await uow.journal.list_heads(after=after, limit=RESTORED_AT_ONCE)

    async def _prepare(self, number: int) -> Generation:
        generation = self._generation
        if generation is None or generation.number != number:
            async with self._unit_of_work() as uow:
                generation = await uow.journal.find_generation()
            if generation is None or generation.number != number or generation.version_jump is None:
                raise StoreUnverifiedError
            self._generation = generation
        if generation.version_jump and self.backlog_until:
            await self._journal_backlog()
        return generation

    async def _journal_backlog(self) -> None:
        """Let the journal know all that the store held, or a version would go on from one that is older."""
        until = self.backlog_until
        while waiting := await self._keeper.list_waiting(
            after=self._journalled_until, until=until, limit=RESTORED_AT_ONCE
        ):
            await self._journal.record(waiting)
            self._journalled_until = waiting[-1].position
        self.backlog_until = 0

    async def _restore(self, heads: Sequence[ShadowHead], generation: Generation) -> None:
        due = [head.key for head in heads if head.generation < generation.number and head.shadow.version]
        if due and generation.version_jump:
            stepped = await self._go_on(due, generation, generation.version_jump)
            heads = [stepped.get(head.key, head) for head in heads]
        await self._keeper.restore(heads, generation=generation.number)
        RESTORED.inc(sum(head.shadow.version > 0 for head in heads))

    async def _go_on(
        self, keys: Sequence[ShadowKey], generation: Generation, jump: int
    ) -> dict[ShadowKey, ShadowHead]:
        """Let versions go on, from where each of them is now: something may have been handed over since."""
        async with self._unit_of_work() as uow:
            heads = await uow.journal.find_heads(keys, for_update=True)
            steps = [_go_on(head, generation, jump) for head in heads if head.generation < generation.number]
            await uow.journal.append(steps)
            await uow.commit()
        stepped = {step.key: ShadowHead(step.key, step.shadow, generation.number) for step in steps}
        return {head.key: head for head in heads} | stepped


def _go_on(head: ShadowHead, generation: Generation, jump: int) -> ShadowChange:
    """Make the change with which a shadow goes on; whoever makes it, and how often, makes the same."""
    shadow = head.shadow
    moved = replace(
        shadow,
        version=shadow.version + jump,
        desired=_count_on(shadow.desired, jump),
        reported=_count_on(shadow.reported, jump),
        changed_at=max(shadow.changed_at, generation.began_at),
    )
    return ShadowChange(
        key=head.key,
        kind=ChangeKind.RESTORED,
        shadow=moved,
        actor=PLATFORM,
        correlation_id=f"shadow-generation-{generation.number}",
        generation=generation.number,
    )


def _count_on(section: Section, jump: int) -> Section:
    """Count on a section that was never written as well, for that it was not is known to the journal alone."""
    return replace(section, version=section.version + jump)


def share_until(key: ShadowKey) -> float:
    """Tell which share of all keys lies up to this one: the ids of devices are random, and so spread evenly."""
    return int(key.device_id.int / 2**128 * 1000) / 1000
