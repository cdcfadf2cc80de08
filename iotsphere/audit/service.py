"""The audit trail: kept beside every change, read by administrators, sealed by the worker, and looked through."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from iotsphere.audit.allowance import RefusalAllowance
from iotsphere.audit.chain import ChainWalk, seal, seal_key
from iotsphere.audit.model import AuditFilter, AuditRecord, AuditScope, ChainHead, ChainReport, Waiting
from iotsphere.audit.ports import AuditUnitOfWorkFactory
from iotsphere.kernel.audit import Attempt, AuditEntry
from iotsphere.kernel.clock import Clock
from iotsphere.kernel.errors import DomainError
from iotsphere.kernel.gathering import Gathering
from iotsphere.kernel.pagination import Page

SEALED_AT_ONCE = 500
WALKED_AT_ONCE = 1000
# A minute, in one process.
REFUSALS_OF_A_CALLER = 600
REFUSALS_OF_A_STRANGER = 30
REFUSALS_OF_STRANGERS = 600
STRANGERS = "strangers"


class AuditService:
    """Keeps what happened outside the registry's own transactions, and shows what was kept.

    Entries of requests that are under way at one time go into one transaction, and each is answered after its commit.
    """

    def __init__(self, *, unit_of_work: AuditUnitOfWorkFactory, clock: Clock, allowance: RefusalAllowance) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._allowance = allowance
        self._gathering = Gathering(self._write)

    async def record_change(self, *, attempt: Attempt, target: str, details: Mapping[str, Any]) -> None:
        """Add what was done in another store."""
        await self._gathering.add(attempt.done(target, at=self._clock(), **details))

    async def record_refusal(self, *, attempt: Attempt, error: DomainError, target: str | None, source: str) -> bool:
        """Add a refusal and tell whether it was added: of one source only so many a minute are.

        Those left out are counted in the next that is added.
        """
        left_out = self._left_out(attempt, source)
        if left_out is None:
            return False
        details: dict[str, Any] = {"unrecorded_before": left_out} if left_out else {}
        now, owner = self._clock(), error.organisation_id
        await self._gathering.add(
            attempt.refused(error.code, at=now, target=target, organisation_id=owner, **details)
        )
        return True

    def _left_out(self, attempt: Attempt, source: str) -> int | None:
        if attempt.actor is not None:
            return self._allowance.take(source, limit=REFUSALS_OF_A_CALLER)
        left_out = self._allowance.take(source, limit=REFUSALS_OF_A_STRANGER)
        # Who has many addresses still has no more than all strangers together.
        if left_out is None or self._allowance.take(STRANGERS, limit=REFUSALS_OF_STRANGERS) is None:
            return None
        return left_out

    async def _write(self, entries: Sequence[AuditEntry]) -> None:
        async with self._unit_of_work() as uow:
            await uow.trail.add(*entries)
            await uow.commit()

    async def list_entries(
        self, *, scope: AuditScope, narrowed_to: AuditFilter, limit: int, cursor: str | None
    ) -> Page[AuditRecord]:
        """:raises CursorMalformedError: the cursor is not one of this list."""
        async with self._unit_of_work() as uow:
            return await uow.trail.list(scope, narrowed_to, limit=limit, cursor=cursor)


class SealingService:
    """Seals the trail and finds out whether the seals still fit.

    Changes commit without waiting for one another: an entry is given its place afterwards, here, by one sealer at a
    time. What commits late, with an earlier time, gets a later place.
    """

    def __init__(
        self, *, unit_of_work: AuditUnitOfWorkFactory, secret_key: str, previous_secret_keys: Sequence[str] = ()
    ) -> None:
        """:param previous_secret_keys: those that the secret key has replaced, the latest first."""
        self._unit_of_work = unit_of_work
        self._keys = [seal_key(each) for each in (*reversed(previous_secret_keys), secret_key)]

    async def seal_entries(self, *, limit: int = SEALED_AT_ONCE) -> Sequence[AuditRecord]:
        """Seal what waits, no more than ``limit`` entries; give what was sealed, in the order of the chain."""
        async with self._unit_of_work() as uow:
            head = await uow.trail.find_head(for_sealing=True)
            entries = await uow.trail.list_unsealed(limit=limit)
            if not entries:
                return []
            sealed = list(seal(self._keys[-1], head, entries))
            await uow.trail.save_places(sealed)
            await uow.commit()
        return sealed

    async def walk_chain(self, *, tell: Callable[[int], None] = lambda _: None) -> ChainReport:
        """Compare every seal with what it seals; ``tell`` hears of each position that was reached."""
        walk = ChainWalk(self._keys)
        position: int | None = None
        while True:
            async with self._unit_of_work() as uow:
                records = await uow.trail.list_sealed(after=position, limit=WALKED_AT_ONCE)
            for record in records:
                walk.step(record)
            if not records or records[-1].place is None:
                return walk.report
            position = records[-1].place.position
            tell(position)

    async def find_head(self) -> ChainHead | None:
        """Give the end of the chain, to be noted elsewhere: it shows later whether the end was cut off."""
        async with self._unit_of_work() as uow:
            return await uow.trail.find_head()

    async def holds_head(self, *, head: ChainHead) -> bool:
        """Tell whether what was the end of the chain some time ago is still in it."""
        async with self._unit_of_work() as uow:
            return await uow.trail.find_place(head.position) == head

    async def count_waiting(self) -> Waiting:
        """Count the entries without a seal: where a worker runs, none waits for longer than a second or so."""
        async with self._unit_of_work() as uow:
            return await uow.trail.count_unsealed()
