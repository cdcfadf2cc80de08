"""The shadow store in memory; the contract suite holds it to what Redis does."""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from uuid import UUID

import msgspec

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.kernel.pagination import Page, decode_cursor, encode_cursor
from iotsphere.shadow.errors import ShadowJournalFullError, ShadowUnrestoredError, StoreUnverifiedError
from iotsphere.shadow.model import NamedShadow, Shadow, ShadowChange, ShadowHead, ShadowKey
from iotsphere.shadow.ports import Backlog, HeldShadow, ShadowStoreCondition, ShadowStoreSurvey, StoreSign

LISTED_AT_ONCE = 2
DAMAGED = Shadow(version=-1)
"""What stands for a document that cannot be read."""


@dataclass
class HeldData:
    """What is lost by ``flush``. A document is held with its generation; None says that the journal knows none."""

    generation: int | None = None
    is_rebuilding: bool = False
    documents: dict[ShadowKey, tuple[int, Shadow | None]] = field(default_factory=dict)
    places: dict[ShadowKey, int] = field(default_factory=dict)
    waiting: dict[int, ShadowChange] = field(default_factory=dict)
    taken_at: dict[int, float] = field(default_factory=dict)
    position: int = 0
    present: dict[UUID, str] = field(default_factory=dict)
    confirmed_run: str | None = None
    first: tuple[str, int] | None = None
    backlog_bytes: int = 0
    unreadable: int = 0

    def append(self, change: ShadowChange) -> None:
        self.waiting[change.position] = change
        self.position = change.position
        self.backlog_bytes += _size(change)


class InMemoryShadowServer:
    """A Redis: its data, and the runs that a restart begins."""

    def __init__(self) -> None:
        self.data = HeldData()
        self.run = "run-1"
        self._sequence = 0
        self._runs = 1

    def next_number(self) -> int:
        """Give a number above all before it, as the server's clock does, which a flush does not set back."""
        self._sequence += 1
        return self._sequence

    def flush(self) -> None:
        self.data = HeldData()

    def copy(self) -> HeldData:
        return deepcopy(self.data)

    def restart(self, data: HeldData | None = None) -> None:
        """Begin the next run, with the data of now or with an older copy."""
        self.data = self.data if data is None else deepcopy(data)
        self._runs += 1
        self.run = f"run-{self._runs}"


class InMemoryShadowStore:
    """What one process knows of a server, as the adapters of one process share it."""

    def __init__(self, server: InMemoryShadowServer | None = None) -> None:
        self.server = server or InMemoryShadowServer()
        self.session: tuple[str, int] | None = None

    @classmethod
    def begun(cls) -> "InMemoryShadowStore":
        """Make one that nothing was ever wrong with."""
        store = cls()
        store.server.data.generation = 1
        store.session = (store.server.run, 1)
        return store

    async def enter(self) -> HeldData:
        """Let others go first, and give the data if they are those of the session."""
        await _others_first()
        if self.session != (self.server.run, self.server.data.generation):
            raise StoreUnverifiedError
        return self.server.data

    @property
    def generation(self) -> int:
        assert self.session is not None
        return self.session[1]


class InMemoryShadowRepository:
    def __init__(self, store: InMemoryShadowStore | None = None, *, max_backlog_bytes: int = 2**28) -> None:
        self.store = store or InMemoryShadowStore.begun()
        self._max_backlog_bytes = max_backlog_bytes

    @property
    def stored(self) -> dict[ShadowKey, Shadow]:
        return {key: shadow for key, (_, shadow) in self.store.server.data.documents.items() if shadow}

    async def find(self, key: ShadowKey) -> Shadow | None:
        return self._held(await self.store.enter(), key)

    async def save(self, change: ShadowChange, *, replacing: int, fsynced: bool) -> ShadowChange | None:
        data = await self.store.enter()
        current = self._held(data, change.key)
        if (current.version if current else 0) != replacing:
            return None
        if data.backlog_bytes + _size(change) > self._max_backlog_bytes:
            raise ShadowJournalFullError
        stored = replace(
            change,
            generation=self.store.generation,
            position=self.store.server.next_number(),
            size_bytes=_size(change),
        )
        data.append(stored)
        _place(self.store.server, change.key, change.shadow, generation=self.store.generation)
        return stored

    async def list(self, device_id: DeviceId, *, limit: int, cursor: str | None) -> Page[NamedShadow]:
        (last,) = decode_cursor(cursor, tuple[int]) if cursor is not None else (0,)
        data = await self.store.enter()
        if data.is_rebuilding:
            raise ShadowUnrestoredError
        found = sorted(
            (place, NamedShadow(key.name, self.stored[key].version))
            for key, place in data.places.items()
            if key.device_id == device_id and key.name is not None and place > last
        )
        shown = found[:limit]
        more = len(found) > limit
        return Page([shadow for _, shadow in shown], encode_cursor(shown[-1][0]) if more else None)

    def _held(self, data: HeldData, key: ShadowKey) -> Shadow | None:
        generation, shadow = data.documents.get(key, (0, None))
        if data.is_rebuilding and generation != data.generation:
            raise ShadowUnrestoredError
        return shadow


class InMemoryShadowStoreKeeper:
    def __init__(self, store: InMemoryShadowStore) -> None:
        self._store = store
        self.old_layout: dict[ShadowKey, ShadowChange] = {}

    async def look(self) -> ShadowStoreCondition:
        await _others_first()
        data = self._store.server.data
        run = self._store.server.run
        if data.first is None or data.first[0] != run:
            data.first = run, data.position
        return ShadowStoreCondition(
            run,
            data.generation,
            data.position,
            data.is_rebuilding,
            is_confirmed=data.confirmed_run == run,
            first_position=data.first[1],
        )

    def adopt(self, condition: ShadowStoreCondition, *, generation: int) -> None:
        self._store.session = (condition.run, generation)

    async def begin(self, generation: int, *, is_rebuilding: bool) -> None:
        await _others_first()
        data = self._store.server.data
        if (data.generation or 0) < generation:
            data.generation, data.is_rebuilding = generation, is_rebuilding

    async def restore(self, heads: Sequence[ShadowHead], *, generation: int) -> None:
        data = await self._enter(generation)
        for head in heads:
            held_in, held = data.documents.get(head.key, (0, None))
            if head.shadow.version > (held.version if held else 0):
                _place(self._store.server, head.key, head.shadow, generation=generation)
            elif held_in != generation:
                data.documents[head.key] = (generation, held)

    async def confirm(self, condition: ShadowStoreCondition) -> None:
        (await self._enter_as(condition)).confirmed_run = condition.run

    async def note_progress(self, condition: ShadowStoreCondition, *, share: float) -> None:
        await self._enter_as(condition)

    async def end_rebuilding(self, condition: ShadowStoreCondition) -> None:
        (await self._enter_as(condition)).is_rebuilding = False

    async def adopt_old_layout(self, *, generation: int) -> int:
        await _others_first()
        server, count = self._store.server, len(self.old_layout)
        for key, change in self.old_layout.items():
            stored = replace(change, generation=generation, position=server.next_number())
            server.data.append(stored)
            _place(server, key, change.shadow, generation=generation)
        self.old_layout.clear()
        return count

    async def find_oldest_waiting(self) -> int | None:
        await _others_first()
        return min(self._store.server.data.waiting, default=None)

    async def list_waiting(self, *, after: int, until: int, limit: int) -> list[ShadowChange]:
        waiting = (await self._store.enter()).waiting
        return [waiting[position] for position in sorted(waiting) if after < position <= until][:limit]

    async def renew_presence(self, writer_id: UUID) -> StoreSign:
        data = await self._store.enter()
        data.present[writer_id] = self._store.server.run
        return StoreSign(min(data.waiting, default=None), data.is_rebuilding)

    async def announce(self, condition: ShadowStoreCondition, writer_id: UUID) -> None:
        (await self._enter_as(condition)).present[writer_id] = condition.run

    async def find_present(self, writers: Collection[UUID], *, run: str | None = None) -> set[UUID]:
        await _others_first()
        present = self._store.server.data.present
        return {writer for writer in writers if writer in present and run in {None, present[writer]}}

    async def _enter_as(self, condition: ShadowStoreCondition) -> HeldData:
        await _others_first()
        server = self._store.server
        if (condition.run, condition.generation) != (server.run, server.data.generation):
            raise StoreUnverifiedError
        return server.data

    async def _enter(self, generation: int) -> HeldData:
        data = await self._store.enter()
        if self._store.generation != generation:
            raise StoreUnverifiedError
        return data


class InMemoryChangeStream:
    """Hands out again what was not settled within ``claim_seconds``; nothing is waited for but other tasks."""

    def __init__(
        self,
        store: InMemoryShadowStore,
        *,
        claim_seconds: float = 30.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._claim_seconds = claim_seconds
        self._monotonic = monotonic

    async def read(self, consumer: str, *, limit: int, wait_seconds: float) -> list[ShadowChange]:
        await _others_first()
        data, now = self._store.server.data, self._monotonic()
        stale = [
            position for position in data.waiting
            if position in data.taken_at and now - data.taken_at[position] >= self._claim_seconds
        ]  # fmt: skip
        chosen = (stale or [position for position in data.waiting if position not in data.taken_at])[:limit]
        data.taken_at |= dict.fromkeys(chosen, now)
        return [data.waiting[position] for position in chosen]

    async def settle(self, changes: Sequence[ShadowChange]) -> None:
        await _others_first()
        data = self._store.server.data
        for change in changes:
            found = data.waiting.get(change.position)
            if found is None or found.generation == change.generation:
                data.waiting.pop(change.position, None)
                data.taken_at.pop(change.position, None)
                data.backlog_bytes -= _size(found) if found else 0

    async def measure(self) -> Backlog:
        return _backlog(await self._store.enter())


class InMemoryShadowInventory:
    def __init__(self, server: InMemoryShadowServer) -> None:
        self._server = server

    async def survey(self) -> ShadowStoreSurvey:
        await _others_first()
        data = self._server.data
        return ShadowStoreSurvey(
            data.generation, data.is_rebuilding, data.position, _backlog(data), unreadable=data.unreadable
        )

    async def find_all(self, keys: Sequence[ShadowKey]) -> dict[ShadowKey, HeldShadow]:
        await _others_first()
        documents = self._server.data.documents
        return {
            key: HeldShadow(None if shadow == DAMAGED else shadow, generation)
            for key, (generation, shadow) in documents.items()
            if key in keys and shadow is not None
        }

    async def list(self, *, cursor: str | None) -> Page[ShadowKey]:
        (last,) = decode_cursor(cursor, tuple[int]) if cursor is not None else (0,)
        await _others_first()
        keys = sorted(self._server.data.documents, key=lambda key: (key.device_id.int, key.name or ""))
        found = keys[last : last + LISTED_AT_ONCE]
        end = last + len(found)
        return Page(found, encode_cursor(end) if end < len(keys) else None)


def _backlog(data: HeldData) -> Backlog:
    if not data.waiting:
        return Backlog()
    return Backlog(len(data.waiting), data.backlog_bytes, min(data.waiting), max(data.waiting))


def _place(server: InMemoryShadowServer, key: ShadowKey, shadow: Shadow, *, generation: int) -> None:
    server.data.documents[key] = (generation, shadow)
    if shadow.is_deleted:
        server.data.places.pop(key, None)
    elif key.name is not None and key not in server.data.places:
        server.data.places[key] = server.next_number()


def _size(change: ShadowChange) -> int:
    return len(msgspec.json.encode(change.shadow))


async def _others_first() -> None:
    """Let other tasks run, as waiting for a store does: a race that could happen does happen."""
    await asyncio.sleep(0)
