"""Readings in columns: what devices mostly send, numbers of the same metrics time after time, costs little then."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, overload

import msgspec

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.kernel.times import EPOCH, MICROSECOND
from iotsphere.telemetry.model import Reading

NUMBERS = frozenset({int, float})
# What a number costs while it waits and is written, in bytes of a text or an object.
BYTES_OF_NUMBER = 512


class Block(Sequence[Reading]):
    """Readings of one device, each with a number for each of ``metrics``.

    :param times: in microseconds since 1970.
    :param rows: the numbers of each time, in the order of the metrics.
    """

    __slots__ = ("device_id", "metrics", "rows", "times")

    def __init__(
        self, device_id: DeviceId, metrics: tuple[str, ...], times: Sequence[int], rows: Sequence[Sequence[float]]
    ) -> None:
        self.device_id = device_id
        self.metrics = metrics
        self.times = times
        self.rows = rows

    def __len__(self) -> int:
        return len(self.times)

    @overload
    def __getitem__(self, place: int) -> Reading: ...
    @overload
    def __getitem__(self, place: slice) -> list[Reading]: ...
    def __getitem__(self, place: int | slice) -> Reading | list[Reading]:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        values = dict(zip(self.metrics, self.rows[place], strict=True))
        return Reading(self.device_id, EPOCH + self.times[place] * MICROSECOND, values)

    def newest(self, *, is_last: bool) -> Reading:
        """Give the reading of the latest time, of several the last one or the first."""
        latest = max(self.times)
        times = self.times[::-1] if is_last else self.times
        place = times.index(latest)
        return self[len(self) - 1 - place if is_last else place]


class Joined(Sequence[Reading]):
    """Sequences of readings one behind the other, as one."""

    __slots__ = ("parts",)

    def __init__(self, parts: Sequence[Sequence[Reading]]) -> None:
        self.parts = parts

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __iter__(self) -> Iterator[Reading]:
        for part in self.parts:
            yield from part

    @overload
    def __getitem__(self, place: int) -> Reading: ...
    @overload
    def __getitem__(self, place: slice) -> list[Reading]: ...
    def __getitem__(self, place: int | slice) -> Reading | list[Reading]:
        if isinstance(place, slice):
            return [*self][place]
        left = place if place >= 0 else place + len(self)
        for part in self.parts:
            if 0 <= left < len(part):
                return part[left]
            left -= len(part)
        raise IndexError(place)


def parts_of(readings: Sequence[Reading]) -> Sequence[Sequence[Reading]]:
    """Give the blocks that the readings are of, and whatever is between them."""
    return readings.parts if isinstance(readings, Joined) else [readings]


def devices_of(readings: Sequence[Reading]) -> set[DeviceId]:
    devices: set[DeviceId] = set()
    for part in parts_of(readings):
        devices |= {part.device_id} if isinstance(part, Block) else {reading.device_id for reading in part}
    return devices


def count_values(readings: Sequence[Reading]) -> int:
    if isinstance(readings, Block):
        return len(readings) * len(readings.metrics)
    return sum([len(reading.values) for reading in readings])


def weigh(readings: Sequence[Reading]) -> int:
    """Tell how much the readings hold: as much as so many numbers, where half a KiB of anything else is one more."""
    if isinstance(readings, Block):
        return count_values(readings)
    return sum([_weigh_values(reading.values.values()) for reading in readings])


def _weigh_values(values: Collection[Any]) -> int:
    if NUMBERS.issuperset(map(type, values)):
        return len(values)
    return len(values) + sum([len(msgspec.json.encode(value)) for value in values]) // BYTES_OF_NUMBER


def earliest_of(readings: Sequence[Reading], default: datetime) -> datetime:
    if isinstance(readings, Block):
        return EPOCH + min(readings.times) * MICROSECOND
    return min((reading.ts for reading in readings), default=default)


def latest_of(readings: Sequence[Reading]) -> datetime:
    if isinstance(readings, Block):
        return EPOCH + max(readings.times) * MICROSECOND
    return max(reading.ts for reading in readings)


def candidates(readings: Sequence[Reading], devices: Iterable[DeviceId], *, replaces: bool) -> Iterator[Reading]:
    """Give those readings of the devices that may have a latest value."""
    chosen = frozenset(devices)
    for part in parts_of(readings):
        if not isinstance(part, Block):
            yield from (reading for reading in part if reading.device_id in chosen)
        elif part.device_id in chosen:
            yield part.newest(is_last=replaces)
