"""Reading and changing device shadows."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from weakref import WeakValueDictionary

from iotsphere.kernel.actor import Actor, ActorKind
from iotsphere.kernel.audit import Attempt
from iotsphere.kernel.clock import Clock
from iotsphere.kernel.errors import DomainError, PreconditionFailedError, RuleViolationError, UnavailableError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.kernel.pagination import Page
from iotsphere.shadow.convergence import settle
from iotsphere.shadow.errors import (
    DesiredStateForbiddenError,
    RefusalForbiddenError,
    ShadowBusyError,
    ShadowChangeUnconfirmedError,
    ShadowDeletionForbiddenError,
    ShadowNotFoundError,
    ShadowsRebuildingError,
    ShadowUnrestoredError,
    ShadowVersionConflictError,
    StoreUnverifiedError,
)
from iotsphere.shadow.journal import JournalService
from iotsphere.shadow.limits import check_patch, check_requests, check_size
from iotsphere.shadow.model import (
    DESIRED,
    REPORTED,
    ChangeKind,
    NamedShadow,
    Shadow,
    ShadowChange,
    ShadowDocument,
    ShadowKey,
    ShadowPatch,
)
from iotsphere.shadow.ports import (
    JournalUnitOfWorkFactory,
    ShadowRecovery,
    ShadowRepository,
    ShadowRules,
)
from iotsphere.shadow.written import WrittenShadows

# A change that keeps losing to others, or waits for a slow disk, is given up rather than left hanging.
WRITE_SECONDS = 2.5

READ_SECONDS = 2.5

MakeChange = Callable[[Shadow], Awaitable[ShadowChange]]
# With these the store says that it has done nothing, and what has to be done first.
RECOVERABLE = StoreUnverifiedError, ShadowUnrestoredError


class DeviceShadowService:
    """Shadows as they are.

    Every method raises ShadowsRebuildingError where the store has to be brought back first, and that takes longer
    than a request should wait.
    """

    def __init__(
        self,
        *,
        shadows: ShadowRepository,
        recovery: ShadowRecovery,
        rules: ShadowRules,
        journal: JournalService,
        unit_of_work: JournalUnitOfWorkFactory,
        clock: Clock,
    ) -> None:
        self._shadows = shadows
        self._recovery = recovery
        self._rules = rules
        self._journal = journal
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._written = WrittenShadows()
        self._turns: WeakValueDictionary[ShadowKey, asyncio.Lock] = WeakValueDictionary()

    async def get_shadow(self, *, key: ShadowKey) -> ShadowDocument:
        """:raises ShadowNotFoundError: it was deleted, or has a name and was never written."""
        try:
            found = await self._shadows.find(key)
        except RECOVERABLE:
            async with _reading():
                found = await self._find(key)
        return _existing(key, found).show(self._clock())

    async def list_named_shadows(self, *, device_id: DeviceId, limit: int, cursor: str | None) -> Page[NamedShadow]:
        """List the named shadows of a device, the newest last.

        While the store is being rebuilt they are told from the journal, whose cursors are its own.

        :raises CursorMalformedError: the cursor is none of this list.
        """
        async with _reading():
            while True:
                try:
                    return await self._shadows.list(device_id, limit=limit, cursor=cursor)
                except StoreUnverifiedError:
                    await self._recovery.verify()
                except ShadowUnrestoredError:
                    async with self._unit_of_work() as uow:
                        return await uow.journal.list_named(device_id, limit=limit, cursor=cursor)

    async def update_shadow(
        self, *, attempt: Attempt, key: ShadowKey, patch: ShadowPatch, expected_version: int | None = None
    ) -> ShadowChange:
        """Merge a patch into a shadow, which need not exist, and settle what it settles of what was desired.

        ``expected_version`` is the precondition of a request, the patch has one of its own.

        :raises DesiredStateForbiddenError: a device wrote more than ``reported``.
        :raises RefusalForbiddenError: somebody else than the device refused what is desired of it.
        :raises RuleViolationError: something in the patch is over a limit, or what would be desired breaks the schema
            of the device's type.
        :raises ShadowTooLargeError: merged, the state would be too large.
        :raises ShadowVersionConflictError: the shadow is not at the version that the patch names.
        :raises PreconditionFailedError: the shadow is not at the expected version.
        """
        _check_author(attempt.caller, patch)
        check_patch(patch)

        async def merge_patch(current: Shadow) -> ShadowChange:
            _check_version(current, expected_version)
            if patch.version is not None and patch.version != current.version:
                raise ShadowVersionConflictError(expected=patch.version, current=current.version)
            changed = current.change(patch.sections, self._clock())
            check_size(changed.state)
            if DESIRED in patch.sections:
                check_requests(changed.desired.state)
            changed = await self._judge(key, changed, patch)
            return _change(attempt, key, current, changed, patch)

        return await self._write(key, merge_patch, fsynced=DESIRED in patch.sections)

    async def delete_shadow(
        self, *, attempt: Attempt, key: ShadowKey, expected_version: int | None = None
    ) -> ShadowChange:
        """Delete a shadow; its version goes on if it is written again.

        :raises ShadowDeletionForbiddenError: the caller is a device.
        :raises ShadowNotFoundError: it was deleted, or has a name and was never written.
        :raises PreconditionFailedError: it is not at the expected version.
        """
        if attempt.caller.kind is ActorKind.DEVICE:
            raise ShadowDeletionForbiddenError

        async def delete(current: Shadow) -> ShadowChange:
            existing = _existing(key, current if current.version else None)
            _check_version(current, expected_version)
            return _change(attempt, key, existing, existing.delete(self._clock()))

        return await self._write(key, delete, fsynced=True)

    async def _judge(self, key: ShadowKey, changed: Shadow, patch: ShadowPatch) -> Shadow:
        """Flag what the device reports against the schema of its type.

        :raises RuleViolationError: what would be desired of it breaks the schema.
        """
        if not patch.sections:
            return changed
        found = await self._rules.check(key, changed, sections=patch.sections)
        refused: dict[str, list[str]] = {}
        for violation in found:
            if violation.path.startswith(f"state.{DESIRED}"):
                refused.setdefault(violation.path, []).append(violation.message)
        if refused:
            raise RuleViolationError("The type of the device does not allow this. See errors.", refused)
        if REPORTED not in patch.sections or found == changed.violations:
            return changed
        return replace(changed, violations=found)

    async def _write(self, key: ShadowKey, make_change: MakeChange, *, fsynced: bool) -> ShadowChange:
        """Change and store a shadow, again and again until no other write came between.

        What has to be there whatever happens to the store is in the journal as well before it is answered, unless
        the telemetry store is away: then the change stream takes it there later.
        """
        # Other processes are met by comparing versions. Within this one, taking turns is fair and saves the races.
        turn = self._turns.setdefault(key, asyncio.Lock())
        is_ours = False
        try:
            async with asyncio.timeout(WRITE_SECONDS), turn:
                is_ours = True
                stored = await self._replace_written(key, make_change, fsynced=fsynced)
                while stored is None:
                    current = await self._find(key) or Shadow()
                    stored = await self._save(await make_change(current), current, fsynced=fsynced)
        except TimeoutError as error:
            raise (ShadowChangeUnconfirmedError if is_ours else ShadowBusyError) from error
        if fsynced:
            with suppress(UnavailableError):
                await self._journal.append_now(changes=[stored])
        return stored

    async def _replace_written(
        self, key: ShadowKey, make_change: MakeChange, *, fsynced: bool
    ) -> ShadowChange | None:
        """Try the change on what this process wrote last, which saves reading it; None if it has to be read."""
        written = self._written.find(key, generation=self._recovery.generation)
        if written is None:
            return None
        try:
            change = await make_change(written)
        except DomainError:
            # Another process may have written since: what is refused is refused because of what the store holds.
            return None
        return await self._save(change, written, fsynced=fsynced)

    async def _find(self, key: ShadowKey) -> Shadow | None:
        while True:
            try:
                return await self._shadows.find(key)
            except RECOVERABLE as sign:
                await self._recover(key, sign)

    async def _save(self, change: ShadowChange, current: Shadow, *, fsynced: bool) -> ShadowChange | None:
        """Store a change, and remember it; None if nothing was stored, and the shadow has to be read anew."""
        self._written.remove(change.key)
        try:
            with self._recovery.attempt():
                stored = await self._try(change, current, fsynced=fsynced)
        except RECOVERABLE as sign:
            await self._recover(change.key, sign)
            return None
        if stored is not None:
            self._written.save(stored)
        return stored

    async def _try(self, change: ShadowChange, current: Shadow, *, fsynced: bool) -> ShadowChange | None:
        try:
            stored = await self._shadows.save(change, replacing=current.version, fsynced=fsynced)
        except (ShadowChangeUnconfirmedError, asyncio.CancelledError):
            self._recovery.doubt()
            raise
        if stored is not None:
            self._recovery.remember(stored)
        return stored

    async def _recover(self, key: ShadowKey, sign: Exception) -> None:
        if isinstance(sign, ShadowUnrestoredError):
            await self._restore(key)
        else:
            await self._recovery.verify()

    async def _restore(self, key: ShadowKey) -> None:
        try:
            await self._recovery.restore(key)
        except StoreUnverifiedError:
            # The store was lost again meanwhile.
            await self._recovery.verify()


@asynccontextmanager
async def _reading() -> AsyncIterator[None]:
    """Give up a reading for which the store would have to be brought back, and that takes too long."""
    try:
        async with asyncio.timeout(READ_SECONDS):
            yield
    except TimeoutError as error:
        raise ShadowsRebuildingError from error


def _check_author(caller: Actor, patch: ShadowPatch) -> None:
    if caller.kind is not ActorKind.DEVICE and patch.refusals:
        raise RefusalForbiddenError
    if caller.kind is ActorKind.DEVICE and DESIRED in patch.sections:
        raise DesiredStateForbiddenError


def _check_version(current: Shadow, expected: int | None) -> None:
    if expected is not None and expected != current.version:
        raise PreconditionFailedError(f"The shadow is at version {current.version}.")


def _change(
    attempt: Attempt, key: ShadowKey, before: Shadow, after: Shadow, patch: ShadowPatch | None = None
) -> ShadowChange:
    """Make the change from one shadow to the next; without a patch, it was deleted."""
    pending, settlements = settle(before, after, patch)
    return ShadowChange(
        key=key,
        kind=ChangeKind.DELETED if patch is None else ChangeKind.UPDATED,
        shadow=after if pending is after.pending else replace(after, pending=pending),
        actor=attempt.caller.name,
        correlation_id=attempt.correlation_id,
        patch=patch,
        settlements=settlements,
    )


def _existing(key: ShadowKey, shadow: Shadow | None) -> Shadow:
    """:raises ShadowNotFoundError: it was deleted, or has a name and was never written."""
    if shadow is None and key.name is None:
        return Shadow()
    if shadow is None or shadow.is_deleted:
        raise ShadowNotFoundError
    return shadow
