"""What shadows were, who changed them, and what became of all that was desired: told from the journal."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from iotsphere.kernel.pagination import Page
from iotsphere.shadow.convergence import settle
from iotsphere.shadow.errors import (
    ShadowJournalBehindError,
    ShadowNotFoundError,
    ShadowVersionNotFoundError,
    StoreUnverifiedError,
)
from iotsphere.shadow.limits import MAX_INTEGER
from iotsphere.shadow.model import DesiredRequest, RequestState, Shadow, ShadowChange, ShadowKey
from iotsphere.shadow.ports import Backlog, ChangeStream, JournalUnitOfWorkFactory, ShadowJournal, ShadowRecovery

# Whoever has had an answer finds what it was about: the journal is at most a moment behind the store.
WAIT_SECONDS = 2.0
POLL_SECONDS = 0.02


def rebuild(changes: Sequence[ShadowChange]) -> Shadow:
    """Make a shadow again of the last change that holds it whole, and of those that followed."""
    shadow = changes[0].shadow
    for change in changes[1:]:
        after = shadow.change(change.patch.sections if change.patch else {}, change.at)
        pending, _ = settle(shadow, after, change.patch)
        shadow = replace(after, pending=pending, violations=change.shadow.violations)
    return shadow


class ShadowHistoryService:
    """Every method waits for the journal to hold what was acknowledged before.

    :raises ShadowJournalBehindError: it took too long.
    :raises UnavailableError: the telemetry store does not answer.
    """

    def __init__(
        self, *, unit_of_work: JournalUnitOfWorkFactory, stream: ChangeStream, recovery: ShadowRecovery
    ) -> None:
        self._unit_of_work = unit_of_work
        self._stream = stream
        self._recovery = recovery

    async def list_changes(
        self, *, key: ShadowKey, start: datetime | None, end: datetime | None, limit: int, cursor: str | None
    ) -> Page[ShadowChange]:
        """List changes, the newest first, with ``start`` inclusive and ``end`` exclusive.

        :raises ShadowNotFoundError: it has a name, and was never written.
        :raises CursorMalformedError: the cursor is not one of this list.
        """
        await self._catch_up()
        async with self._unit_of_work() as uow:
            page = await uow.journal.list(key, start=start, end=end, limit=limit, cursor=cursor)
            if not page.items:
                await _check_written(uow.journal, key)
            return page

    async def get_version(self, *, key: ShadowKey, version: int) -> Shadow:
        """Give a shadow as it was at a version.

        :raises ShadowNotFoundError: it was deleted with that version; or it has a name, and was never written.
        :raises ShadowVersionNotFoundError: there was no such version, or it cannot be made again.
        """
        if version == 0 and key.name is None:
            return Shadow()
        await self._catch_up()
        async with self._unit_of_work() as uow:
            await _check_written(uow.journal, key)
            return await _get_version(uow.journal, key, version)

    async def get_at(self, *, key: ShadowKey, at: datetime) -> Shadow:
        """Give a shadow as it was at a time.

        :raises ShadowNotFoundError: there was none: not yet, or it was deleted.
        :raises ShadowVersionNotFoundError: the version that it had cannot be made again.
        """
        await self._catch_up()
        async with self._unit_of_work() as uow:
            version = await uow.journal.find_version_at(key, at)
            if version is not None:
                return await _get_version(uow.journal, key, version)
            if key.name is None:
                return Shadow()
            await _check_written(uow.journal, key)
            raise ShadowNotFoundError("The device had no such shadow yet at that time.")

    async def list_requests(
        self, *, key: ShadowKey, state: RequestState | None, limit: int, cursor: str | None
    ) -> Page[DesiredRequest]:
        """List every value that was ever desired, the newest first, with what became of it.

        :raises ShadowNotFoundError: it has a name, and was never written.
        :raises CursorMalformedError: the cursor is not one of this list.
        """
        await self._catch_up()
        async with self._unit_of_work() as uow:
            page = await uow.journal.list_requests(key, state=state, limit=limit, cursor=cursor)
            if not page.items:
                await _check_written(uow.journal, key)
            return page

    async def _catch_up(self) -> None:
        """Wait until all is in the journal that was in the stream at the beginning."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                waiting = await self._measure()
                newest = waiting.newest
                if newest is not None:
                    await self._check_journal()
                while newest is not None and waiting.oldest is not None and waiting.oldest <= newest:
                    await asyncio.sleep(POLL_SECONDS)
                    waiting = await self._measure()
        except TimeoutError as error:
            raise ShadowJournalBehindError from error

    async def _check_journal(self) -> None:
        """Wait for no journal that is away, for it catches up with nothing.

        :raises UnavailableError: it is.
        """
        async with self._unit_of_work() as uow:
            await uow.journal.find_generation()

    async def _measure(self) -> Backlog:
        """Ask the store that holds what was acknowledged, for an emptied one has nothing waiting either."""
        while True:
            try:
                return await self._stream.measure()
            except StoreUnverifiedError:
                await self._recovery.verify()


async def _get_version(journal: ShadowJournal, key: ShadowKey, version: int) -> Shadow:
    changes = await journal.list_since_kept(key, version=version) if 0 < version <= MAX_INTEGER else []
    if not changes:
        raise ShadowVersionNotFoundError(version)
    shadow = rebuild(changes)
    if shadow.is_deleted:
        raise ShadowNotFoundError(f"The shadow was deleted with version {version}.")
    return shadow


async def _check_written(journal: ShadowJournal, key: ShadowKey) -> None:
    """:raises ShadowNotFoundError: it has a name, and was never written."""
    if key.name is not None and await journal.find_head(key) is None:
        raise ShadowNotFoundError
