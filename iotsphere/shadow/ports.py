from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Protocol, Self
from uuid import UUID

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.kernel.pagination import Page
from iotsphere.kernel.times import EPOCH
from iotsphere.shadow.model import (
    DesiredRequest,
    Generation,
    NamedShadow,
    RequestState,
    Shadow,
    ShadowChange,
    ShadowHead,
    ShadowKey,
    Violation,
)


class ShadowRepository(Protocol):
    """Live shadows. Every method raises UnavailableError when the store does not answer within the time it is given.

    Every method raises StoreUnverifiedError when the store may not be the one that was verified last, and
    ShadowStoreDamagedError when it holds something else where it should hold a shadow.
    """

    async def find(self, key: ShadowKey) -> Shadow | None:
        """Give the shadow, also a deleted one; None if it was never written.

        :raises ShadowUnrestoredError: the store is being rebuilt, and this one has not been restored yet.
        """

    async def save(self, change: ShadowChange, *, replacing: int, fsynced: bool) -> ShadowChange | None:
        """Store the shadow of a change, and append the change to the stream, as one.

        Give the change with its generation and position; None if the stored shadow has not the version ``replacing``
        (0 for none), so that another write came first and nothing was stored. With ``fsynced``, it is given only when
        the change is on the disk.

        :raises ShadowUnrestoredError: the store is being rebuilt, and this one has not been restored yet.
        :raises ShadowJournalFullError: too much waits for the journal.
        :raises ShadowChangeUnconfirmedError: it is not known whether it was stored.
        """

    async def list(self, device_id: DeviceId, *, limit: int, cursor: str | None) -> Page[NamedShadow]:
        """List the named shadows that are there, the newest last.

        :raises CursorMalformedError: the cursor is none of this list.
        :raises ShadowUnrestoredError: the store is being rebuilt, and may not hold all of them yet.
        """


@dataclass(frozen=True, slots=True)
class ShadowStoreCondition:
    """What a look at the store found: None and 0 where it holds nothing.

    ``run`` names one run of the server, which ends when it is stopped; ``position`` is the last change in its stream,
    and ``first_position`` was that when the run began. ``is_confirmed`` says that in this run it was already found to
    agree with the journal.
    """

    run: str
    generation: int | None
    position: int
    is_rebuilding: bool
    is_confirmed: bool = False
    first_position: int = 0


@dataclass(frozen=True, slots=True)
class StoreSign:
    """What is told to whoever says that it is there: the oldest change that waits for the journal, None if none does.

    ``is_rebuilding`` may have been said by an administrator, who has taken a shadow out.
    """

    oldest_waiting: int | None
    is_rebuilding: bool


class ShadowStoreKeeper(Protocol):
    """The store as a whole: which life it is in, and how it is brought back. Raises UnavailableError as above."""

    async def look(self) -> ShadowStoreCondition:
        """Look at the server over one connection, and prepare it for reading and writing in its present run."""

    def adopt(self, condition: ShadowStoreCondition, *, generation: int) -> None:
        """From now on read and write in this generation, and in this run of the server."""

    async def begin(self, generation: int, *, is_rebuilding: bool) -> None:
        """Let the store be in this generation, unless it is in this or a later one already."""

    async def confirm(self, condition: ShadowStoreCondition) -> None:
        """Let everybody who looks know that this run of the server was found to agree with the journal.

        :raises StoreUnverifiedError: it is not the run or the generation that was looked at any more.
        """

    async def restore(self, heads: Sequence[ShadowHead], *, generation: int) -> None:
        """Put back what the store does not hold, or holds an older version of, as of this generation.

        What it holds at this version or a later one stays, and is of this generation from now on. A head of version 0
        says that the journal knows no such shadow: from then on, and for a while at least, there is none.

        :raises StoreUnverifiedError: the store is not in this generation, or not the one that was verified last.
        """

    async def note_progress(self, condition: ShadowStoreCondition, *, share: float) -> None:
        """Note which share of all shadows is restored, for whoever asks how far it is.

        :raises StoreUnverifiedError: it is not the run or the generation that was looked at any more.
        """

    async def end_rebuilding(self, condition: ShadowStoreCondition) -> None:
        """Say that all is restored, and was since this look.

        What an earlier run was given may be missing in this one, if the server was started with an older file.

        :raises StoreUnverifiedError: it is not the run or the generation that was looked at any more.
        """

    async def adopt_old_layout(self, *, generation: int) -> int:
        """Take over what a platform before the change stream has kept, and give how many shadows that were.

        This comes before ``begin``, whenever the store has no generation: what was stopped half-way goes on. One
        that cannot be read is logged and left alone.
        """

    async def find_oldest_waiting(self) -> int | None:
        """Give the position of the oldest change that is not in the journal yet, None if all are."""

    async def list_waiting(self, *, after: int, until: int, limit: int) -> Sequence[ShadowChange]:
        """List changes that are not settled, the oldest first, behind one position up to another.

        :raises StoreUnverifiedError: the store may not be the one that was verified last.
        """

    async def renew_presence(self, writer_id: UUID) -> StoreSign:
        """Say that a writer is there, and hear what has become of the store.

        :raises StoreUnverifiedError: the store may not be the one that was verified last.
        """

    async def announce(self, condition: ShadowStoreCondition, writer_id: UUID) -> None:
        """Say in a run that is not adopted yet that a writer is there, and has told the journal what it knows.

        :raises StoreUnverifiedError: it is not the run or the generation that was looked at any more.
        """

    async def find_present(self, writers: Collection[UUID], *, run: str | None = None) -> set[UUID]:
        """Give those that are there; with ``run``, those that have said so in this run of the server."""


POSITIONS_PER_MILLISECOND = 1_000_000
"""A position is a time of the store in milliseconds and a number within it, both in one number."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits for the journal; ``oldest`` and ``newest`` are the positions of changes, None if none waits."""

    length: int = 0
    size_bytes: int = 0
    oldest: int | None = None
    newest: int | None = None

    @property
    def oldest_at(self) -> datetime | None:
        """When the oldest was made, by the clock of the store."""
        return (
            None if self.oldest is None else EPOCH + timedelta(milliseconds=self.oldest // POSITIONS_PER_MILLISECOND)
        )


class ChangeStream(Protocol):
    """Changes on their way to the journal. Each is handed out again until it is settled, whoever asks."""

    async def read(self, consumer: str, *, limit: int, wait_seconds: float) -> list[ShadowChange]:
        """Take changes that nobody has taken, or that were taken long ago and not settled; [] if there are none."""

    async def settle(self, changes: Sequence[ShadowChange]) -> None:
        """Let go of changes that are in the journal."""

    async def measure(self) -> Backlog:
        """:raises StoreUnverifiedError: the store may not be the one that was verified last."""


@dataclass(frozen=True, slots=True)
class ShadowStoreSurvey:
    """The store as a whole, as it was found: ``unreadable`` counts what was in the stream and was no change."""

    generation: int | None
    is_rebuilding: bool
    position: int = 0
    backlog: Backlog = Backlog()
    unreadable: int = 0


@dataclass(frozen=True, slots=True)
class HeldShadow:
    """What the store holds of a shadow: None where it cannot be read.

    ``generation`` is the life of the store in which it was written or restored last.
    """

    shadow: Shadow | None
    generation: int


class ShadowInventory(Protocol):
    """What the store holds, read without believing it: nothing is adopted, restored or changed.

    Every method raises UnavailableError as above.
    """

    async def survey(self) -> ShadowStoreSurvey: ...

    async def find_all(self, keys: Sequence[ShadowKey]) -> dict[ShadowKey, HeldShadow]:
        """Give those of these shadows that the store holds something of."""

    async def list(self, *, cursor: str | None) -> Page[ShadowKey]:
        """List the keys of all shadows, in no order; what comes or goes meanwhile may be left out or come twice."""


class ShadowJournal(Protocol):
    """Every change of every shadow, in the telemetry database. Repeating and reordering make no difference."""

    async def append(self, changes: Sequence[ShadowChange]) -> None:
        """Append changes. One that is not what is known by its version is put aside: the version was given twice.

        :raises ChangesRefusedError: at least one of them can never be appended.
        """

    async def put_aside(self, change: ShadowChange, *, reason: str) -> None:
        """Keep a change that can never be appended, as it is, for whoever looks into it."""

    async def count_put_aside(self) -> int: ...

    async def find_head(self, key: ShadowKey) -> ShadowHead | None: ...

    async def find_heads(self, keys: Sequence[ShadowKey], *, for_update: bool = False) -> list[ShadowHead]:
        """Give the heads of those of these shadows that the journal knows.

        With ``for_update`` nobody else changes them, or has them so, until the unit of work ends.
        """

    async def list_heads(self, *, after: ShadowKey | None, limit: int) -> list[ShadowHead]:
        """Give heads in the order of their keys, from behind ``after`` on."""

    async def list_named(self, device_id: DeviceId, *, limit: int, cursor: str | None) -> Page[NamedShadow]:
        """Do what ``ShadowRepository.list`` does, for as long as that cannot; its cursors are its own."""

    async def list(
        self, key: ShadowKey, *, start: datetime | None, end: datetime | None, limit: int, cursor: str | None
    ) -> Page[ShadowChange]:
        """List changes, the newest first, with ``start`` inclusive and ``end`` exclusive."""

    async def find_version_at(self, key: ShadowKey, at: datetime) -> int | None:
        """Give the last version that was made at that time or before it."""

    async def list_since_kept(self, key: ShadowKey, *, version: int) -> Sequence[ShadowChange]:
        """Give the last change at or before a version whose whole shadow is kept, and those behind it, up to it.

        [] if the version, or one in between, is missing. Only the first holds its whole shadow.
        """

    async def list_requests(
        self, key: ShadowKey, *, state: RequestState | None, limit: int, cursor: str | None
    ) -> Page[DesiredRequest]:
        """List what was ever desired, the newest first."""

    async def find_generation(self) -> Generation | None:
        """Give the latest generation."""

    async def add_generation(self, number: int) -> None:
        """Add a generation; nothing happens if it is there already."""

    async def decide_version_jump(self, number: int, *, jump: int) -> int:
        """Decide by how much versions go on, unless it was decided already, and give what holds.

        It is 0 if every writer of the generations before has closed.
        """

    async def end_rebuilding(self, number: int) -> None: ...

    async def open_writer(self, writer_id: UUID, *, generation: int) -> None:
        """Note that a process may write in the generation, also if it was closed there before."""

    async def close_writers(self, writers: Collection[UUID], *, generation: int) -> None:
        """Note that the journal holds all that these have written in the generation and in those before it."""

    async def list_open_writers(self, *, before: int | None = None) -> Sequence[UUID]:
        """List who is open in any generation, or in one before the named one."""


class JournalUnitOfWork(Protocol):
    journal: ShadowJournal

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    async def commit(self) -> None: ...


JournalUnitOfWorkFactory = Callable[[], JournalUnitOfWork]


class ShadowRules(Protocol):
    """What the type of a device says of its shadow."""

    async def check(self, key: ShadowKey, shadow: Shadow, *, sections: Collection[str]) -> list[Violation]:
        """Tell where the named sections break the schema of the device's type; [] where there is none.

        Where the reported section alone is asked about and the schema cannot be known, what was found last stands.

        :raises UnavailableError: the desired section is asked about, and the schema cannot be known.
        """


class ShadowRecovery(Protocol):
    """Brings the store back; ``iotsphere/shadow/recovery.py`` does."""

    @property
    def generation(self) -> int | None:
        """The generation in which this process has found the store."""

    async def verify(self) -> None:
        """Make sure that the store holds what was acknowledged, and begin to rebuild it if it does not.

        :raises ShadowsRebuildingError: it takes longer than a request should wait.
        """

    async def restore(self, key: ShadowKey) -> None:
        """Restore one shadow ahead of the others."""

    def attempt(self) -> AbstractContextManager[None]:
        """Surround a change from before the store is asked for it until it is remembered or doubted."""

    def remember(self, change: ShadowChange) -> None:
        """Remember a change that the store has made until the journal has it; before anything else is waited for."""

    def doubt(self) -> None:
        """Know that a change may have been made of which no answer came, so that nobody remembers it."""
