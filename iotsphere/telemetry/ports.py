from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Protocol, Self

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.intervals import Grid
from iotsphere.telemetry.model import (
    Aggregate,
    Arrival,
    Bucket,
    Counts,
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


class PointRepository(Protocol):
    """Every point is stored once, however many requests hand it in, and however many at once."""

    async def append(self, readings: Sequence[Reading], *, replace: bool) -> dict[int, Counts]:
        """Store readings, as if one after the other in the given order.

        Gives what became of the values of each reading that was not stored whole, by its place. With ``replace``
        another value for a stored point takes its place and counts as stored. Values of more metrics than a device
        may have (MAX_METRICS) are rejected.
        """

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


class LedgerRepository(Protocol):
    async def add(self, arrivals: Sequence[Arrival]) -> None:
        """Add each to what arrived from its device in its minute."""

    async def list(
        self, device_id: DeviceId, start: datetime, end: datetime, *, length: timedelta, limit: int
    ) -> list[LedgerEntry]:
        """Sum the minutes from ``start`` up to ``end`` over intervals counted from 1970; empty ones are left out.

        :raises QueryTooCostlyError: it would take too long.
        """


class TelemetryUnitOfWork(Protocol):
    points: PointRepository
    ledger: LedgerRepository

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    async def commit(self) -> None: ...


TelemetryUnitOfWorkFactory = Callable[[], TelemetryUnitOfWork]


class RollupRepository(Protocol):
    async def list(self, *, before: datetime, limit: int) -> list[StaleHour]:
        """Give stale hours that begin by ``before``, the latest first, and keep others from taking their devices'."""

    async def save(self, hours: Sequence[StaleHour]) -> None:
        """Work out the figures of these hours; those whose readings nobody changed meanwhile are stale no more.

        :raises QueryTooCostlyError: it took too long.
        :raises FigureOverflowError: a figure exceeds the largest double.
        """

    async def put_off(self, hours: Sequence[StaleHour]) -> None:
        """Leave these hours out of the lists until their readings change."""

    async def find_backlog(self, *, before: datetime) -> RollupBacklog:
        """Tell what ``list`` would give without a limit.

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
