"""Reading and changing device shadows."""

import asyncio
from collections.abc import Callable
from weakref import WeakValueDictionary

from iotsphere.kernel.actor import ActorKind
from iotsphere.kernel.audit import Attempt
from iotsphere.kernel.clock import Clock
from iotsphere.kernel.errors import PreconditionFailedError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.kernel.pagination import Page
from iotsphere.shadow.errors import (
    DesiredStateForbiddenError,
    ShadowChangeUnconfirmedError,
    ShadowDeletionForbiddenError,
    ShadowNotFoundError,
    ShadowVersionConflictError,
)
from iotsphere.shadow.limits import check_patch, check_size
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

# A change that keeps losing to others, or waits for a slow disk, is given up rather than left hanging.
WRITE_SECONDS = 2.5


class DeviceShadowService:
    def __init__(self, *, shadows: ShadowRepository, clock: Clock) -> None:
        self._shadows = shadows
        self._clock = clock
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
        """Merge a patch into a shadow, which need not exist.

        ``expected_version`` is the precondition of a request, the patch has one of its own.

        :raises DesiredStateForbiddenError: a device wrote more than ``reported``.
        :raises RuleViolationError: something in the patch is over a limit.
        :raises ShadowTooLargeError: merged, the state would be too large.
        :raises ShadowVersionConflictError: the shadow is not at the version that the patch names.
        :raises PreconditionFailedError: the shadow is not at the expected version.
        """
        if attempt.caller.kind is ActorKind.DEVICE and DESIRED in patch.sections:
            raise DesiredStateForbiddenError
        check_patch(patch)

        def merge_patch(current: Shadow) -> ShadowChange:
            if patch.version is not None and patch.version != current.version:
                raise ShadowVersionConflictError(expected=patch.version, current=current.version)
            changed = current.change(patch.sections, self._clock())
            check_size(changed.state)
            return _change(attempt, key, ChangeKind.UPDATED, changed, patch)

        return await self._write(key, merge_patch, expected_version, fsynced=DESIRED in patch.sections)

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
            return _change(attempt, key, ChangeKind.DELETED, existing.delete(self._clock()))

        return await self._write(key, delete, expected_version, fsynced=True)

    async def _write(
        self,
        key: ShadowKey,
        make_change: Callable[[Shadow], ShadowChange],
        expected_version: int | None,
        *,
        fsynced: bool,
    ) -> ShadowChange:
        """Read, change and store until no other write came between."""
        # Other processes are met by comparing versions. Within this one, taking turns is fair and saves the races.
        turn = self._turns.setdefault(key, asyncio.Lock())
        try:
            async with asyncio.timeout(WRITE_SECONDS), turn:
                while True:
                    current = await self._shadows.find(key) or Shadow()
                    if expected_version is not None and expected_version != current.version:
                        raise PreconditionFailedError(f"The shadow is at version {current.version}.")
                    change = make_change(current)
                    stored = await self._shadows.save(change, replacing=current.version, fsynced=fsynced)
                    if stored is not None:
                        return stored
        except TimeoutError as error:
            raise ShadowChangeUnconfirmedError from error


def _change(
    attempt: Attempt, key: ShadowKey, kind: ChangeKind, shadow: Shadow, patch: ShadowPatch | None = None
) -> ShadowChange:
    return ShadowChange(
        key=key,
        kind=kind,
        shadow=shadow,
        actor=attempt.caller.name,
        correlation_id=attempt.correlation_id,
        patch=patch,
    )


def _existing(key: ShadowKey, shadow: Shadow | None) -> Shadow:
    """:raises ShadowNotFoundError: it was deleted, or has a name and was never written."""
    if shadow is None and key.name is None:
        return Shadow()
    if shadow is None or shadow.is_deleted:
        raise ShadowNotFoundError
    return shadow
