import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any
from uuid import UUID

from iotsphere.shadow.errors import ShadowStoreDamagedError, StoreUnverifiedError
from iotsphere.shadow.model import ShadowChange, ShadowHead
from iotsphere.shadow.ports import ShadowStoreCondition, StoreSign
from repositories.shadow.adoption import adopt_old_layout
from repositories.shadow.entries import decode_entry, encode_shadow, place_of, position_of
from repositories.shadow.keys import (
    BACKLOG_BYTES,
    CHANGES,
    CONFIRMED,
    GENERATION,
    REBUILDING,
    RUN,
    document_key,
    names_key,
    writer_key,
)
from repositories.shadow.scripts import BEGIN, BoundScript
from repositories.shadow.store import READ_SECONDS, WRITE_SECONDS, ShadowStore, StoreSession

RestoredHead = tuple[ShadowHead, bytes]

# How long a writer counts as present after it has said so.
PRESENCE_MILLISECONDS = 5000
# So many shadows, and about so many bytes of them, are restored by one script, which holds up everybody else.
RESTORED_AT_ONCE = 64
RESTORED_BYTES_AT_ONCE = 2 * 1024 * 1024

logger = logging.getLogger(__name__)


class RedisShadowStoreKeeper:
    """The shadow store as a whole, as db/shadow/keyspace.md describes it.

    What is done in the dark, before the store is adopted, asks no gate and opens it: the store is seen to come back.
    """

    def __init__(self, store: ShadowStore) -> None:
        self._store = store

    async def look(self) -> ShadowStoreCondition:
        # A client of one connection, which is never made anew: its next command would be, and none follows a failure.
        # So the run that is named is the run that the scripts are loaded into.
        async with self._store.watch(seconds=WRITE_SECONDS), self._store.writes.client() as connection:
            run = str((await connection.info("server"))["run_id"])
            for script in BoundScript:
                await connection.script_load(script.text(run))
            found: Any = await connection.evalsha(
                BoundScript.LOOK.digest(run), 5, GENERATION, REBUILDING, CHANGES, CONFIRMED, RUN, run
            )
        generation, is_rebuilding, last, confirmed, first = found
        return ShadowStoreCondition(
            run=run,
            generation=None if generation is None else int(generation),
            position=_position(last) or 0,
            first_position=position_of(first),
            is_rebuilding=bool(is_rebuilding),
            is_confirmed=confirmed is not None and confirmed.decode() == run,
        )

    def adopt(self, condition: ShadowStoreCondition, *, generation: int) -> None:
        self._store.session = StoreSession.of(condition.run, generation)

    async def confirm(self, condition: ShadowStoreCondition) -> None:
        await self._store.ask_in(_session(condition), BoundScript.CONFIRM, [CONFIRMED], condition.run)

    async def begin(self, generation: int, *, is_rebuilding: bool) -> None:
        async with self._store.watch(seconds=READ_SECONDS):
            await self._store.reads.eval(
                BEGIN, 3, GENERATION, REBUILDING, CHANGES, str(generation), str(int(is_rebuilding))
            )

    async def restore(self, heads: Sequence[ShadowHead], *, generation: int) -> None:
        self._check_generation(generation)
        for batch in _batches(heads):
            try:
                await self._restore(batch)
            except ShadowStoreDamagedError:
                await self._restore_sound(batch)

    async def _restore(self, batch: Sequence[RestoredHead]) -> None:
        keys = [key for head, _ in batch for key in (document_key(head.key), names_key(head.key.device_id))]
        await self._store.ask(BoundScript.RESTORE, keys, *_restored(batch))

    async def _restore_sound(self, batch: Sequence[RestoredHead]) -> None:
        """Restore one by one, so that what lies where it should not keeps none but its own shadow away."""
        for head, document in batch:
            try:
                await self._restore([(head, document)])
            except ShadowStoreDamagedError:
                logger.exception("A shadow cannot be restored, another type is there: %s", document_key(head.key))

    async def note_progress(self, condition: ShadowStoreCondition, *, share: float) -> None:
        await self._store.ask_in(_session(condition), BoundScript.PROGRESS, [REBUILDING], int(100 * share))

    async def end_rebuilding(self, condition: ShadowStoreCondition) -> None:
        await self._store.ask_in(_session(condition), BoundScript.END_REBUILDING, [REBUILDING])

    async def adopt_old_layout(self, *, generation: int) -> int:
        return await adopt_old_layout(self._store, generation=generation)

    async def find_oldest_waiting(self) -> int | None:
        async with self._store.reach(seconds=READ_SECONDS):
            oldest: Any = await self._store.reads.xrange(CHANGES, count=1)
        return position_of(oldest[0][0]) if oldest else None

    async def list_waiting(self, *, after: int, until: int, limit: int) -> Sequence[ShadowChange]:
        places = f"({place_of(after)}", place_of(until)
        async with self._store.reach(seconds=READ_SECONDS):
            found: Any = await self._store.reads.xrange(CHANGES, *places, count=limit)
        # What is there now was there before; and so was what is not.
        await self._store.ask(BoundScript.MEASURE, [CHANGES, BACKLOG_BYTES])
        return [decode_entry(place, entry) for place, entry in found]

    async def renew_presence(self, writer_id: UUID) -> StoreSign:
        return await self._renew(self._store.session, writer_id)

    async def announce(self, condition: ShadowStoreCondition, writer_id: UUID) -> None:
        await self._renew(_session(condition), writer_id)

    async def _renew(self, session: StoreSession, writer_id: UUID) -> StoreSign:
        keys = [REBUILDING, writer_key(writer_id), CHANGES]
        values = PRESENCE_MILLISECONDS, session.run
        oldest, is_rebuilding = await self._store.ask_in(session, BoundScript.RENEW, keys, *values)
        return StoreSign(_position(oldest), bool(is_rebuilding))

    async def find_present(self, writers: Collection[UUID], *, run: str | None = None) -> set[UUID]:
        if not writers:
            return set()
        asked = list(writers)
        async with self._store.reach(seconds=READ_SECONDS):
            found: Any = await self._store.reads.mget([writer_key(writer) for writer in asked])
        return {
            writer
            for writer, value in zip(asked, found, strict=True)
            if value is not None and run in {None, value.decode()}
        }

    def _check_generation(self, generation: int) -> None:
        """:raises StoreUnverifiedError: this process has found another generation since."""
        if self._store.session.generation != generation:
            raise StoreUnverifiedError


def _session(condition: ShadowStoreCondition) -> StoreSession:
    return StoreSession.of(condition.run, condition.generation or 0)


def _batches(heads: Iterable[ShadowHead]) -> Iterator[list[RestoredHead]]:
    batch: list[RestoredHead] = []
    size = 0
    for head in heads:
        document = encode_shadow(head.shadow)
        batch.append((head, document))
        size += len(document)
        if len(batch) == RESTORED_AT_ONCE or size >= RESTORED_BYTES_AT_ONCE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _restored(batch: Iterable[RestoredHead]) -> Iterator[str | bytes | int]:
    for head, document in batch:
        yield from (head.shadow.version, document, head.key.name or "", int(head.shadow.is_deleted))


def _position(place: bytes | None) -> int | None:
    return None if place is None else position_of(place)
