"""From the decoded JSON of a request to readings, and to reasons for whatever cannot be taken.

One bad value never costs the good ones; a reading whose time is bad costs its own values alone.

What nearly every device sends, numbers alone, may come as ``PlainReading``: there is little to look at then. As soon
as anything about it is doubtful, it is read again like everything else.
"""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.kernel.times import EPOCH, MICROSECOND, parse_time
from iotsphere.telemetry.blocks import NUMBERS, Block
from iotsphere.telemetry.errors import TooManyValuesError
from iotsphere.telemetry.model import (
    EARLIEST,
    FUTURE_TOLERANCE,
    MAX_INTEGER,
    MAX_METRICS,
    Reading,
    Rejection,
    is_metric_name,
)

MAX_VALUES = 10_000
MAX_TEXT_BYTES = 4096
MAX_NESTED_BYTES = 8192
MAX_DEPTH = 64
# Of one kind of readings; those of a thousand kinds are a few MiB.
MOST_REMEMBERED_NAMES = 50


def _milliseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(milliseconds=1)


EARLIEST_MILLISECONDS = _milliseconds(EARLIEST)
MEMBERS = frozenset({"ts", "values"})


class Refusal(NamedTuple):
    code: str
    detail: str


INTEGER_INEXACT = Refusal(
    "telemetry.point.inexact", "Integers beyond 2^53 cannot be kept exactly. Send such a number as a text."
)
NOT_FINITE = Refusal("telemetry.point.not_finite", "The number exceeds the largest double.")
NULL = Refusal("telemetry.point.null", "null is no value. Leave the metric out.")
NUL_CHARACTER = Refusal("telemetry.point.nul_character", "Texts with the character U+0000 cannot be kept.")
TEXT_TOO_LARGE = Refusal("telemetry.point.too_large", f"A text may have {MAX_TEXT_BYTES} bytes of UTF-8 at the most.")
NESTED_TOO_LARGE = Refusal(
    "telemetry.point.too_large", f"An object or array may have {MAX_NESTED_BYTES} bytes of compact JSON at the most."
)
TOO_DEEP = Refusal("telemetry.point.too_deep", f"An object or array may be nested {MAX_DEPTH} levels at the most.")
METRIC_INVALID = Refusal(
    "telemetry.point.metric_invalid",
    "A metric's name is a letter or _, then up to 127 letters, digits, and characters of _ . : -",
)
READING_INVALID = Refusal("telemetry.reading.invalid", 'A reading is an object {"ts"?, "values": {metric: value}}.')
FUTURE = Refusal("telemetry.point.future", "The time lies more than 24 hours ahead.")
TOO_OLD = Refusal("telemetry.point.too_old", "The time lies before 2000-01-01.")


TOO_MANY_METRICS = Refusal(
    "telemetry.device.too_many_metrics", f"A device may have {MAX_METRICS} metrics at the most."
)


class PlainReading(msgspec.Struct, forbid_unknown_fields=True):
    """A reading of numbers, none of them so large that an integer would not be exact."""

    values: dict[str, float]
    ts: int | str | msgspec.UnsetType = msgspec.UNSET

    @property
    def document(self) -> dict[str, Any]:
        """Give it as it is decoded where nothing is known of it."""
        return {"values": self.values} if self.ts is msgspec.UNSET else {"values": self.values, "ts": self.ts}


@dataclass(frozen=True, slots=True)
class Batch:
    """``rejected`` counts values: a rejected reading counts all of its own, and one at the least.

    ``indexes`` are the readings' in the request.
    """

    readings: Sequence[Reading] = field(default_factory=list)
    indexes: Sequence[int] = field(default_factory=list)
    rejections: Sequence[Rejection] = field(default_factory=list)
    rejected: int = 0


def read_batch(document: Any, *, device_id: DeviceId, arrived_at: datetime) -> Batch:
    """Read one reading or an array of them; a reading without a time is of ``arrived_at``.

    :raises TooManyValuesError: nothing of it should be stored.
    """
    given = document if isinstance(document, list) else [document]
    if given and isinstance(given[0], PlainReading):
        plain = _read_plain(given, device_id, arrived_at)
        if plain is not None:
            return plain
        given = [reading.document for reading in given]
    latest = arrived_at + FUTURE_TOLERANCE
    count = sum(map(_count, given))
    if count > MAX_VALUES:
        raise TooManyValuesError(count, MAX_VALUES)
    readings: list[Reading] = []
    indexes: list[int] = []
    rejections: list[Rejection] = []
    # Readings of a batch mostly have the same metrics, whose names are then looked at once.
    known: set[tuple[str, ...]] = set()
    rejected = 0
    for index, reading in enumerate(given):
        ts = _read_time(reading, arrived_at, latest)
        if isinstance(ts, Refusal):
            rejections.append(Rejection(index, *ts))
            rejected += max(1, _count(reading))
            continue
        values = reading["values"]
        if not _are_plain_numbers(values.values()) or not _are_metric_names(tuple(values), known):
            refused = {metric: refusal for metric, value in values.items() if (refusal := _refuse(metric, value))}
            rejections += [Rejection(index, *refusal, metric=metric[:128]) for metric, refusal in refused.items()]
            rejected += len(refused)
            values = {metric: value for metric, value in values.items() if metric not in refused}
        if values:
            readings.append(Reading(device_id, ts, values))
            indexes.append(index)
    return Batch(readings, indexes, rejections, rejected)


def _read_plain(given: Sequence[PlainReading], device_id: DeviceId, arrived_at: datetime) -> Batch | None:
    """Read what there is nothing to say about; None says that there may be."""
    times = read_plain_times(given, arrived_at)
    return None if times is None else Batch(to_readings(device_id, given, times), [*range(len(given))])


def read_plain_times(given: Sequence[PlainReading], arrived_at: datetime) -> list[int] | None:
    """Give the times of readings, whosesoever, in microseconds; None if there may be something to say about one."""
    values = [reading.values for reading in given]
    if sum(map(len, values)) > MAX_VALUES:
        return None
    if not all(kind and _are_well_named(kind) for kind in dict.fromkeys(map(tuple, values))):
        return None
    return _read_plain_times([reading.ts for reading in given], arrived_at)


def to_readings(device_id: DeviceId, given: Sequence[PlainReading], times: Sequence[int]) -> Sequence[Reading]:
    """Make the readings of a device, in columns where they can be."""
    kinds = {tuple(reading.values) for reading in given}
    if len(kinds) == 1:
        return Block(device_id, kinds.pop(), times, [[*reading.values.values()] for reading in given])
    return [
        Reading(device_id, EPOCH + ts * MICROSECOND, reading.values) for ts, reading in zip(times, given, strict=True)
    ]


def _are_well_named(metrics: tuple[str, ...]) -> bool:
    if len(metrics) > MOST_REMEMBERED_NAMES:
        return all(map(is_metric_name, metrics))
    return _are_remembered(metrics)


# Devices of a kind have the same metrics.
@lru_cache(maxsize=1024)
def _are_remembered(metrics: tuple[str, ...]) -> bool:
    return all(map(is_metric_name, metrics))


def _read_plain_times(given: Sequence[int | str | msgspec.UnsetType], arrived_at: datetime) -> list[int] | None:
    """Give them in microseconds; None if there may be something to say about one."""
    latest = arrived_at + FUTURE_TOLERANCE
    whole = [ts for ts in given if isinstance(ts, int)]
    if len(whole) == len(given):
        is_inside = min(whole) >= EARLIEST_MILLISECONDS and max(whole) <= _milliseconds(latest)
        return [1000 * ts for ts in whole] if is_inside else None
    times = []
    for ts in given:
        moment = _read_plain_time(ts, arrived_at, latest)
        if isinstance(moment, Refusal):
            return None
        times.append((moment - EPOCH) // MICROSECOND)
    return times


def _read_plain_time(
    given: int | str | msgspec.UnsetType, arrived_at: datetime, latest: datetime
) -> datetime | Refusal:
    if given is msgspec.UNSET:
        return arrived_at
    if isinstance(given, int):
        return _outside(given, EARLIEST_MILLISECONDS, _milliseconds(latest)) or parse_time(given)
    return _read_text(given, latest)


def _are_plain_numbers(values: Collection[Any]) -> bool:
    """Tell at a glance that there is nothing to refuse; whatever is left is looked at value by value."""
    return (
        bool(values)
        and NUMBERS.issuperset(map(type, values))
        and -MAX_INTEGER <= min(values) <= max(values) <= MAX_INTEGER
    )


def _are_metric_names(names: tuple[str, ...], known: set[tuple[str, ...]]) -> bool:
    if names in known:
        return True
    if not all(map(is_metric_name, names)):
        return False
    known.add(names)
    return True


def _count(reading: Any) -> int:
    values = reading.get("values") if isinstance(reading, dict) else None
    return len(values) if isinstance(values, dict) else 1


def _read_time(reading: Any, arrived_at: datetime, latest: datetime) -> datetime | Refusal:
    """Give the time of a reading, or say why the reading cannot be taken."""
    if not isinstance(reading, dict) or not isinstance(reading.get("values"), dict):
        return READING_INVALID
    if not reading.keys() <= MEMBERS:
        unknown = min(reading.keys() - MEMBERS)
        return Refusal(READING_INVALID.code, f"{READING_INVALID.detail} Unknown: {unknown[:128]}.")
    if "ts" not in reading:
        return arrived_at
    given = reading["ts"]
    if isinstance(given, int) and not isinstance(given, bool):
        # Compared as a number first: it may be beyond every calendar.
        outside = _outside(given, EARLIEST_MILLISECONDS, _milliseconds(latest))
        return outside or parse_time(given)
    return _read_text(given, latest)


def _read_text(given: Any, latest: datetime) -> datetime | Refusal:
    try:
        ts = parse_time(given)
    except ValueError as error:
        return Refusal("telemetry.reading.time_invalid", f"ts: {error}")
    return _outside(ts, EARLIEST, latest) or ts


def _outside(ts: Any, earliest: Any, latest: Any) -> Refusal | None:
    if ts > latest:
        return FUTURE
    return TOO_OLD if ts < earliest else None


def _refuse(metric: str, value: Any) -> Refusal | None:
    if not is_metric_name(metric):
        return METRIC_INVALID
    if value is None:
        return NULL
    if isinstance(value, dict | list):
        return _refuse_nested(value)
    if isinstance(value, str) and len(value.encode()) > MAX_TEXT_BYTES:
        return TEXT_TOO_LARGE
    return _refuse_scalar(value)


def _refuse_scalar(value: Any) -> Refusal | None:
    if isinstance(value, float):
        return None if math.isfinite(value) else NOT_FINITE
    if isinstance(value, str):
        return NUL_CHARACTER if "\0" in value else None
    # true and false are integers to Python, and small ones.
    return INTEGER_INEXACT if value is not None and abs(value) > MAX_INTEGER else None


def _refuse_nested(value: dict[str, Any] | list[Any]) -> Refusal | None:
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH + 1):
        containers = [item for item in level if isinstance(item, dict | list)]
        scalars = [item for item in level if not isinstance(item, dict | list)]
        refusal = next(filter(None, map(_refuse_scalar, scalars)), None)
        if refusal is not None:
            return refusal
        if not containers:
            return NESTED_TOO_LARGE if len(msgspec.json.encode(value)) > MAX_NESTED_BYTES else None
        level = [inner for container in containers for inner in _contents(container)]
    return TOO_DEEP


def _contents(container: dict[str, Any] | list[Any]) -> Iterator[Any]:
    yield from container
    if isinstance(container, dict):
        yield from container.values()
