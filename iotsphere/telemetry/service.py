"""Takes readings in, and gives them back: as they are, in figures over intervals."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec

from iotsphere.kernel.clock import Clock
from iotsphere.kernel.errors import RuleViolationError, UnavailableError
from iotsphere.kernel.identifiers import DeviceId, OrganisationId
from iotsphere.kernel.pagination import Page, decode_cursor, encode_cursor
from iotsphere.kernel.times import EPOCH, MICROSECOND
from iotsphere.telemetry.archived import ArchivedStretch, stretches_of
from iotsphere.telemetry.bounds import LATEST_END, MAX_BUCKETS, close_range, within
from iotsphere.telemetry.decoding import Refusal, read_batch
from iotsphere.telemetry.downsampling import downsample
from iotsphere.telemetry.errors import BatchRejectedError, TooManyIntervalsError, TooManyPointsError
from iotsphere.telemetry.filling import fill_gaps
from iotsphere.telemetry.gathered import GivenReading, Terms, part_by_device, put_together
from iotsphere.telemetry.intake import GroupCommit, Submission
from iotsphere.telemetry.intervals import Interval
from iotsphere.telemetry.keeping import RetentionMemory
from iotsphere.telemetry.model import (
    EARLIEST,
    METRIC_NAME,
    Bucket,
    Fill,
    IntakeReport,
    LedgerEntry,
    Numbers,
    Order,
    Point,
    Position,
    Rejection,
    S,
    Selection,
    SeriesPage,
    SeriesQuery,
    Summary,
)
from iotsphere.telemetry.ports import DeviceTypes, TelemetryUnitOfWorkFactory
from iotsphere.telemetry.query_room import QueryRoom
from iotsphere.telemetry.retention import refusals_of, without_expired
from iotsphere.telemetry.turns import Sender

MAX_SAMPLES = 50_000
# So many are read, and gone through, in about a second.
MAX_NUMBERS = 1_000_000
# Readings: enough to be worth a transaction, and few enough for writers not to wait.
REMOVED_AT_ONCE = 5_000
# Behind the grace that requests have, and before whoever stops the process kills it.
FINISH_SECONDS = 1.5
MINUTE = timedelta(minutes=1)

Microseconds = Annotated[int, msgspec.Meta(ge=0, le=(LATEST_END - EPOCH) // MICROSECOND)]
MetricName = Annotated[str, msgspec.Meta(pattern=rf"^{METRIC_NAME}\Z")]


class TelemetryService:
    def __init__(
        self,
        *,
        unit_of_work: TelemetryUnitOfWorkFactory,
        clock: Clock,
        room: QueryRoom | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        kinds: DeviceTypes | None = None,
        view: TelemetryUnitOfWorkFactory | None = None,
    ) -> None:
        """``kinds`` knows of which type a device is; without it, classes for some type are for no device.

        ``view`` makes units of work for reading alone, where they cost less than others.
        """
        self._unit_of_work = unit_of_work
        self._view = view or unit_of_work
        self._kinds = kinds
        self._clock = clock
        self._room = room or QueryRoom()
        self._commits = GroupCommit(unit_of_work=unit_of_work)
        self._retention = RetentionMemory(unit_of_work=unit_of_work, clock=clock, monotonic=monotonic)

    async def record_readings(
        self,
        *,
        device_id: DeviceId,
        document: Any,
        replaces: bool = False,
        organisation_id: OrganisationId | None = None,
    ) -> IntakeReport:
        """Store a reading or an array of them, given as decoded JSON, and count them in the ledger.

        With ``replaces`` another value for a stored point takes its place; otherwise the stored one stays. Under load
        organisations take turns, and the devices of each.

        :raises TooManyValuesError: nothing was stored.
        :raises BatchRejectedError: not one value could be taken; its report is the one that would be given.
        :raises UnavailableError: nothing was stored, or it may be stored yet; sent again it is counted as it should.
        """
        arrived_at = self._clock()
        batch = read_batch(document, device_id=device_id, arrived_at=arrived_at)
        kept_since = await self._retention.kept_since()
        batch = without_expired(batch, min(kept_since.values()))
        types = await self._find_types(organisation_id, {device_id})
        submission = Submission(
            device_id, arrived_at, batch.readings, batch.rejected, types.get(device_id), kept_since
        )
        receipt = await self._commits.write(submission, replaces=replaces, organisation_id=organisation_id)
        refused = [
            Rejection(batch.indexes[place], *refusal)
            for place, counts in receipt.unsettled.items()
            for refusal in refusals_of(counts)
        ]
        counts = receipt.counts
        report = IntakeReport(counts, sorted([*batch.rejections, *refused], key=_index))
        if counts.rejected and counts.rejected == counts.received:
            raise BatchRejectedError(report)
        return report

    async def record_gathered(
        self,
        *,
        given: Sequence[GivenReading],
        refused: Mapping[DeviceId, Refusal],
        replaces: bool = False,
        organisation_id: OrganisationId | None = None,
    ) -> IntakeReport:
        """Store readings of many devices, each as it stands, all together or none of them.

        ``refused`` says of which devices none is taken, and why: the ledger counts them as rejected. The report tells
        of each by its place.
        """
        kept_since, arrived_at = await self._retention.kept_since(), self._clock()
        types = await self._find_types(organisation_id, {reading.device_id for reading in given})
        parcels = part_by_device(given, refused=refused, terms=Terms(arrived_at, kept_since, types))
        submissions = [parcel.submission for parcel in parcels]
        sender = Sender(organisation_id, None)
        receipts = await self._commits.write_together(submissions, replaces=replaces, sender=sender)
        return put_together(parcels, receipts)

    async def _find_types(
        self, organisation_id: OrganisationId | None, device_ids: Collection[DeviceId]
    ) -> Mapping[DeviceId, str]:
        """Give the types that decide with the metrics for how long readings are kept.

        :raises UnavailableError: they do decide, and nobody can tell them now.
        """
        if self._kinds is None or organisation_id is None:
            return {}
        try:
            return await self._kinds.find_types(organisation_id, device_ids)
        except UnavailableError:
            if await self._retention.goes_by_types():
                raise
            return {}

    def take_no_more_readings(self) -> None:
        """Refuse readings from now on, and tell all who wait for theirs to send them again."""
        self._commits.take_no_more()

    async def finish(self) -> None:
        """Write the readings that were taken, before the store is let go of; it takes some seconds at the most."""
        await self._commits.close(within=FINISH_SECONDS)

    async def read_points(
        self, *, query: SeriesQuery, organisation_id: OrganisationId | None = None
    ) -> SeriesPage[Point]:
        """Give points as they were sent; numbers come back as doubles.

        :raises CursorMalformedError: the cursor is not one of this query.
        :raises QueryBusyError: too many others are being answered.
        :raises QueryTooCostlyError: it would take too long.
        """
        selection, after = self._selection(query), _after(query)
        async with self._room.place(organisation_id), self._view() as uow:
            points = await uow.points.range(selection, order=query.order, after=after, limit=query.limit + 1)
        return _page(points, query)

    async def read_samples(
        self, *, query: SeriesQuery, most: int, organisation_id: OrganisationId | None = None
    ) -> SeriesPage[Point]:
        """Give of the numbers of each series ``most`` that show its curve, or all where there are no more.

        :raises CursorMalformedError: the cursor is not one of this query.
        :raises QueryBusyError: too many others are being answered.
        :raises TooManyPointsError: that would be more than anybody can look at.
        :raises QueryTooCostlyError: there are too many numbers, or it would take too long.
        """
        selection, after = self._selection(query), _after(query, most)
        async with self._room.place(organisation_id), self._view() as uow:
            series = await uow.points.numbers(selection, limit=MAX_NUMBERS)
        if sum(min(most, len(numbers.times)) for numbers in series.values()) > MAX_SAMPLES:
            raise TooManyPointsError(MAX_SAMPLES)
        # In a thread, so that others get their turn meanwhile.
        points = await asyncio.to_thread(_samples, query.device_id, series, most)
        return _page(_in_order(points, query.order, after), query, most)

    async def find_archived(
        self, *, device_ids: Collection[DeviceId], start: datetime | None, end: datetime | None
    ) -> list[ArchivedStretch]:
        """Give the stretches of the range of which readings of these devices are in the archive alone.

        :raises UnavailableError: the store does not answer.
        """
        start, end = self._range(start, end)
        if start >= await self._retention.dropped_before():
            return []
        async with self._view() as uow:
            days = await uow.archive.list(start=start, end=end, device_ids=device_ids)
        now = self._clock()
        return stretches_of(each for each in days if each.file.readings and not each.is_restored(now))

    async def read_buckets(
        self, *, query: SeriesQuery, summary: Summary, organisation_id: OrganisationId | None = None
    ) -> SeriesPage[Bucket]:
        """Give figures of the points in each interval.

        :raises CursorMalformedError: the cursor is not one of this query.
        :raises QueryBusyError: too many others are being answered.
        :raises TooManyIntervalsError: there would be more than anybody can look at.
        :raises QueryTooCostlyError: it would take too long.
        :raises FigureOverflowError: a figure exceeds the largest double.
        """
        selection, after = self._selection(query), _after(query, summary)
        async with self._room.place(organisation_id), self._view() as uow:
            buckets = await uow.points.aggregate(selection, summary.grid, summary.aggregates, limit=MAX_BUCKETS + 1)
        if len(buckets) > MAX_BUCKETS:
            raise TooManyIntervalsError(MAX_BUCKETS)
        if summary.fill is not Fill.NONE:
            buckets = _without_gaps(buckets, query, summary)
        return _page(_in_order(buckets, query.order, after), query, summary)

    async def remove_points(
        self,
        *,
        device_id: DeviceId,
        metrics: tuple[str, ...] | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> AsyncIterator[int]:
        """Remove points in one transaction after the other, and tell after each how many it has removed.

        What the archive holds of them is not counted: a worker takes it out later, and nobody restores it until then.
        The ledger goes on saying what arrived.
        """
        selection: Selection | None = Selection(device_id, metrics, *self._range(start, end))
        while selection is not None:
            async with self._unit_of_work() as uow:
                removal = await uow.points.remove(selection, limit=REMOVED_AT_ONCE)
                gone_through = replace(selection, end=removal.rest or selection.end)
                await uow.removals.add(gone_through, removed_at=self._clock())
                await uow.commit()
            yield removal.points
            selection = replace(selection, start=removal.rest) if removal.rest else None

    async def read_ledger(
        self,
        *,
        device_id: DeviceId,
        interval: Interval,
        limit: int,
        start: datetime | None = None,
        end: datetime | None = None,
        cursor: str | None = None,
        organisation_id: OrganisationId | None = None,
    ) -> Page[LedgerEntry]:
        """Give what arrived in each interval, by whole minutes; the one that holds ``start`` counts.

        :raises RuleViolationError: the interval is not made of whole minutes.
        :raises CursorMalformedError: the cursor is not one of this query.
        :raises QueryBusyError: too many others are being answered.
        :raises QueryTooCostlyError: it would take too long.
        """
        if interval.length % MINUTE:
            message = "Must be whole minutes: that is how finely arrivals are counted."
            raise RuleViolationError("The ledger cannot be read at this interval.", {"interval": [message]})
        asked = (device_id, interval, start, end)
        start, end = self._range(start, end)
        start -= (start - EPOCH) % MINUTE
        if cursor is not None:
            (last_shown,) = decode_cursor(cursor, tuple[Microseconds], asked=asked)
            start = max(start, _from_microseconds(last_shown) + interval.length)
        async with self._room.place(organisation_id), self._view() as uow:
            entries = await uow.ledger.list(device_id, start, end, length=interval.length, limit=limit + 1)
        last = entries[limit - 1].start if len(entries) > limit else None
        return Page(entries[:limit], encode_cursor(_microseconds(last), asked=asked) if last else None)

    def _selection(self, query: SeriesQuery) -> Selection:
        return Selection(query.device_id, query.metrics, *self._range(query.start, query.end))

    def _range(self, start: datetime | None, end: datetime | None) -> tuple[datetime, datetime]:
        return close_range(start, end, now=self._clock())


def _without_gaps(buckets: list[Bucket], query: SeriesQuery, summary: Summary) -> list[Bucket]:
    """Fill the range that was asked for; a side that was left open ends with the data."""
    known = defaultdict(list)
    for bucket in buckets:
        known[bucket.metric].append(bucket)
    metrics = query.metrics or sorted(known)
    is_open = query.start is None or query.end is None
    if not metrics or (is_open and not buckets):
        return []
    first = buckets[0].ts if query.start is None else within(query.start, EARLIEST, LATEST_END)
    last = buckets[-1].ts if query.end is None else within(query.end, EARLIEST, LATEST_END) - MICROSECOND
    if summary.grid.most_between(first, last) * len(metrics) > MAX_BUCKETS:
        raise TooManyIntervalsError(MAX_BUCKETS)
    starts = summary.grid.starts(first, last) if first <= last else []
    return [
        bucket
        for metric in metrics
        for bucket in fill_gaps(metric, known[metric], starts, aggregates=summary.aggregates, fill=summary.fill)
    ]


def _samples(device_id: DeviceId, series: Mapping[str, Numbers], most: int) -> list[Point]:
    return [
        Point(device_id, metric, _from_microseconds(numbers.times[place]), numbers.values[place])
        for metric, numbers in series.items()
        for place in downsample(numbers, most)
    ]


def _in_order(items: list[S], order: Order, after: Position | None) -> list[S]:
    """Sort as the points of several series are sorted, and leave out what earlier pages showed."""
    is_descending = order is Order.DESCENDING
    items.sort(key=_place, reverse=is_descending)
    if after is None:
        return items
    shown = (after.ts, after.metric)
    return [item for item in items if (_place(item) < shown if is_descending else _place(item) > shown)]


def _place(item: Point | Bucket) -> tuple[datetime, str]:
    return item.ts, item.metric


def _page(found: Sequence[S], query: SeriesQuery, made_into: Summary | int | None = None) -> SeriesPage[S]:
    """Make a page of what was found in order, of which one too many tells of a next page."""
    shown = found[: query.limit]
    metrics = query.metrics or sorted({item.metric for item in shown})
    cursor = None
    if len(found) > query.limit:
        cursor = encode_cursor(_microseconds(shown[-1].ts), shown[-1].metric, asked=_asked(query, made_into))
    return SeriesPage(metrics, shown, cursor)


def _index(rejection: Rejection) -> int:
    return rejection.index


def _after(query: SeriesQuery, made_into: Summary | int | None = None) -> Position | None:
    if query.cursor is None:
        return None
    asked = _asked(query, made_into)
    microseconds, metric = decode_cursor(query.cursor, tuple[Microseconds, MetricName], asked=asked)
    return Position(_from_microseconds(microseconds), metric)


def _asked(query: SeriesQuery, made_into: Summary | int | None) -> object:
    """Give what a cursor is bound to; how much goes onto a page is nothing to it."""
    return replace(query, limit=0, cursor=None), made_into


def _microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND


def _from_microseconds(count: int) -> datetime:
    return EPOCH + timedelta(microseconds=count)
