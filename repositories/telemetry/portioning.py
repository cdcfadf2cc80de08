"""Where the values of readings go: a reading becomes a row for each retention class that its metrics are of."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.blocks import NUMBERS, parts_of
from iotsphere.telemetry.model import Counts, Reading
from iotsphere.telemetry.retention_rules import DEFAULT_NUMBER, IntakeTerms
from repositories.telemetry.rows import Row, to_row
from repositories.telemetry.sources import Source

Kind = tuple[DeviceId, tuple[str, ...]]
Key = tuple[int, datetime]


class Shape(NamedTuple):
    """Where the values of readings with the same metrics go; ``refused`` metrics too many have the place 0.

    Those of ``is_straight`` go side by side, in the order in which they come.
    """

    source: int
    places: tuple[int, ...]
    is_straight: bool
    refused: int


class Placed(NamedTuple):
    """A reading, or what is of one class in it, and where its values go."""

    shape: Shape
    reading: Reading

    @property
    def key(self) -> Key:
        return self.shape.source, self.reading.ts

    @property
    def values(self) -> dict[int, Any]:
        """Its values by place, without those of metrics too many."""
        values = dict(zip(self.shape.places, self.reading.values.values(), strict=True))
        values.pop(0, None)
        return values

    def to_row(self) -> Row | None:
        """Make the row of the reading; None if it has no value with a place."""
        shape, ts = self.shape, self.reading.ts
        numbers = list(self.reading.values.values())
        if shape.is_straight and NUMBERS.issuperset(map(type, numbers)):
            return Row(ts, shape.source, shape.places[0], numbers, None)
        placed = self.values
        return to_row(shape.source, ts, placed) if placed else None


@dataclass(frozen=True, slots=True)
class Portions:
    """What the readings became: ``owners`` tells of each portion the reading it is of, by its place.

    Where each reading is one portion, ``owners`` is None. ``expired`` counts the values that are in none of them.
    """

    placed: Sequence[Placed]
    owners: Sequence[int] | None
    expired: Mapping[int, int]

    def gather(self, outcomes: dict[int, Counts]) -> dict[int, Counts]:
        """Tell of the readings what was told of the portions that were not stored whole."""
        if self.owners is None:
            return outcomes
        gathered = {number: Counts(rejected=count, expired=count) for number, count in self.expired.items()}
        concerned = {self.owners[portion] for portion in outcomes} | gathered.keys()
        for portion, number in enumerate(self.owners):
            if number in concerned:
                whole = Counts(len(self.placed[portion].shape.places))
                gathered[number] = gathered.get(number, Counts()) + outcomes.get(portion, whole)
        return gathered


def is_plain(readings: Sequence[Reading], sources: Mapping[DeviceId, Source], terms: IntakeTerms | None) -> bool:
    """Tell whether each reading is stored whole, as of the default class."""
    if any(source.allotment.eras for source in sources.values()):
        return False
    return terms is None or all(terms.are_all_kept(part) for part in parts_of(readings))


def portion(readings: Sequence[Reading], sources: Mapping[DeviceId, Source], terms: IntakeTerms | None) -> Portions:
    if is_plain(readings, sources, terms):
        return Portions(_place_whole(readings, sources), None, {})
    return _Portioning(sources, terms).portion(readings)


def _place_whole(readings: Sequence[Reading], sources: Mapping[DeviceId, Source]) -> list[Placed]:
    kinds = [(reading.device_id, tuple(reading.values)) for reading in readings]
    shapes = shapes_of(kinds, sources)
    return [Placed(shapes[kind], reading) for kind, reading in zip(kinds, readings, strict=True)]


def shapes_of(kinds: Iterable[Kind], sources: Mapping[DeviceId, Source]) -> dict[Kind, Shape]:
    """Give the shapes of readings that are of the default class alone."""
    # Mostly they have the same metrics, which are then gone through once; also where they are of many devices.
    shapes: dict[Kind, Shape] = {}
    known: dict[tuple[int, tuple[str, ...]], Shape] = {}
    for kind in dict.fromkeys(kinds):
        source = sources[kind[0]]
        alike = known.get((id(source.places), kind[1]))
        if alike is None:
            alike = known[id(source.places), kind[1]] = _shape(source.id, source, kind[1])
        shapes[kind] = Shape(source.id, *alike[1:])
    return shapes


def _shape(number: int, source: Source, metrics: Sequence[str]) -> Shape:
    places = tuple(source.places.get(metric, 0) for metric in metrics)
    is_straight = places[0] > 0 and places == tuple(range(places[0], places[0] + len(places)))
    return Shape(number, places, is_straight, places.count(0))


class _Portioning:
    def __init__(self, sources: Mapping[DeviceId, Source], terms: IntakeTerms | None) -> None:
        self._sources = sources
        self._terms = terms
        # By device, metrics and classes.
        self._shapes: dict[tuple[DeviceId, tuple[str, ...], bytes], list[tuple[int, Shape, tuple[str, ...]]]] = {}

    def portion(self, readings: Sequence[Reading]) -> Portions:
        placed: list[Placed] = []
        owners: list[int] = []
        expired: dict[int, int] = defaultdict(int)
        for number, reading in enumerate(readings):
            for retention_class, shape, metrics in self._shapes_of(reading):
                if self._terms is not None and self._terms.is_expired(retention_class, reading.ts):
                    expired[number] += len(metrics)
                    continue
                values = {metric: reading.values[metric] for metric in metrics}
                placed.append(Placed(shape, Reading(reading.device_id, reading.ts, values)))
                owners.append(number)
        return Portions(placed, owners, expired)

    def _shapes_of(self, reading: Reading) -> list[tuple[int, Shape, tuple[str, ...]]]:
        source = self._sources[reading.device_id]
        classes = source.allotment.at(reading.ts)
        kind = reading.device_id, tuple(reading.values), classes
        if kind not in self._shapes:
            self._shapes[kind] = list(_parted(source, kind[1], classes))
        return self._shapes[kind]


def _parted(source: Source, metrics: Sequence[str], classes: bytes) -> Iterator[tuple[int, Shape, tuple[str, ...]]]:
    own: dict[int, list[str]] = defaultdict(list)
    for metric in metrics:
        # A metric too many has neither a place nor a class.
        place = source.places.get(metric, 0)
        own[classes[place - 1] if place and classes else DEFAULT_NUMBER].append(metric)
    for number, chosen in own.items():
        yield number, _shape(source.number_of(number), source, chosen), tuple(chosen)
