"""Reading and changing device shadows."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from weakref import WeakValueDictionary

from iotsphere.kernel.actor import Actor, ActorKind
from iotsphere.kernel.audit import Attempt
from iotsphere.kernel.clock import Clock
from iotsphere.kernel.errors import DomainError, PreconditionFailedError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.kernel.pagination import Page
from iotsphere.shadow.convergence import settle
from iotsphere.shadow.errors import (
    DesiredStateForbiddenError,
    RefusalForbiddenError,
    ShadowChangeUnconfirmedError,
    ShadowDeletionForbiddenError,
    ShadowNotFoundError,
    ShadowVersionConflictError,
)
from iotsphere.shadow.limits import check_patch, check_requests, check_size
from iotsphere.shadow.model import (
    DESIRED,
    ChangeKind,
    NamedShadow,
    Shadow,
    ShadowChange,
    ShadowDocument,
    ShadowKey,
    ShadowPatch,
)
from iotsphere.shadow.ports import ShadowRepository
from iotsphere.shadow.written import WrittenShadows

# A change that keeps losing to others, or waits for a slow disk, is given up rather than left hanging.
WRITE_SECONDS = 2.5

MakeChange = Callable[[Shadow], ShadowChange]


class DeviceShadowService:
    def __init__(self, *, shadows: ShadowRepository, clock: Clock) -> None:
        self._shadows = shadows
        self._clock = clock
        self._written = WrittenShadows()
        self._turns: WeakValueDictionary[ShadowKey, asyncio.Lock] = WeakValueDictionary()

    async def get_shadow(self, *, key: ShadowKey) -> ShadowDocument:
        """:raises ShadowNotFoundError: it was deleted, or has a name and was never written."""
        shadow = _existing(key, await self._shadows.find(key))
        return shadow.show(self._clock())

    async def list_named_shadows(self, *, device_id: DeviceId, limit: int, cursor: str | None) -> Page[NamedShadow]:
        return await self._shadows.list(device_id, limit=limit, cursor=cursor)

    async def update_shadow(
        self, *, attempt: Attempt, key: ShadowKey, patch: ShadowPatch, expected_version: int | None = None
    ) -> ShadowChange:
        """Merge a patch into a shadow, which need not exist, and settle what it settles of what was desired.

        ``expected_version`` is the precondition of a request, the patch has one of its own.

        :raises DesiredStateForbiddenError: a device wrote more than ``reported``.
        :raises RefusalForbiddenError: somebody else than the device refused what is desired of it.
        :raises RuleViolationError: something in the patch is over a limit.
        :raises ShadowTooLargeError: merged, the state would be too large.
        :raises ShadowVersionConflictError: the shadow is not at the version that the patch names.
        :raises PreconditionFailedError: the shadow is not at the expected version.
        """
        _check_author(attempt.caller, patch)
        check_patch(patch)

        def merge_patch(current: Shadow) -> ShadowChange:
            _check_version(current, expected_version)
            if patch.version is not None and patch.version != current.version:
                raise ShadowVersionConflictError(expected=patch.version, current=current.version)
            changed = current.change(patch.sections, self._clock())
            check_size(changed.state)
            if DESIRED in patch.sections:
                check_requests(changed.desired.state)
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

        def delete(current: Shadow) -> ShadowChange:
            existing = _existing(key, current if current.version else None)
            _check_version(current, expected_version)
            return _change(attempt, key, existing, existing.delete(self._clock()))

        return await self._write(key, delete, fsynced=True)

    async def _write(self, key: ShadowKey, make_change: MakeChange, *, fsynced: bool) -> ShadowChange:
        """Change and store a shadow, again and again until no other write came between."""
        # Other processes are met by comparing versions. Within this one, taking turns is fair and saves the races.
        turn = self._turns.setdefault(key, asyncio.Lock())
        try:
            async with asyncio.timeout(WRITE_SECONDS), turn:
                stored = await self._replace_written(key, make_change, fsynced=fsynced)
                while stored is None:
                    current = await self._shadows.find(key) or Shadow()
                    stored = await self._save(make_change(current), current, fsynced=fsynced)
        except TimeoutError as error:
            raise ShadowChangeUnconfirmedError from error
        return stored

    async def _replace_written(
        self, key: ShadowKey, make_change: MakeChange, *, fsynced: bool
    ) -> ShadowChange | None:
        """Try the change on what this process wrote last, which saves reading it; None if it has to be read."""
        written = self._written.find(key)
        if written is None:
            return None
        try:
            change = make_change(written)
        except DomainError:
            # Another process may have written since: what is refused is refused because of what the store holds.
            return None
        return await self._save(change, written, fsynced=fsynced)

    async def _save(self, change: ShadowChange, current: Shadow, *, fsynced: bool) -> ShadowChange | None:
        self._written.remove(change.key)
        stored = await self._shadows.save(change, replacing=current.version, fsynced=fsynced)
        if stored is not None:
            self._written.save(stored)
        return stored


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
