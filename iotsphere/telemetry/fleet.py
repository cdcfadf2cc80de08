"""Figures over the readings of many devices, each group of devices as if it were one."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from iotsphere.kernel.clock import Clock
from iotsphere.kernel.identifiers import DeviceId, OrganisationId
from iotsphere.kernel.times import MICROSECOND
from iotsphere.telemetry.bounds import LATEST_END, MAX_BUCKETS, close_range
from iotsphere.telemetry.errors import TooManyIntervalsError
from iotsphere.telemetry.filling import fill_gaps
from iotsphere.telemetry.model import Bucket, Fill, FleetSelection, Summary
from iotsphere.telemetry.ports import TelemetryUnitOfWorkFactory
from iotsphere.telemetry.query_room import QueryRoom


@dataclass(frozen=True, slots=True)
class FleetSeries:
    """Figures of a group; ``unit`` is that of all of its devices, None where they differ or it is not known."""

    group: str
    metric: str
    buckets: list[Bucket]
    unit: str | None = None


class FleetTelemetryService:
    def __init__(
        self, *, unit_of_work: TelemetryUnitOfWorkFactory, clock: Clock, room: QueryRoom | None = None
    ) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._room = room or QueryRoom()

    async def read_buckets(
        self,
        *,
        groups: Mapping[DeviceId, str],
        metrics: tuple[str, ...],
        start: datetime | None,
        end: datetime | None,
        summary: Summary,
        organisation_id: OrganisationId | None = None,
    ) -> list[FleetSeries]:
        """Give figures over all points of each group, by group and metric; what has no point is left out.

        :raises QueryBusyError: too many others are being answered.
        :raises TooManyIntervalsError: there would be more than anybody can look at.
        :raises QueryTooCostlyError: it would take too long.
        :raises FigureOverflowError: a figure exceeds the largest double.
        """
        selection = FleetSelection(groups, metrics, *close_range(start, end, now=self._clock()))
        async with self._room.place(organisation_id), self._unit_of_work() as uow:
            found = await uow.fleet.aggregate(selection, summary.grid, summary.aggregates, limit=MAX_BUCKETS + 1)
        if len(found) > MAX_BUCKETS:
            raise TooManyIntervalsError(MAX_BUCKETS)
        known: dict[tuple[str, str], list[Bucket]] = defaultdict(list)
        for group, bucket in found:
            known[group, bucket.metric].append(bucket)
        series = [FleetSeries(*key, known[key]) for key in sorted(known)]
        if summary.fill is Fill.NONE or not series:
            return series
        times = [bucket.ts for _, bucket in found]
        first = min(times) if start is None else selection.start
        # Not as far as there may be points, but as far as was asked.
        last = max(times) if end is None else min(end, LATEST_END) - MICROSECOND
        return _filled(series, summary, first, last)


def _filled(series: list[FleetSeries], summary: Summary, first: datetime, last: datetime) -> list[FleetSeries]:
    if summary.grid.most_between(first, last) * len(series) > MAX_BUCKETS:
        raise TooManyIntervalsError(MAX_BUCKETS)
    starts = summary.grid.starts(first, last)
    return [
        FleetSeries(
            each.group,
            each.metric,
            fill_gaps(each.metric, each.buckets, starts, aggregates=summary.aggregates, fill=summary.fill),
        )
        for each in series
    ]
