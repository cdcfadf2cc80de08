import builtins
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from datetime import date, datetime, timedelta
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from iotsphere.kernel.identifiers import DeviceId, OrganisationId
from iotsphere.telemetry.archived import ArchivedDay, ArchiveFile, FoundFile, NotedRemoval
from iotsphere.telemetry.intervals import Grid
from iotsphere.telemetry.model import (
    Aggregate,
    Arrival,
    Bucket,
    Counts,
    FleetSelection,
    LedgerEntry,
    Numbers,
    Order,
    Point,
    Position,
    Reading,
    Removal,
    RollupBacklog,
    Selection,
    StaleHour,
)
from iotsphere.telemetry.retention import Holding, ReadingChunk, RetentionClass
from iotsphere.telemetry.retention_rules import DEFAULT_NUMBER, IntakeTerms
from iotsphere.telemetry.storage import ChunkContent, StoredChunk

NO_TIME = timedelta(0)


class PointRepository(Protocol):
    """Every point is stored once, however many requests hand it in, and however many at once."""

    async def append(
        self, readings: Sequence[Reading], *, replace: bool, terms: IntakeTerms | None = None
    ) -> dict[int, Counts]:
        """Store readings, as if one after the other in the given order.

        Gives what became of the values of each reading that was not stored whole, by its place. With ``replace``
        another value for a stored point takes its place and counts as stored. Values of more metrics than a device
        may have (MAX_METRICS) are rejected, and so are those that by the ``terms`` are of a time that their class
        keeps no longer.

        A metric is of the class that the rules say when it is first heard of. When they say otherwise later, it
        moves from a midnight on behind which nothing can be stored yet. Without terms nothing is too old, and nothing
        moves.
        """

    async def prepare(self, times: Collection[datetime], *, classes: Collection[int] = (DEFAULT_NUMBER,)) -> None:
        """Make room for points of these times and classes, and for their figures, where none is made by itself."""

    async def find_missing_room(
        self, times: Collection[datetime], *, classes: Collection[int] = (DEFAULT_NUMBER,)
    ) -> list[str]:
        """Tell what ``prepare`` would make."""

    async def latest(self, device_id: DeviceId, metrics: Collection[str] | None) -> list[Point]:
        """Give the point with the latest ``ts`` of each metric, by metric; None asks for all of the device's.

        :raises QueryTooCostlyError: it would take too long.
        """

    async def range(self, selection: Selection, *, order: Order, after: Position | None, limit: int) -> list[Point]:
        """Give up to ``limit`` points by (ts, metric), from behind ``after`` on.

        :raises QueryTooCostlyError: it would take too long.
        """

    async def numbers(self, selection: Selection, *, limit: int) -> dict[str, Numbers]:
        """Give the numbers of each metric that has any; what is no number is left out.

        :raises QueryTooCostlyError: there are more than ``limit`` in all, or it would take too long.
        """

    async def remove(self, selection: Selection, *, limit: int) -> Removal:
        """Remove what is selected in the first ``limit`` of the device's readings in the range.

        :raises QueryTooCostlyError: it would take too long.
        """

    async def aggregate(
        self, selection: Selection, grid: Grid, aggregates: Collection[Aggregate], *, limit: int
    ) -> list[Bucket]:
        """Give up to ``limit`` buckets by (ts, metric); intervals without points have none.

        :raises QueryTooCostlyError: it would take too long.
        :raises FigureOverflowError: a figure exceeds the largest double.
        """


class DeviceTypes(Protocol):
    async def find_types(
        self, organisation_id: OrganisationId, device_ids: Collection[DeviceId]
    ) -> Mapping[DeviceId, str]:
        """Give the type of each of the devices that is there in the organisation.

        :raises UnavailableError: nobody can tell of one of them now.
        """


class LedgerRepository(Protocol):
    async def add(self, arrivals: Sequence[Arrival]) -> None:
        """Add each to what arrived from its device in its minute."""

    async def list(
        self, device_id: DeviceId, start: datetime, end: datetime, *, length: timedelta, limit: int
    ) -> list[LedgerEntry]:
        """Sum the minutes from ``start`` up to ``end`` over intervals counted from 1970; empty ones are left out.

        :raises QueryTooCostlyError: it would take too long.
        """


class FleetRepository(Protocol):
    async def aggregate(
        self, selection: FleetSelection, grid: Grid, aggregates: Collection[Aggregate], *, limit: int
    ) -> list[tuple[str, Bucket]]:
        """Give up to ``limit`` buckets by (ts, metric, group), each over all points of its group.

        Of points of the same time that of the lowest device id is the first.

        :raises QueryTooCostlyError: it would take too long.
        :raises FigureOverflowError: a figure exceeds the largest double.
        """


class EpochRepository(Protocol):
    """Epochs of the latest values that are kept beside the database (ADR 0028)."""

    async def get(self) -> int: ...

    async def add(self) -> None:
        """Begin another one: what was kept in an earlier one is not believed from the commit on."""

    async def is_at_rest(self, device_id: DeviceId) -> bool:
        """Tell whether the device has readings, and nobody is about to commit others.

        Those who begin to write later do not wait for whoever has asked, once the transaction has ended.
        """


class RetentionRepository(Protocol):
    async def get(self, name: str, *, for_update: bool = False) -> RetentionClass:
        """Give a class; with ``for_update`` nobody else changes it before the commit.

        :raises RetentionClassNotFoundError: there is none of that name.
        """

    async def list(self, *, for_update: bool = False) -> list[RetentionClass]:
        """Give all there ever were, by name; there are few. With ``for_update`` nobody else changes one of them."""

    async def add(self, retention: RetentionClass) -> None: ...

    async def save(self, retention: RetentionClass) -> None: ...


class ChunkRepository(Protocol):
    """The stretches of time that readings and figures lie in, each class's apart.

    Each removal is done as soon as it is asked for.
    """

    async def claim(self) -> bool:
        """Be the only one to remove chunks, for as long as the unit of work is open; tell whether that is so."""

    async def list(
        self, *, before: datetime, number: int = DEFAULT_NUMBER, holds: Holding = Holding.READINGS
    ) -> list[ReadingChunk]:
        """Give those of a class that end by then, the oldest first, with those whose removal was broken off."""

    def read(
        self, start: datetime, end: datetime, *, number: int = DEFAULT_NUMBER
    ) -> AsyncIterator[builtins.list[Reading]]:
        """Give all readings of a class in the range, device by device, each in the order of time, some at a time."""

    async def is_settled(self, chunk: ReadingChunk) -> bool:
        """Tell whether the figures of all its hours were worked out since their readings changed.

        Hours that were put off have none, and would keep everybody's readings for ever.
        """

    async def remove(self, chunk: ReadingChunk) -> None:
        """Drop all that is in the chunk at once; neither readers nor writers of others wait.

        :raises UnavailableError: on leaving the unit of work, for somebody was still reading it; try again later.
        """


class ArchiveCatalogue(Protocol):
    """Which days of which classes are in the archive. One is added once; to add it again changes nothing.

    Who has claimed the chunks alone changes it, in the unit of work of the claim: so nobody does whose claim is lost.
    """

    async def list(
        self, *, start: datetime, end: datetime, device_ids: Collection[DeviceId] | None = None
    ) -> builtins.list[ArchivedDay]:
        """Give the days of which some part lies in the range, the oldest first.

        With ``device_ids``, those alone in whose files there are readings of one of these devices.
        """

    async def find(self, day: date, number: int) -> ArchivedDay | None: ...

    async def add(self, archived: ArchivedDay, *, device_ids: Collection[DeviceId]) -> None:
        """Add a day, in whose file there are readings of these devices."""

    async def save(self, archived: ArchivedDay, *, device_ids: Collection[DeviceId] | None = None) -> None:
        """Change a day; with ``device_ids``, there are readings of no others any more."""

    async def remove(self, day: date, number: int) -> None: ...


class RemovalRepository(Protocol):
    """Removals of points that the archive may still hold."""

    async def add(self, selection: Selection, *, removed_at: datetime) -> None:
        """Note that it was removed, in the same transaction, as far as it reaches into what is, or is being, dropped.

        Nobody notes the dropping of more than that before the commit; so what is archived later is read without it.
        """

    async def list(self, *, after: int, limit: int) -> list[NotedRemoval]:
        """Give up to ``limit`` by their ids, from behind ``after`` on."""

    async def list_concerning(
        self, device_ids: Collection[DeviceId], archived: ArchivedDay
    ) -> builtins.list[NotedRemoval]:
        """Give all of these devices that may have been in the file of the day, by their ids."""

    async def remove(self, ids: Collection[int]) -> None: ...

    async def find_oldest(self) -> datetime | None:
        """Tell when the first of them was noted."""


class ArchiveFiles(Protocol):
    """:raises UnavailableError: whatever is asked of it, where there is no archive, or its disk is full."""

    async def write(self, day: date, readings: AsyncIterator[list[Reading]]) -> ArchiveFile | None:
        """Write a file beside what there may be; None where there is no reading. It is there whole or not."""

    async def write_without(
        self, day: date, file: ArchiveFile, removals: Collection[NotedRemoval]
    ) -> ArchiveFile | None:
        """Write a file anew, beside it, without the points that were removed; None where there are none of them.

        :raises ArchiveDamagedError: the file is missing, or is not what was written.
        """

    def read(self, day: date, file: ArchiveFile) -> AsyncIterator[builtins.list[Reading]]:
        """Give the readings of a file, some at a time."""

    async def find_devices(self, day: date, file: ArchiveFile) -> set[DeviceId]:
        """Tell of which devices there are readings in the file."""

    async def is_intact(self, day: date, file: ArchiveFile) -> bool:
        """Tell whether the file is there, and is what was written."""

    async def list(self) -> list[FoundFile]:
        """Give all files that are there, also those that are not whole."""

    async def remove(self, found: FoundFile) -> None:
        """Remove the file, if it is there."""


class TelemetryUnitOfWork(Protocol):
    points: PointRepository
    ledger: LedgerRepository
    fleet: FleetRepository
    epochs: EpochRepository
    retention: RetentionRepository
    archive: ArchiveCatalogue
    removals: RemovalRepository

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    async def commit(self) -> None: ...


TelemetryUnitOfWorkFactory = Callable[[], TelemetryUnitOfWork]


class RollupRepository(Protocol):
    async def list(self, *, before: datetime, limit: int, stale_for: timedelta = NO_TIME) -> list[StaleHour]:
        """Give hours that begin by ``before`` and have been stale for so long, and keep others from taking them.

        The latest come first; nobody else is given any of their devices' meanwhile.
        """

    async def save(self, hours: Sequence[StaleHour]) -> None:
        """Work out the figures of these hours; those whose readings nobody changed meanwhile are stale no more.

        :raises QueryTooCostlyError: it took too long.
        :raises FigureOverflowError: a figure exceeds the largest double.
        """

    async def put_off(self, hours: Sequence[StaleHour]) -> None:
        """Leave these hours out of the lists until their readings change."""

    async def find_backlog(self, *, before: datetime) -> RollupBacklog:
        """Tell what ``list`` would give, at some time or other, without a limit.

        :raises QueryTooCostlyError: it took too long.
        """


class RollupUnitOfWork(Protocol):
    rollups: RollupRepository

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    async def commit(self) -> None: ...


RollupUnitOfWorkFactory = Callable[[], RollupUnitOfWork]


class KeepingUnitOfWork(Protocol):
    """No transaction: what is asked of it is done by and by, and stays done."""

    chunks: ChunkRepository
    archive: ArchiveCatalogue
    removals: RemovalRepository

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


KeepingUnitOfWorkFactory = Callable[[], KeepingUnitOfWork]


class Columnstore(Protocol):
    """Chunks of readings, whose rows some engines can keep by column; they are named as there."""

    async def claim(self) -> bool:
        """Be the only one to compress, for as long as the unit of work is open; tell whether that is so."""

    async def can_compress(self) -> bool: ...

    async def prepare(self) -> None:
        """Say how rows are to be laid out, where that was not said yet; only where the engine can compress."""

    async def list(self, *, before: datetime) -> builtins.list[str]:
        """Give those that end by then and have rows that are not compressed, the oldest first.

        Those of which figures are still to be worked out are left out.
        """

    async def compress(self, name: str) -> bool:
        """Compress what is not. Whoever wants to write to it goes first: then nothing is changed, and False given.

        :raises UnavailableError: on leaving the unit of work, for the store did not answer, or it took too long.
        """

    async def find_stored(self) -> builtins.list[StoredChunk]:
        """Give all chunks of readings and of figures."""

    async def count(self, name: str) -> ChunkContent:
        """Go through a chunk of readings."""


class ColumnstoreUnitOfWork(Protocol):
    """No transaction: what is asked of it is done by and by, and stays done."""

    columnstore: Columnstore

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


ColumnstoreUnitOfWorkFactory = Callable[[], ColumnstoreUnitOfWork]


class LatestLease(NamedTuple):
    """The right to keep what the database says of a device, until somebody writes readings of it."""

    device_id: DeviceId
    token: str
    epoch: int


class Marking(NamedTuple):
    """Devices of which latest values are kept, and are not shown until what was done to them is settled."""

    token: str
    device_ids: Collection[DeviceId]


class LatestStore(Protocol):
    """Latest values of devices, where all of a device are read in one round trip.

    It may lose them at any time, and is asked nothing else then. Each of these raises UnavailableError if it does not
    answer soon. A value is kept as the text that shows it (``iotsphere.telemetry.latest``).
    """

    async def find(
        self, device_id: DeviceId, metrics: Collection[str] | None, *, epoch: int
    ) -> str | LatestLease | None:
        """Give a JSON object of those of the metrics that are there, all of the device's where None.

        Where nothing of this epoch is kept, a lease goes to who asks first; None says that the database has to be
        asked.
        """

    async def fill(self, lease: LatestLease, values: Mapping[str, str] | None) -> None:
        """Keep all latest values of the device, unless the lease has ended; None says that they are too many."""

    async def mark(self, device_ids: Collection[DeviceId]) -> Marking:
        """Show no more of these devices, and end all leases, before readings of them are written.

        To be done when nobody else can write readings of them. What is never settled is gone after a while.
        """

    async def settle(
        self, marking: Marking, values: Mapping[DeviceId, Mapping[str, str]] | None, *, replaces: bool
    ) -> None:
        """Show the marked devices again, with these values where they are later; with None, forget them instead.

        With ``replaces`` also where they are of the same time.
        """
