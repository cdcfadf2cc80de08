"""Brings into the journal what the store holds and it lacks, as after its database was restored from a backup.

Nothing says reliably that a journal has fallen behind: the next change that it is told looks as if it had all before
it. So the store is gone through for ever, some shadows at a time, and each is held against its head in the journal.
"""

from collections.abc import Mapping

import structlog

from iotsphere.shadow.journal import JournalService
from iotsphere.shadow.model import ChangeKind, Shadow, ShadowChange, ShadowKey
from iotsphere.shadow.ports import JournalUnitOfWorkFactory, ShadowInventory, ShadowRecovery, ShadowStoreSurvey
from iotsphere.shadow.restoring import PLATFORM

log = structlog.get_logger()


class JournalMender:
    """Takes one step after the other; whoever begins anew loses nothing but the place."""

    def __init__(
        self,
        *,
        inventory: ShadowInventory,
        journal: JournalService,
        unit_of_work: JournalUnitOfWorkFactory,
        recovery: ShadowRecovery,
    ) -> None:
        self._inventory = inventory
        self._journal = journal
        self._unit_of_work = unit_of_work
        self._recovery = recovery
        self._cursor: str | None = None
        self._suspects: Mapping[ShadowKey, Shadow] = {}
        self._seen_in = ShadowStoreSurvey(generation=None, is_rebuilding=False)

    async def mend_next(self) -> int:
        """Look again at the shadows that the journal lacked, then at the next ones; give how many it was told of.

        :raises UnavailableError: one of the two does not answer.
        """
        survey = await self._inventory.survey()
        if survey.generation is None or survey.is_rebuilding:
            self._suspects = {}
            return 0
        await self._complete_generations(survey.generation)
        mended = await self._mend_suspects(survey) if self._suspects else 0
        if not self._suspects:
            await self._look_on()
        return mended

    async def _complete_generations(self, number: int) -> None:
        async with self._unit_of_work() as uow:
            latest = await uow.journal.find_generation()
        if latest is None or latest.number < number:
            await self._recovery.verify()

    async def _look_on(self) -> None:
        page = await self._inventory.list(cursor=self._cursor)
        held = await self._inventory.find_all(page.items)
        # Whatever was seen was made before this.
        self._seen_in = await self._inventory.survey()
        self._suspects = await self._lacking({key: found.shadow for key, found in held.items() if found.shadow})
        self._cursor = page.next_cursor

    async def _mend_suspects(self, survey: ShadowStoreSurvey) -> int:
        """Tell the journal what it lacks although nothing of that time waits for it any more.

        What still waits comes by itself, and says who has changed what.
        """
        seen_in, suspects = self._seen_in, self._suspects
        oldest = survey.backlog.oldest
        is_same = survey.generation == seen_in.generation and survey.position >= seen_in.position
        if is_same and oldest is not None and oldest <= seen_in.position:
            return 0
        lacking = await self._lacking(suspects) if is_same else {}
        if lacking:
            log.error("shadow.journal.mended", count=len(lacking), generation=survey.generation)
            await self._journal.record([_as_found(key, lacking[key], survey.generation or 0) for key in lacking])
        self._suspects = {}
        return len(lacking)

    async def _lacking(self, held: Mapping[ShadowKey, Shadow]) -> dict[ShadowKey, Shadow]:
        async with self._unit_of_work() as uow:
            heads = await uow.journal.find_heads(list(held))
        known = {head.key: head.shadow.version for head in heads}
        return {key: shadow for key, shadow in held.items() if shadow.version > known.get(key, 0)}


def _as_found(key: ShadowKey, shadow: Shadow, generation: int) -> ShadowChange:
    return ShadowChange(
        key=key,
        kind=ChangeKind.RESTORED,
        shadow=shadow,
        actor=PLATFORM,
        correlation_id="shadow-journal-mended",
        generation=generation,
    )
