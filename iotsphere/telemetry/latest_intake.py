"""Units of work that tell the store of latest values what they write.

Before the commit, what is kept of the devices is marked, while nobody else can write readings of them; after it, it
is brought up to date. Nobody is shown what is marked. Where it cannot be marked, the same transaction begins another
epoch, in which nothing of what is kept is believed. So the commit waits for that store no longer than a question to
it may take, and never fails for its sake.
"""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import datetime
from types import TracebackType
from typing import Self

from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.blocks import candidates, devices_of
from iotsphere.telemetry.intervals import Grid
from iotsphere.telemetry.latest import EpochWatch, newest_of
from iotsphere.telemetry.model import (
    Aggregate,
    Bucket,
    Counts,
    Numbers,
    Order,
    Point,
    Position,
    Reading,
    Removal,
    Selection,
)
from iotsphere.telemetry.ports import (
    ArchiveCatalogue,
    EpochRepository,
    FleetRepository,
    LatestStore,
    LedgerRepository,
    Marking,
    PointRepository,
    RemovalRepository,
    RetentionRepository,
    TelemetryUnitOfWork,
    TelemetryUnitOfWorkFactory,
)
from iotsphere.telemetry.retention_rules import DEFAULT_NUMBER, IntakeTerms


class LatestIntake:
    """Makes the units of work of whoever writes readings, in place of those of ``unit_of_work``."""

    def __init__(self, *, unit_of_work: TelemetryUnitOfWorkFactory, store: LatestStore, epochs: EpochWatch) -> None:
        self._unit_of_work = unit_of_work
        self._store = store
        self._epochs = epochs
        self._settling: set[asyncio.Task[None]] = set()

    def __call__(self) -> "WatchedUnitOfWork":
        return WatchedUnitOfWork(self._unit_of_work(), self)

    def mark(self, device_ids: Collection[DeviceId]) -> asyncio.Task[Marking]:
        """Begin to mark; the transaction goes on meanwhile."""
        return asyncio.create_task(self._store.mark(device_ids))

    def distrust(self) -> None:
        self._epochs.forget()

    def settle(self, writes: "Writes") -> None:
        """Bring up to date what is kept. Until then it is not shown, so that nobody has to wait for it."""
        task = asyncio.create_task(self._settle(writes))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    async def _settle(self, writes: "Writes") -> None:
        # What is not settled stays unshown until it is gone.
        with suppress(UnavailableError):
            for marking in await asyncio.gather(*writes.markings):
                if marking.device_ids:
                    values = writes.newest(marking.device_ids)
                    await self._store.settle(marking, values, replaces=writes.replaces)


class Writes:
    """What was written in a transaction, as far as it matters to what is kept."""

    def __init__(self) -> None:
        self.markings: list[asyncio.Task[Marking]] = []
        self.replaces = False
        self._readings: Sequence[Reading] = ()
        self._is_plain = True

    def add(self, marking: asyncio.Task[Marking], readings: Sequence[Reading] | None, *, replaces: bool) -> None:
        """Note readings that were stored, or None for anything else that was done."""
        self._is_plain = readings is not None and not self.markings
        self._readings = readings or ()
        self.markings.append(marking)
        self.replaces = replaces

    def undo(self) -> None:
        """Nothing of it came to be."""
        self._readings = ()

    def newest(self, device_ids: Collection[DeviceId]) -> dict[DeviceId, dict[str, str]] | None:
        """Give what may be latest of these devices; None where only the database can tell."""
        if not self._is_plain:
            return None
        readings = candidates(self._readings, device_ids, replaces=self.replaces)
        return newest_of(readings, replaces=self.replaces)


class WatchedUnitOfWork:
    points: PointRepository
    ledger: LedgerRepository
    fleet: FleetRepository
    epochs: EpochRepository
    retention: RetentionRepository
    archive: ArchiveCatalogue
    removals: RemovalRepository

    def __init__(self, inner: TelemetryUnitOfWork, intake: LatestIntake) -> None:
        self._inner = inner
        self._intake = intake
        self._writes = Writes()
        self._is_committing = False

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        self.points = WatchedPointRepository(self._inner.points, self._intake, self._writes)
        self.ledger, self.fleet, self.epochs = self._inner.ledger, self._inner.fleet, self._inner.epochs
        self.retention, self.archive = self._inner.retention, self._inner.archive
        self.removals = self._inner.removals
        return self

    async def commit(self) -> None:
        self._is_committing = True
        marked = await asyncio.gather(*self._writes.markings, return_exceptions=True)
        failed = [each for each in marked if isinstance(each, BaseException)]
        if not all(isinstance(each, UnavailableError) for each in failed):
            raise failed[0]
        if failed:
            await self._inner.epochs.add()
        await self._inner.commit()
        if failed:
            self._intake.distrust()
        elif marked:
            self._intake.settle(self._writes)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._inner.__aexit__(kind, error, traceback)
        if self._writes.markings and not self._is_committing:
            # A commit that failed may have come through.
            self._writes.undo()
            self._intake.settle(self._writes)


class WatchedPointRepository:
    def __init__(self, inner: PointRepository, intake: LatestIntake, writes: Writes) -> None:
        self._inner = inner
        self._intake = intake
        self._writes = writes

    async def append(
        self, readings: Sequence[Reading], *, replace: bool, terms: IntakeTerms | None = None
    ) -> dict[int, Counts]:
        outcomes = await self._inner.append(readings, replace=replace, terms=terms)
        # Values that were not stored at all must not pass for the latest; whatever else was left out lies there as
        # it was, and has its time for itself.
        is_told = not any(counts.rejected for counts in outcomes.values())
        if not readings:
            return outcomes
        marking = self._intake.mark(devices_of(readings))
        self._writes.add(marking, readings if is_told else None, replaces=replace)
        return outcomes

    async def remove(self, selection: Selection, *, limit: int) -> Removal:
        removal = await self._inner.remove(selection, limit=limit)
        self._writes.add(self._intake.mark({selection.device_id}), None, replaces=False)
        return removal

    async def prepare(self, times: Collection[datetime], *, classes: Collection[int] = (DEFAULT_NUMBER,)) -> None:
        await self._inner.prepare(times, classes=classes)

    async def find_missing_room(
        self, times: Collection[datetime], *, classes: Collection[int] = (DEFAULT_NUMBER,)
    ) -> list[str]:
        return await self._inner.find_missing_room(times, classes=classes)

    async def latest(self, device_id: DeviceId, metrics: Collection[str] | None) -> list[Point]:
        return await self._inner.latest(device_id, metrics)

    async def range(self, selection: Selection, *, order: Order, after: Position | None, limit: int) -> list[Point]:
        return await self._inner.range(selection, order=order, after=after, limit=limit)

    async def numbers(self, selection: Selection, *, limit: int) -> dict[str, Numbers]:
        return await self._inner.numbers(selection, limit=limit)

    async def aggregate(
        self, selection: Selection, grid: Grid, aggregates: Collection[Aggregate], *, limit: int
    ) -> list[Bucket]:
        return await self._inner.aggregate(selection, grid, aggregates, limit=limit)
