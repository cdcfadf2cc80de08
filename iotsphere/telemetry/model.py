"""Readings and what becomes of them.

A *reading* is what a device sends: some values at one time. A *point* is what is kept: one value of one metric at one
time. The point's identity is (device, metric, ts).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Generic, NamedTuple, TypeVar

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.intervals import Grid

METRIC_NAME = r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}"
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
FUTURE_TOLERANCE = timedelta(hours=24)
# Every metric that a device ever had is read whenever it reports.
MAX_METRICS = 10_000
# Beyond this a double no longer holds every integer.
MAX_INTEGER = 2**53

_METRIC_NAME = re.compile(METRIC_NAME)


def is_metric_name(name: str) -> bool:
    return _METRIC_NAME.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class Point:
    """``value`` is a JSON value other than null; numbers are kept as doubles."""

    device_id: DeviceId
    metric: str
    ts: datetime
    value: Any


@dataclass(frozen=True, slots=True)
class Reading:
    """Values of a device at one time, by metric: at least one, each a JSON value other than null."""

    device_id: DeviceId
    ts: datetime
    values: Mapping[str, Any]


def is_same_value(one: Any, other: Any) -> bool:
    """Compare as JSON does: 1 is 1.0, but true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_same_value(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same_value, one, other))
    return bool(one == other)


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of all values of a reading, of a request or of a stretch of time.

    A conflict left the stored value as it was. Of what was rejected, ``expired`` is of a time that is kept no longer.
    """

    stored: int = 0
    duplicates: int = 0
    conflicts: int = 0
    rejected: int = 0
    expired: int = 0

    @property
    def received(self) -> int:
        return self.stored + self.duplicates + self.conflicts + self.rejected

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.stored + other.stored,
            self.duplicates + other.duplicates,
            self.conflicts + other.conflicts,
            self.rejected + other.rejected,
            self.expired + other.expired,
        )


@dataclass(frozen=True, slots=True)
class Arrival:
    """What one request of a device came to."""

    device_id: DeviceId
    arrived_at: datetime
    counts: Counts


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a value, or a whole reading where ``metric`` is None, was not taken; ``index`` is the reading's."""

    index: int
    code: str
    detail: str
    metric: str | None = None


@dataclass(frozen=True, slots=True)
class IntakeReport:
    """What became of readings; ``latest`` is the time of the latest of each device, where they are of many."""

    counts: Counts
    rejections: list[Rejection] = field(default_factory=list)
    latest: Mapping[DeviceId, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """What arrived from ``start`` on, until the next interval begins."""

    start: datetime
    counts: Counts


@dataclass(frozen=True, slots=True)
class StaleHour:
    """An hour of a device whose figures are not those of its readings; whoever writes gives it another revision."""

    source: int
    hour: datetime
    revision: int


@dataclass(frozen=True, slots=True)
class RollupBacklog:
    """How many hours wait for being worked out, since when the first of them, and how many were put off."""

    waiting: int
    oldest_at: datetime | None
    put_off: int


@dataclass(frozen=True, slots=True)
class Selection:
    """Points of one device with ``start <= ts < end``; ``metrics`` None means all of them."""

    device_id: DeviceId
    metrics: tuple[str, ...] | None
    start: datetime
    end: datetime


class Numbers(NamedTuple):
    """The numbers of one metric in the order of time; ``times`` in microseconds since 1970."""

    times: Sequence[int]
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class Removal:
    """How many points were removed, and from when on there may be more to remove; None where that was all."""

    points: int
    rest: datetime | None


@dataclass(frozen=True, slots=True)
class FleetSelection:
    """Points with ``start <= ts < end``, of devices that each have the name of their group; ``metrics`` None: all."""

    groups: Mapping[DeviceId, str]
    metrics: tuple[str, ...] | None
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the order (ts, metric) in which points of several metrics are read."""

    ts: datetime
    metric: str


class Order(StrEnum):
    ASCENDING = "asc"
    DESCENDING = "desc"


@dataclass(frozen=True, slots=True)
class SeriesQuery:
    """What a caller wants of a device's series; a missing ``start`` or ``end`` leaves that side open.

    ``limit`` counts points or buckets over all series.
    """

    device_id: DeviceId
    limit: int
    metrics: tuple[str, ...] | None = None
    start: datetime | None = None
    end: datetime | None = None
    order: Order = Order.ASCENDING
    cursor: str | None = None


class Aggregate(StrEnum):
    AVG = "avg"
    MIN = "min"
    MAX = "max"
    SUM = "sum"
    COUNT = "count"
    FIRST = "first"
    LAST = "last"
    STDDEV = "stddev"
    P50 = "p50"
    P95 = "p95"
    P99 = "p99"

    # As texts have it, which they are: an enumeration's own is worked out in Python, for each figure of an answer.
    __hash__ = str.__hash__


Figures = dict[Aggregate, float | int | None]


class Bucket(NamedTuple):
    """The points of one metric in one interval, in figures; a figure is None where no number bears it."""

    metric: str
    ts: datetime
    figures: Figures


class Fill(StrEnum):
    """What an interval without points shows."""

    NONE = "none"
    NULL = "null"
    PREVIOUS = "previous"
    LINEAR = "linear"


@dataclass(frozen=True, slots=True)
class Summary:
    """How points become figures."""

    grid: Grid
    aggregates: tuple[Aggregate, ...]
    fill: Fill = Fill.NONE


S = TypeVar("S", Point, Bucket)


@dataclass(frozen=True, slots=True)
class SeriesPage(Generic[S]):
    """A page of several series, in the order of (ts, metric); ``metrics`` are those that it speaks of."""

    metrics: Sequence[str]
    items: Sequence[S]
    next_cursor: str | None

    @property
    def series(self) -> dict[str, list[S]]:
        """Part them by metric; one that was asked for is there even without a point."""
        series: dict[str, list[S]] = {metric: [] for metric in self.metrics}
        for item in self.items:
            series[item.metric].append(item)
        return series
