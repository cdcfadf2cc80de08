"""The telemetry database in memory; the contract suite holds it to what both engines of PostgreSQL do.

It is also the plain model that the figures of both are compared with, so it works out by itself where intervals
begin.
"""

import builtins
from array import array
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from itertools import count
from types import TracebackType
from typing import Self

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.archived import ArchivedDay, NotedRemoval
from iotsphere.telemetry.errors import QueryTooCostlyError, RetentionClassNotFoundError
from iotsphere.telemetry.intervals import Grid
from iotsphere.telemetry.model import (
    EARLIEST,
    MAX_METRICS,
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
    is_same_value,
)
from iotsphere.telemetry.ports import (
    NO_TIME,
    ArchiveCatalogue,
    ChunkRepository,
    EpochRepository,
    FleetRepository,
    LedgerRepository,
    PointRepository,
    RemovalRepository,
    RetentionRepository,
    RollupRepository,
)
from iotsphere.telemetry.retention import DEFAULT_CLASS, Holding, ReadingChunk, RetentionClass
from iotsphere.telemetry.retention_rules import DEFAULT_NUMBER, IntakeTerms
from tests.fakes.archive import InMemoryArchiveCatalogue, InMemoryRemovalRepository
from tests.fakes.figures import EPOCH, figure, interval_start
from tests.fakes.retention import Classing


@dataclass
class TelemetryData:
    points: dict[tuple[DeviceId, str, datetime], Point] = field(default_factory=dict)
    minutes: dict[tuple[DeviceId, datetime], Counts] = field(default_factory=dict)
    classes: dict[str, RetentionClass] = field(
        default_factory=lambda: {DEFAULT_CLASS: RetentionClass(DEFAULT_CLASS, changed_at=EARLIEST)}
    )
    classing: Classing = field(default_factory=Classing)
    # Figures are not kept here, but that there are some can be said.
    figure_chunks: set[ReadingChunk] = field(default_factory=set)
    archived: dict[tuple[date, int], ArchivedDay] = field(default_factory=dict)
    archived_devices: dict[tuple[date, int], frozenset[DeviceId]] = field(default_factory=dict)
    removals: dict[int, NotedRemoval] = field(default_factory=dict)
    claimed: set[str] = field(default_factory=set)
    can_compress: bool = False
    compressed: dict[str, list[Point]] = field(default_factory=dict)
    written_to: set[str] = field(default_factory=set)
    stale: dict[tuple[int, datetime], StaleHour] = field(default_factory=dict)
    marked_at: dict[tuple[int, datetime], datetime] = field(default_factory=dict, compare=False)
    put_off: set[StaleHour] = field(default_factory=set)
    revisions: Iterator[int] = field(default_factory=count, compare=False)

    def keep(self, points: dict[tuple[DeviceId, str, datetime], Point]) -> None:
        """Take these for the points, and mark the hours of those that are other than before."""
        for key in self.points.keys() | points.keys():
            if self.points.get(key) is not points.get(key):
                source, hour = key[0].int, key[2].replace(minute=0, second=0, microsecond=0)
                if (source, hour) not in self.stale:
                    self.marked_at[source, hour] = datetime.now(UTC)
                self.stale[source, hour] = StaleHour(source, hour, next(self.revisions))
        self.points = points

    epoch: int = 1


class InMemoryPointRepository:
    def __init__(self, data: TelemetryData) -> None:
        self._stored = data.points
        self._classes = data.classes
        self._classing = data.classing

    async def append(
        self, readings: Sequence[Reading], *, replace: bool, terms: IntakeTerms | None = None
    ) -> dict[int, Counts]:
        self._metrics: dict[DeviceId, set[str]] = defaultdict(set)
        for device_id, metric, _ in self._stored:
            self._metrics[device_id].add(metric)
        for reading in readings:
            self._classing.follow(reading, self._classes.values(), terms)
        outcomes = {
            place: self._append(reading, replace=replace, terms=terms) for place, reading in enumerate(readings)
        }
        return {place: counts for place, counts in outcomes.items() if counts != Counts(len(readings[place].values))}

    def _append(self, reading: Reading, *, replace: bool, terms: IntakeTerms | None) -> Counts:
        counts = Counts()
        for metric, value in reading.values.items():
            point = _as_stored(Point(reading.device_id, metric, reading.ts, value))
            if terms and terms.is_expired(self._classing.number_of(point), point.ts):
                counts += Counts(rejected=1, expired=1)
            else:
                counts += self._append_point(point, replace=replace)
        return counts

    def _append_point(self, point: Point, *, replace: bool) -> Counts:
        key = (point.device_id, point.metric, point.ts)
        metrics = self._metrics[point.device_id]
        if point.metric not in metrics and len(metrics) >= MAX_METRICS:
            return Counts(rejected=1)
        metrics.add(point.metric)
        if key in self._stored and is_same_value(self._stored[key].value, point.value):
            return Counts(duplicates=1)
        if key in self._stored and not replace:
            return Counts(conflicts=1)
        self._stored[key] = point
        return Counts(stored=1)

    async def prepare(self, times: Collection[datetime], *, classes: Collection[int] = (DEFAULT_NUMBER,)) -> None:
        """There is room."""

    async def find_missing_room(
        self, times: Collection[datetime], *, classes: Collection[int] = (DEFAULT_NUMBER,)
    ) -> list[str]:
        return []

    async def latest(self, device_id: DeviceId, metrics: Collection[str] | None) -> list[Point]:
        latest: dict[str, Point] = {}
        for point in sorted(self._stored.values(), key=_place):
            if point.device_id == device_id and (metrics is None or point.metric in metrics):
                latest[point.metric] = point
        return [latest[metric] for metric in sorted(latest)]

    async def range(self, selection: Selection, *, order: Order, after: Position | None, limit: int) -> list[Point]:
        found = self._selected(selection)
        if order is Order.DESCENDING:
            found.reverse()
        if after is not None:
            last = (after.ts, after.metric)
            found = [
                point
                for point in found
                if (_place(point) > last if order is Order.ASCENDING else _place(point) < last)
            ]
        return found[:limit]

    async def numbers(self, selection: Selection, *, limit: int) -> dict[str, Numbers]:
        found = [point for point in self._selected(selection) if isinstance(point.value, float)]
        if len(found) > limit:
            raise QueryTooCostlyError
        series: dict[str, list[Point]] = defaultdict(list)
        for point in found:
            series[point.metric].append(point)
        return {
            metric: Numbers(
                array("q", [(point.ts - EPOCH) // timedelta(microseconds=1) for point in points]),
                array("d", [point.value for point in points]),
            )
            for metric, points in series.items()
        }

    async def remove(self, selection: Selection, *, limit: int) -> Removal:
        every = self._selected(replace(selection, metrics=None))
        rest = next(iter(sorted({point.ts for point in every})[limit:]), None)
        removed = [point for point in self._selected(selection) if rest is None or point.ts < rest]
        for point in removed:
            del self._stored[point.device_id, point.metric, point.ts]
        return Removal(len(removed), rest)

    async def aggregate(
        self, selection: Selection, grid: Grid, aggregates: Collection[Aggregate], *, limit: int
    ) -> list[Bucket]:
        groups: dict[tuple[datetime, str], list[Point]] = defaultdict(list)
        for point in self._selected(selection):
            groups[interval_start(point.ts, grid), point.metric].append(point)
        return [
            Bucket(metric, start, {aggregate: figure(aggregate, points) for aggregate in aggregates})
            for (start, metric), points in sorted(groups.items(), key=lambda group: group[0])
        ][:limit]

    def _selected(self, selection: Selection) -> list[Point]:
        found = (
            point
            for point in self._stored.values()
            if point.device_id == selection.device_id
            and (selection.metrics is None or point.metric in selection.metrics)
            and selection.start <= point.ts < selection.end
        )
        return sorted(found, key=_place)


class InMemoryLedgerRepository:
    def __init__(self, minutes: dict[tuple[DeviceId, datetime], Counts]) -> None:
        self._minutes = minutes

    async def add(self, arrivals: Sequence[Arrival]) -> None:
        for arrival in arrivals:
            line = arrival.device_id, arrival.arrived_at.replace(second=0, microsecond=0)
            self._minutes[line] = self._minutes.get(line, Counts()) + arrival.counts

    async def list(
        self, device_id: DeviceId, start: datetime, end: datetime, *, length: timedelta, limit: int
    ) -> builtins.list[LedgerEntry]:
        sums: dict[datetime, Counts] = defaultdict(Counts)
        for (device, minute), counts in self._minutes.items():
            if device == device_id and start <= minute < end:
                interval = minute - (minute - EPOCH) % length
                sums[interval] = sums[interval] + counts
        return [LedgerEntry(interval, sums[interval]) for interval in sorted(sums)][:limit]


class InMemoryFleetRepository:
    def __init__(self, stored: dict[tuple[DeviceId, str, datetime], Point]) -> None:
        self._stored = stored

    async def aggregate(
        self, selection: FleetSelection, grid: Grid, aggregates: Collection[Aggregate], *, limit: int
    ) -> list[tuple[str, Bucket]]:
        groups: dict[tuple[datetime, str, str], list[Point]] = defaultdict(list)
        for point in sorted(self._stored.values(), key=_fleet_place):
            name = selection.groups.get(point.device_id)
            is_wanted = selection.metrics is None or point.metric in selection.metrics
            if name is not None and is_wanted and selection.start <= point.ts < selection.end:
                groups[interval_start(point.ts, grid), point.metric, name].append(point)
        return [
            (name, Bucket(metric, start, {aggregate: figure(aggregate, points) for aggregate in aggregates}))
            for (start, metric, name), points in sorted(groups.items(), key=lambda group: group[0])
        ][:limit]


class InMemoryEpochRepository:
    def __init__(self, data: TelemetryData) -> None:
        self._data = data

    async def get(self) -> int:
        return self._data.epoch

    async def add(self) -> None:
        self._data.epoch += 1

    async def is_at_rest(self, device_id: DeviceId) -> bool:
        return any(stored == device_id for stored, _, _ in self._data.points)


class InMemoryRetentionRepository:
    def __init__(self, classes: dict[str, RetentionClass]) -> None:
        self._classes = classes

    async def get(self, name: str, *, for_update: bool = False) -> RetentionClass:
        if name not in self._classes:
            raise RetentionClassNotFoundError
        return self._classes[name]

    async def list(self, *, for_update: bool = False) -> builtins.list[RetentionClass]:
        return [self._classes[name] for name in sorted(self._classes)]

    async def add(self, retention: RetentionClass) -> None:
        assert retention.name not in self._classes
        self._classes[retention.name] = retention

    async def save(self, retention: RetentionClass) -> None:
        self._classes[retention.name] = retention


class InMemoryChunkRepository:
    """Chunks are the months that have points."""

    def __init__(self, data: TelemetryData) -> None:
        self._data = data
        self.has_claimed = False

    async def claim(self) -> bool:
        if "chunks" in self._data.claimed:
            return False
        self._data.claimed.add("chunks")
        self.has_claimed = True
        return True

    async def list(
        self, *, before: datetime, number: int = DEFAULT_NUMBER, holds: Holding = Holding.READINGS
    ) -> builtins.list[ReadingChunk]:
        chunks = {month_of(point.ts, number) for point in self._data.points.values() if self._is_of(point, number)}
        if holds is not Holding.READINGS:
            chunks = {chunk for chunk in self._data.figure_chunks if (chunk.number, chunk.holds) == (number, holds)}
        return sorted((chunk for chunk in chunks if chunk.end <= before), key=lambda chunk: chunk.start)

    async def read(
        self, start: datetime, end: datetime, *, number: int = DEFAULT_NUMBER
    ) -> AsyncIterator[builtins.list[Reading]]:
        times: dict[tuple[DeviceId, datetime], dict[str, object]] = defaultdict(dict)
        for point in self._data.points.values():
            if start <= point.ts < end and self._is_of(point, number):
                times[point.device_id, point.ts][point.metric] = point.value
        for (device_id, ts), values in sorted(times.items(), key=lambda item: item[0]):
            yield [Reading(device_id, ts, values)]

    async def is_settled(self, chunk: ReadingChunk) -> bool:
        """Whatever class an hour is stale of: here figures are of all."""
        waiting = (each for each in self._data.stale.values() if each not in self._data.put_off)
        return not any(chunk.start <= each.hour < chunk.end for each in waiting)

    async def remove(self, chunk: ReadingChunk) -> None:
        self._data.figure_chunks.discard(chunk)
        if chunk.holds is not Holding.READINGS:
            return
        for key, point in list(self._data.points.items()):
            if chunk.start <= point.ts < chunk.end and self._is_of(point, chunk.number):
                del self._data.points[key]

    def _is_of(self, point: Point, number: int) -> bool:
        return self._data.classing.number_of(point) == number


class InMemoryKeepingUnitOfWork:
    chunks: ChunkRepository
    archive: ArchiveCatalogue
    removals: RemovalRepository

    def __init__(self, data: TelemetryData) -> None:
        self._data = data

    async def __aenter__(self) -> Self:
        self._chunks = InMemoryChunkRepository(self._data)
        self.chunks = self._chunks
        self.archive = InMemoryArchiveCatalogue(self._data)
        self.removals = InMemoryRemovalRepository(self._data)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._chunks.has_claimed:
            self._data.claimed.discard("chunks")


class InMemoryTelemetryUnitOfWork:
    """Works on a copy of ``data``, which becomes the data when it is committed."""

    points: PointRepository
    ledger: LedgerRepository
    retention: RetentionRepository
    archive: ArchiveCatalogue
    removals: RemovalRepository
    fleet: FleetRepository
    epochs: EpochRepository

    def __init__(self, data: TelemetryData) -> None:
        self._data = data

    async def __aenter__(self) -> Self:
        data = self._data
        self._draft = TelemetryData(
            points=dict(data.points),
            minutes=dict(data.minutes),
            classes=dict(data.classes),
            classing=data.classing.copy(),
            archived=dict(data.archived),
            archived_devices=dict(data.archived_devices),
            removals=dict(data.removals),
            epoch=data.epoch,
        )
        self.points = InMemoryPointRepository(self._draft)
        self.ledger = InMemoryLedgerRepository(self._draft.minutes)
        self.archive = InMemoryArchiveCatalogue(self._draft)
        self.removals = InMemoryRemovalRepository(self._draft)
        self.retention = InMemoryRetentionRepository(self._draft.classes)
        self.fleet = InMemoryFleetRepository(self._draft.points)
        self.epochs = InMemoryEpochRepository(self._draft)
        return self

    async def commit(self) -> None:
        self._data.keep(self._draft.points)
        self._data.minutes, self._data.epoch = self._draft.minutes, self._draft.epoch
        self._data.classes, self._data.archived = self._draft.classes, self._draft.archived
        self._data.archived_devices = self._draft.archived_devices
        self._data.removals = self._draft.removals
        self._data.classing = self._draft.classing

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        del self._draft


class InMemoryRollupRepository:
    """Works nothing out: the figures of the double are always those of its points."""

    def __init__(self, data: TelemetryData) -> None:
        self._data = data

    async def list(self, *, before: datetime, limit: int, stale_for: timedelta = NO_TIME) -> builtins.list[StaleHour]:
        marked_before = datetime.now(UTC) - stale_for
        due = [
            each
            for each in self._data.stale.values()
            if each.hour <= before
            and each not in self._data.put_off
            and self._data.marked_at.get((each.source, each.hour), EARLIEST) <= marked_before
        ]
        return sorted(due, key=lambda each: (-each.hour.timestamp(), each.source))[:limit]

    async def save(self, hours: Sequence[StaleHour]) -> None:
        for each in hours:
            if self._data.stale.get((each.source, each.hour)) == each:
                del self._data.stale[each.source, each.hour]

    async def put_off(self, hours: Sequence[StaleHour]) -> None:
        self._data.put_off |= set(hours)

    async def find_backlog(self, *, before: datetime) -> RollupBacklog:
        due = await self.list(before=before, limit=len(self._data.stale))
        oldest_at = min((each.hour + timedelta(hours=1) for each in due), default=None)
        return RollupBacklog(len(due), oldest_at, len(self._data.put_off & set(self._data.stale.values())))


class InMemoryRollupUnitOfWork:
    """Writes at once, for nothing that is worked out is ever taken back."""

    rollups: RollupRepository

    def __init__(self, data: TelemetryData) -> None:
        self.rollups = InMemoryRollupRepository(data)

    async def __aenter__(self) -> Self:
        return self

    async def commit(self) -> None:
        return

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return


def _as_stored(point: Point) -> Point:
    is_number = isinstance(point.value, int) and not isinstance(point.value, bool)
    return Point(point.device_id, point.metric, point.ts, float(point.value)) if is_number else point


def month_of(ts: datetime, number: int = DEFAULT_NUMBER) -> ReadingChunk:
    end = datetime(ts.year + ts.month // 12, ts.month % 12 + 1, 1, tzinfo=UTC)
    return ReadingChunk(datetime(ts.year, ts.month, 1, tzinfo=UTC), end, number)


def _place(point: Point) -> tuple[datetime, str]:
    return point.ts, point.metric


def _fleet_place(point: Point) -> tuple[datetime, DeviceId]:
    return point.ts, point.device_id
