"""The journal of shadows in memory; the contract suite holds it to what PostgreSQL does."""

import asyncio
import builtins
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Annotated, Self
from uuid import UUID

import msgspec

from iotsphere.kernel.clock import Clock, utc_now
from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.kernel.pagination import Page, decode_cursor, encode_cursor
from iotsphere.shadow.errors import ChangesRefusedError
from iotsphere.shadow.keeping import RequestNote, is_kept_whole, notes_of
from iotsphere.shadow.model import (
    DesiredRequest,
    Generation,
    NamedShadow,
    RequestState,
    Shadow,
    ShadowChange,
    ShadowHead,
    ShadowKey,
    ShadowPatch,
)
from iotsphere.shadow.ports import ShadowJournal

Version = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Path = Annotated[str, msgspec.Meta(pattern=r"\A[^\x00]*\Z")]


@dataclass
class JournalData:
    """What is in the journal; while it ``is_away`` nobody can ask."""

    changes: dict[tuple[ShadowKey, int], ShadowChange] = field(default_factory=dict)
    heads: dict[ShadowKey, ShadowHead] = field(default_factory=dict)
    notes: dict[tuple[ShadowKey, int, str], RequestNote] = field(default_factory=dict)
    generations: dict[int, Generation] = field(default_factory=dict)
    writers: dict[tuple[UUID, int], bool] = field(default_factory=dict)
    """Who may write in which generation, and whether they are closed."""
    refused: dict[tuple[ShadowKey, int], str] = field(default_factory=dict)
    is_away: bool = False
    clock: Clock = utc_now
    heads_lock: asyncio.Lock = field(default_factory=asyncio.Lock)


Operation = Callable[[JournalData], object]


class InMemoryShadowJournal:
    """Works on a draft, and notes what it did, for the commit to do it again."""

    def __init__(self, draft: JournalData, data: JournalData) -> None:
        self._draft = draft
        self._data = data
        self.operations: list[Operation] = []
        self.has_heads = False

    def _do(self, operation: Operation) -> None:
        operation(self._draft)
        self.operations.append(operation)

    async def append(self, changes: Sequence[ShadowChange]) -> None:
        if any("\0" in change.correlation_id for change in changes):
            raise ChangesRefusedError("PostgreSQL keeps no null character.")
        for change in changes:
            self._do(partial(_append, change=change))

    async def put_aside(self, change: ShadowChange, *, reason: str) -> None:
        self._do(lambda data: data.refused.update({(change.key, change.version): reason}))

    async def count_put_aside(self) -> int:
        return len(self._draft.refused)

    async def find_head(self, key: ShadowKey) -> ShadowHead | None:
        return self._draft.heads.get(key)

    async def find_heads(self, keys: Sequence[ShadowKey], *, for_update: bool = False) -> builtins.list[ShadowHead]:
        if for_update:
            await self._data.heads_lock.acquire()
            self.has_heads = True
            self._draft.heads.update(self._data.heads)
        return [self._draft.heads[key] for key in set(keys) & self._draft.heads.keys()]

    async def list_heads(self, *, after: ShadowKey | None, limit: int) -> builtins.list[ShadowHead]:
        keys = sorted(self._draft.heads, key=_order)
        return [self._draft.heads[key] for key in keys if after is None or _order(key) > _order(after)][:limit]

    async def list_named(self, device_id: DeviceId, *, limit: int, cursor: str | None) -> Page[NamedShadow]:
        (last,) = decode_cursor(cursor, tuple[str]) if cursor is not None else ("",)
        found = [
            NamedShadow(key.name, self._draft.heads[key].shadow.version)
            for key in sorted(self._draft.heads, key=_order)
            if key.device_id == device_id
            and key.name is not None
            and key.name > last
            and not self._draft.heads[key].shadow.is_deleted
        ]
        return Page(found[:limit], encode_cursor(found[limit - 1].name) if len(found) > limit else None)

    async def list(
        self, key: ShadowKey, *, start: datetime | None, end: datetime | None, limit: int, cursor: str | None
    ) -> Page[ShadowChange]:
        last = decode_cursor(cursor, tuple[datetime, Version]) if cursor is not None else None
        found = [
            _as_listed(change)
            for change in reversed(self._changes_of(key))
            if (start is None or change.at >= start)
            and (end is None or change.at < end)
            and (last is None or (change.at, change.version) < last)
        ]
        more = len(found) > limit
        next_cursor = encode_cursor(found[limit - 1].at, found[limit - 1].version) if more else None
        return Page(found[:limit], next_cursor)

    async def find_version_at(self, key: ShadowKey, at: datetime) -> int | None:
        return max((change.version for change in self._changes_of(key) if change.at <= at), default=None)

    async def list_since_kept(self, key: ShadowKey, *, version: int) -> Sequence[ShadowChange]:
        found: list[ShadowChange] = []
        while change := self._draft.changes.get((key, version - len(found))):
            if is_kept_whole(change):
                return [replace(_as_listed(change), shadow=change.shadow), *reversed(found)]
            found.append(_as_listed(change))
        return []

    async def list_requests(
        self, key: ShadowKey, *, state: RequestState | None, limit: int, cursor: str | None
    ) -> Page[DesiredRequest]:
        last = decode_cursor(cursor, tuple[Version, Path]) if cursor is not None else None
        notes = sorted(self._draft.notes.items(), key=lambda item: item[0][1:], reverse=True)
        found = [
            _as_request(note)
            for (owner, *place), note in notes
            if owner == key
            and note.requested_by is not None
            and state in {None, note.state}
            and (last is None or tuple(place) < last)
        ]
        more = len(found) > limit
        next_cursor = encode_cursor(found[limit - 1].requested_version, found[limit - 1].path) if more else None
        return Page(found[:limit], next_cursor)

    async def find_generation(self) -> Generation | None:
        return max(self._draft.generations.values(), key=lambda generation: generation.number, default=None)

    async def add_generation(self, number: int) -> None:
        generation = Generation(number, self._draft.clock())
        self._do(lambda data: data.generations.setdefault(number, generation))

    async def decide_version_jump(self, number: int, *, jump: int) -> int:
        def decide(data: JournalData) -> None:
            if data.generations[number].version_jump is None:
                is_open = any(not closed for (_, generation), closed in data.writers.items() if generation < number)
                _change(data, number, version_jump=jump if is_open else 0)

        self._do(decide)
        decided = self._draft.generations[number].version_jump
        assert decided is not None
        return decided

    async def end_rebuilding(self, number: int) -> None:
        now = self._draft.clock()
        self._do(lambda data: _change(data, number, rebuilt_at=data.generations[number].rebuilt_at or now))

    async def open_writer(self, writer_id: UUID, *, generation: int) -> None:
        self._do(lambda data: data.writers.update({(writer_id, generation): False}))

    async def close_writers(self, writer_ids: Collection[UUID], *, generation: int) -> None:
        self._do(
            lambda data: data.writers.update(
                {entry: True for entry in data.writers if entry[0] in writer_ids and entry[1] <= generation}
            )
        )

    async def list_open_writers(self, *, before: int | None = None) -> Sequence[UUID]:
        opened = (place for place, is_closed in self._draft.writers.items() if not is_closed)
        return sorted({writer_id for writer_id, number in opened if before is None or number < before})

    def _changes_of(self, key: ShadowKey) -> builtins.list[ShadowChange]:
        found = [change for (owner, _), change in self._draft.changes.items() if owner == key]
        return sorted(found, key=lambda change: (change.at, change.version))


class InMemoryJournalUnitOfWork:
    """Works on a copy of ``data``; what was done to the copy is done to the data when it is committed."""

    journal: ShadowJournal

    def __init__(self, data: JournalData) -> None:
        self._data = data

    async def __aenter__(self) -> Self:
        self._raise_if_away()
        draft = replace(
            self._data,
            changes=dict(self._data.changes),
            heads=dict(self._data.heads),
            notes=dict(self._data.notes),
            generations=dict(self._data.generations),
            writers=dict(self._data.writers),
            refused=dict(self._data.refused),
        )
        self.journal = self._journal = InMemoryShadowJournal(draft, self._data)
        return self

    async def commit(self) -> None:
        self._raise_if_away()
        for operation in self._journal.operations:
            operation(self._data)
        self._journal.operations.clear()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._journal.operations.clear()
        if self._journal.has_heads:
            self._journal.has_heads = False
            self._data.heads_lock.release()

    def _raise_if_away(self) -> None:
        if self._data.is_away:
            raise UnavailableError("telemetry", "The telemetry store does not answer. Try again shortly.")


def _append(data: JournalData, *, change: ShadowChange) -> None:
    known = data.changes.setdefault((change.key, change.version), deepcopy(change))
    if known.at != change.at:
        data.refused[change.key, change.version] = "another change"
    head = data.heads.get(change.key)
    if head is None or head.shadow.version < change.version:
        data.heads[change.key] = ShadowHead(change.key, change.shadow, change.generation)
    for note in notes_of(change):
        place = change.key, note.requested_version, note.path
        data.notes[place] = data.notes[place].join(note) if place in data.notes else note
    if change.generation in data.generations:
        position = max(change.position, data.generations[change.generation].position)
        _change(data, change.generation, position=position)


def _change(data: JournalData, number: int, **changed: object) -> None:
    data.generations[number] = replace(data.generations[number], **changed)  # type: ignore[arg-type]  # by name


def _order(key: ShadowKey) -> tuple[int, str]:
    return key.device_id.int, key.name or ""


def _as_listed(change: ShadowChange) -> ShadowChange:
    shadow, patch = change.shadow, change.patch
    return replace(
        change,
        shadow=Shadow(shadow.version, violations=shadow.violations, changed_at=shadow.changed_at),
        patch=None if patch is None else ShadowPatch(patch.state, refusals=patch.refusals),
        settlements=[],
        position=0,
    )


def _as_request(note: RequestNote) -> DesiredRequest:
    assert note.requested_by is not None
    assert note.requested_at is not None
    return DesiredRequest(
        note.path,
        note.value,
        note.requested_by,
        note.requested_at,
        note.requested_version,
        note.state,
        note.settled_at,
        note.settled_version,
        note.refusal,
    )


class QuietRecovery:
    """A recovery that never has anything to do, and counts how often it was asked to see to it."""

    def __init__(self) -> None:
        self.verified = 0
        self.generation: int | None = 1

    async def verify(self) -> None:
        self.verified += 1

    async def restore(self, key: ShadowKey) -> None:
        raise AssertionError(f"{key} needs no restoring")

    def attempt(self) -> AbstractContextManager[None]:
        return nullcontext()

    def remember(self, change: ShadowChange) -> None:
        """Nothing is ever lost."""

    def doubt(self) -> None:
        """Likewise."""
