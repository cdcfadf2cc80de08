"""Finds out whether the shadow store is the one that it was, and brings it back where it is not.

Every life of the store is a *generation*, numbered in the journal and in the store. A store without its generation,
in an older one, or short of changes that the journal or this process knows, has lost data: the next generation is
begun, and what the journal knows is restored into it. Any process may take any of the steps, several may take the
same at once, and each starts from what it finds: it does not matter who dies between which of them.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, suppress

import structlog
from prometheus_client import Counter, Gauge

from iotsphere.kernel.errors import UnavailableError
from iotsphere.shadow.errors import ShadowsRebuildingError, StoreUnverifiedError
from iotsphere.shadow.handover import ShadowWriter
from iotsphere.shadow.model import Generation, ShadowChange, ShadowKey
from iotsphere.shadow.ports import JournalUnitOfWorkFactory, ShadowStoreCondition, ShadowStoreKeeper
from iotsphere.shadow.restoring import Report, ShadowRestorer

log = structlog.get_logger()

# How long a request waits for the store to be found whole, or its rebuilding to begin.
VERIFICATION_SECONDS = 2.0
# How long all others are given to notice and to tell the journal what they know; each looks four times a second.
COLLECTION_SECONDS = 1.0
# How long the others are waited for that have not looked at a server that runs anew: so long they count as there.
LATE_SECONDS = 5.0
# How often it is looked whether they have done so, and whether this process has heard what became of its changes.
POLL_SECONDS = 0.05
# What versions go on by where a writer is gone with what it knew: more than the store can have taken meanwhile.
VERSION_JUMP = 1_000_000
# A process that was held up for so long may have been taken for dead.
LEASE_SECONDS = 2.0
# A journal that was set back does not know who writes: so often each says so again.
OPEN_AGAIN_SECONDS = 5.0
# So many changes that wait for the journal are handed to it, rather than waited with.
MOST_WAITING = 2_000
MOST_STEPS = 20
JOURNAL_STORE = "telemetry"

LOSSES = Counter("iotsphere_shadow_losses", "How often the shadow store was found to have lost data")
GENERATION = Gauge("iotsphere_shadow_generation", "The life of the shadow store that this process works in")
WAITING = Gauge(
    "iotsphere_shadow_unjournalled_changes", "Changes that this process remembers until they are journalled"
)

Sleep = Callable[[float], Awaitable[None]]


class ShadowStoreRecovery:
    """``writer`` is the process that this is in; without one it restores, but writes nothing of its own."""

    def __init__(
        self,
        *,
        keeper: ShadowStoreKeeper,
        unit_of_work: JournalUnitOfWorkFactory,
        writer: ShadowWriter,
        restorer: ShadowRestorer,
        is_writer: bool = True,
        sleep: Sleep = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keeper = keeper
        self._unit_of_work = unit_of_work
        self._writer = writer
        self._is_writer = is_writer
        self._sleep = sleep
        self._monotonic = monotonic
        self._restorer = restorer
        self._verifying: asyncio.Task[None] | None = None
        self._adopted: ShadowStoreCondition | None = None
        self._is_confirmed = False
        self._worked_in: int | None = None
        self._worked_run: str | None = None
        self._collected_for: int | None = None
        self._late: set[ShadowKey] = set()
        self._announced_run: str | None = None
        self._awaited_run: str | None = None
        self._renewed_at = self._opened_at = monotonic()

    @property
    def is_rebuilding(self) -> bool:
        """Whether the store may not hold every shadow."""
        return self._adopted is None or self._adopted.is_rebuilding

    @property
    def generation(self) -> int | None:
        """The generation in which this process has found the store."""
        return None if self._adopted is None else self._adopted.generation

    async def verify(self) -> None:
        """Make sure that the store holds what was acknowledged, and begin to rebuild it if it does not.

        All who ask wait for the same look at it.

        :raises ShadowsRebuildingError: it takes longer than a request should wait.
        """
        if self._verifying is None or self._verifying.done():
            self._verifying = asyncio.create_task(self._verify())
            # Whoever waits may have gone.
            self._verifying.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            async with asyncio.timeout(VERIFICATION_SECONDS):
                await asyncio.shield(self._verifying)
        except TimeoutError as error:
            raise ShadowsRebuildingError from error

    async def restore(self, key: ShadowKey) -> None:
        """Restore one shadow ahead of the others.

        :raises StoreUnverifiedError: the store is not the one that was verified.
        """
        if self.generation is None:
            raise StoreUnverifiedError
        await self._restorer.restore_key(key, number=self.generation)

    async def restore_all(self, *, report: Report) -> None:
        """Restore every shadow that is not, and say then that the store is whole.

        :raises StoreUnverifiedError: as above.
        """
        condition, number = self._adopted, self.generation
        if condition is None or number is None:
            raise StoreUnverifiedError
        await self._restorer.restore_all(condition, number=number, report=report)

    def attempt(self) -> AbstractContextManager[None]:
        return self._writer.changes.attempt()

    def remember(self, change: ShadowChange) -> None:
        self._writer.changes.remember(change)

    def doubt(self) -> None:
        self._writer.changes.doubt()

    async def watch(self) -> None:
        """Notice what has become of the store, and forget what has reached the journal.

        :raises UnavailableError: one of the two does not answer.
        """
        try:
            await self._renew()
        except StoreUnverifiedError:
            self._adopted = None
            await self.verify()
        if self.is_rebuilding or not self._is_confirmed:
            await self.verify()
        await self._restore_late()

    async def leave(self) -> None:
        """Tell the journal all that is known here, so that nobody has to reckon with this process any more."""
        await self._hear_answers()
        await self._hand_over()
        await self._writer.close()

    async def _renew(self) -> None:
        generation = self.generation
        if generation is None:
            raise StoreUnverifiedError
        mark = self._writer.changes.mark(generation)
        sign = await self._keeper.renew_presence(self._writer.id)
        self._writer.changes.settle(mark, generation=generation, oldest_waiting=sign.oldest_waiting)
        WAITING.set(len(self._writer.changes))
        is_late = mark.at - self._renewed_at > LEASE_SECONDS
        if self._is_writer and (is_late or mark.at - self._opened_at > OPEN_AGAIN_SECONDS):
            await self._writer.open(generation)
            self._opened_at = mark.at
        self._renewed_at = mark.at
        if sign.is_rebuilding and not self.is_rebuilding:
            raise StoreUnverifiedError

    async def _restore_late(self) -> None:
        """Hand over what the journal is slow to take, and what was acknowledged just before the store lost it.

        The latter is restored at once: its shadow may have been restored without it.
        """
        changes, generation = self._writer.changes, self.generation
        if len(changes) > MOST_WAITING or changes.has_older_than(generation or 0):
            await self._hand_over()
        with suppress(StoreUnverifiedError):
            for key in list(self._late):
                await self.restore(key)
                self._late.discard(key)

    async def _hand_over(self) -> None:
        # Some may have been handed over when the rest fails.
        generation = self.generation or 0
        self._late |= {change.key for change in self._writer.changes.list_waiting() if change.generation < generation}
        await self._writer.hand_over()

    async def _verify(self) -> None:
        for _ in range(MOST_STEPS):
            if await self._step():
                return
        raise ShadowsRebuildingError

    async def _step(self) -> bool:
        """Take the step that is due, and tell whether it was the last."""
        try:
            return await self._step_with_journal()
        except StoreUnverifiedError:
            return False
        except UnavailableError as error:
            if error.store != JOURNAL_STORE:
                raise
        await self._adopt_unconfirmed()
        return True

    async def _step_with_journal(self) -> bool:
        await self._hand_over()
        # The store last: a store that has lost nothing shows whatever was known before it was looked at.
        async with self._unit_of_work() as uow:
            latest = await uow.journal.find_generation()
        known = self._writer.changes.last_position(latest.number) if latest else 0
        condition = await self._keeper.look()
        if (condition.generation or 0) > (latest.number if latest else 0):
            log.error("shadow.journal.short", generation=condition.generation)
            await self._add_generation(condition.generation or 0)
        elif latest is None:
            await self._add_generation(1)
        elif condition.generation == latest.number and self._is_awaited(condition):
            await self._announce(condition)
        elif condition.generation == latest.number and self._holds(
            condition, journalled=latest.position, known=known
        ):
            return await self._adopt_confirmed(condition, latest)
        elif latest.version_jump is None:
            await self._begin(condition, latest)
        else:
            log.error("shadow.store.lost", generation=latest.number, found=condition.generation)
            LOSSES.inc()
            if condition.generation == latest.number and condition.position > condition.first_position:
                # Others have gone on without what is known here, and may have given its versions again.
                self._writer.changes.doubt()
            await self._add_generation(latest.number + 1)
        return False

    def _holds(self, condition: ShadowStoreCondition, *, known: int, journalled: int = 0) -> bool:
        """Tell whether the store holds what this process and the journal know.

        In a run that is new here others may have gone on, from a file that is older than what is known here.
        """
        since = condition.position if condition.run == self._worked_run else condition.first_position
        return condition.position >= journalled and since >= known

    def _is_awaited(self, condition: ShadowStoreCondition) -> bool:
        return self._writer.opened is not None and self._announced_run != condition.run

    async def _announce(self, condition: ShadowStoreCondition) -> None:
        """Tell the others that the journal has all that is known here of the time before this run."""
        await self._hear_answers()
        await self._hand_over()
        await self._keeper.announce(condition, self._writer.id)
        self._announced_run = condition.run

    async def _add_generation(self, number: int) -> None:
        async with self._unit_of_work() as uow:
            await uow.journal.add_generation(number)
            await uow.commit()

    async def _begin(self, condition: ShadowStoreCondition, latest: Generation) -> None:
        """Begin a generation in the store: it was added, and nobody has worked in it."""
        if latest.number > 1 and self._collected_for != latest.number:
            # Others may have begun it by the end of that, and worked in it: both stores are looked at anew.
            await self._collect(latest.number)
            self._collected_for, self._awaited_run = latest.number, condition.run
            return
        if condition.generation is None:
            # As of the generation before: what the journal knows of these shadows may be newer.
            await self._keeper.adopt_old_layout(generation=latest.number - 1)
        await self._keeper.begin(latest.number, is_rebuilding=latest.number > 1)

    async def _collect(self, number: int) -> None:
        """Tell the journal what is known here, and wait until the other writers before this generation have."""
        await self._hear_answers()
        await self._hand_over()
        await self._writer.close()
        waited = 0.0
        while waited < COLLECTION_SECONDS and await self._writer.find_company(before=number):
            await self._sleep(POLL_SECONDS)
            waited += POLL_SECONDS

    async def _hear_answers(self) -> None:
        """Wait for the answers that are on their way. What is asked of a store from now on is refused by it."""
        until = self._writer.changes.attempts
        while self._writer.changes.is_under_way(until=until):
            await self._sleep(POLL_SECONDS)

    async def _adopt_confirmed(self, condition: ShadowStoreCondition, latest: Generation) -> bool:
        if not condition.is_confirmed and self._awaited_run != condition.run:
            # The server was started anew, from a file that agrees with the journal. Who wrote before may know better.
            self._awaited_run = condition.run
            await self._await_others(condition)
            return False
        if latest.version_jump is None:
            await self._decide_version_jump(latest.number)
        if self._is_writer and self._writer.opened != latest.number:
            await self._writer.open(latest.number)
        if not condition.is_confirmed:
            await self._keeper.confirm(condition)
        self._adopt(condition, latest.number, is_confirmed=True)
        return True

    async def _await_others(self, condition: ShadowStoreCondition) -> None:
        """Wait until all that may have written before this run have announced themselves in it, or are given up."""
        waited = 0.0
        while waited < LATE_SECONDS and await self._is_somebody_late(condition):
            await self._sleep(POLL_SECONDS)
            waited += POLL_SECONDS

    async def _is_somebody_late(self, condition: ShadowStoreCondition) -> bool:
        company = await self._writer.find_company()
        if not company - await self._keeper.find_present(company, run=condition.run):
            return False
        now = await self._keeper.look()
        return (now.run, now.generation, now.is_confirmed) == (condition.run, condition.generation, False)

    async def _decide_version_jump(self, number: int) -> None:
        """Decide it before anything is done in the generation, which by that is marked as begun."""
        async with self._unit_of_work() as uow:
            jump = await uow.journal.decide_version_jump(number, jump=VERSION_JUMP)
            await uow.commit()
        log.info("shadow.generation.began", generation=number, version_jump=jump)

    async def _adopt_unconfirmed(self) -> None:
        """Do without the journal where nothing speaks against it: that it is away must not stop what is there.

        :raises ShadowsRebuildingError: the store is not known to be whole.
        """
        known = self._writer.changes.last_position(self._worked_in or 0)
        condition = await self._keeper.look()
        generation = condition.generation
        is_short = generation == self._worked_in and not self._holds(condition, known=known)
        if generation is None or is_short or not (condition.is_confirmed or generation == self._worked_in):
            raise ShadowsRebuildingError
        self._adopt(condition, generation, is_confirmed=False)

    def _adopt(self, condition: ShadowStoreCondition, generation: int, *, is_confirmed: bool) -> None:
        if generation != self._worked_in:
            self._restorer.backlog_until = condition.position
            log.info("shadow.generation.adopted", generation=generation, is_rebuilding=condition.is_rebuilding)
        self._keeper.adopt(condition, generation=generation)
        self._adopted, self._is_confirmed, self._worked_in = condition, is_confirmed, generation
        self._worked_run = self._announced_run = condition.run
        self._collected_for = None
        GENERATION.set(generation)
