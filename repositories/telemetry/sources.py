"""Devices as the telemetry database knows them: a number, and the place of each metric (ADR 0026).

The rows of a device are of several sources where its metrics are of several retention classes: a source is a class
and the device's number in one. A metric has the same place in all of them.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.model import MAX_METRICS
from iotsphere.telemetry.retention_rules import (
    DEFAULT_NUMBER,
    Allotment,
    Era,
    IntakeTerms,
    RetentionRule,
    RetentionRules,
)
from repositories.telemetry.reading import read

# The device's number takes so many of a source's bits; the class is above it.
CLASS_BITS = 24
# In statements: the source of a device's rows of one class, of its ``parts``.
PART_SOURCE = f"part.number << {CLASS_BITS} | sources.id"

FIND = sa.text("SELECT id, metrics, since, classes FROM sources WHERE device_id = :device_id")
# Whoever writes readings of a device has its line until they commit. So nobody else makes places for its metrics or
# changes its rows meanwhile, and two that want the same devices wait for each other one way alone.
LOCK = sa.text("""
SELECT
    device_id, id, metrics, device_type, rules, since, classes,
    (SELECT max(rules) FROM retention_classes) AS latest_rules
FROM sources WHERE device_id = ANY(CAST(:device_ids AS uuid[]))
ORDER BY device_id FOR NO KEY UPDATE
""")

# Lines alone, for a number that is not used is gone.
ADD = sa.text("""
INSERT INTO sources (device_id, metrics)
SELECT device_id, '{}' FROM unnest(CAST(:device_ids AS uuid[])) AS device_id ORDER BY device_id
ON CONFLICT (device_id) DO NOTHING
""")
EXTEND = sa.text("""
UPDATE sources SET
    metrics = sources.metrics || given.metrics, device_type = given.device_type, rules = given.rules,
    since = given.since, classes = given.classes, parts = given.parts
FROM unnest(CAST(:given AS sources[])) AS given
WHERE sources.device_id = given.device_id
""")

RULES = sa.text("""
SELECT number, device_type, metrics, rules, deleted_at IS NULL AS is_used
FROM retention_classes ORDER BY priority DESC, name COLLATE "C"
""")


NO_RULES = RetentionRules()
ALL_DEFAULT = Allotment()


class Source(NamedTuple):
    """``places`` are those of its metrics, counted from 1."""

    id: int
    places: Mapping[str, int]
    allotment: Allotment = ALL_DEFAULT

    def number_of(self, retention_class: int) -> int:
        """Give the source that holds the device's rows of a class."""
        return retention_class << CLASS_BITS | self.id

    def places_of(self, metrics: Iterable[str]) -> set[int]:
        return {self.places[metric] for metric in metrics if metric in self.places}

    @property
    def parts(self) -> dict[int, Mapping[str, int]]:
        """Give the sources that hold anything of its metrics, and the places of those that each holds or held."""
        if not self.allotment.eras:
            return {self.id: self.places}
        found: dict[int, dict[str, int]] = {}
        for metric, place in self.places.items():
            for number in {era.classes[place - 1] for era in self.allotment.eras}:
                found.setdefault(self.number_of(number), {})[metric] = place
        return dict(sorted(found.items()))


class Line(NamedTuple):
    """A line of ``sources`` that is held until the commit, and the revision of the rules as they are."""

    device_id: DeviceId
    id: int
    metrics: list[str]
    device_type: str | None
    rules: int
    since: list[datetime]
    classes: list[bytes]
    latest_rules: int


class Extension(NamedTuple):
    """A line that lacks metrics, or the device's type, or follows rules that are others by now."""

    line: Line
    source: Source
    lacking: list[str]
    device_type: str | None

    @property
    def is_needed(self) -> bool:
        return bool(self.lacking) or self.is_outdated

    @property
    def is_outdated(self) -> bool:
        """Tell whether classes may be others by now. While there has never been a rule, there is nothing to ask."""
        line = self.line
        return bool(line.latest_rules) and (line.rules < line.latest_rules or line.device_type != self.device_type)

    def settled(self, rules: RetentionRules, terms: IntakeTerms | None) -> tuple[tuple[Any, ...], Source]:
        """Give the values of the line as it then is, but with the metrics that it lacks alone; and its source."""
        line, allotment, revision = self.line, self.source.allotment, self.line.rules
        if terms is not None and self.is_outdated:
            allotment = allotment.moved(rules.classes_of(self.device_type, line.metrics), now=terms.now)
            revision = rules.revision
        allotment = allotment.extended(len(line.metrics), rules.classes_of(self.device_type, self.lacking))
        since, classes = [era.since for era in allotment.eras], [era.classes for era in allotment.eras]
        parts = sorted(allotment.numbers)
        row = (line.device_id, None, self.lacking, self.device_type, revision, since, classes, parts)
        return row, Source(line.id, _places((*line.metrics, *self.lacking)), allotment)


async def find_source(connection: AsyncConnection, device_id: DeviceId) -> Source | None:
    rows = await read(connection, FIND, {"device_id": device_id})
    return to_source(*tuple(rows[0])) if rows else None


async def take_source(connection: AsyncConnection, device_id: DeviceId) -> Source | None:
    """Give a device's places, without making any, and keep others from writing until the commit."""
    lines = await _lock(connection, [device_id])
    return _source_of(lines[device_id]) if lines else None


async def take_sources(
    connection: AsyncConnection, metrics: Mapping[DeviceId, Collection[str]], *, terms: IntakeTerms | None = None
) -> dict[DeviceId, Source]:
    """Give the devices' places, made where there are none yet, and keep others from writing until the commit.

    A metric too many has no place. Where the rules of retention have changed, the metrics' classes follow them; not
    so without ``terms``.
    """
    lines = await _lock(connection, metrics)
    if new := metrics.keys() - lines.keys():
        await connection.execute(ADD, {"device_ids": sorted(new)})
        lines |= await _lock(connection, new)
    sources = {device_id: _source_of(line) for device_id, line in lines.items()}
    types = terms.device_types if terms else {}
    extensions = [
        extension
        for device_id, line in lines.items()
        if (extension := _extension(line, sources[device_id], metrics[device_id], types.get(device_id))).is_needed
    ]
    if extensions:
        rules = await _read_rules(connection) if any(each.line.latest_rules for each in extensions) else NO_RULES
        settled = [each.settled(rules, terms) for each in extensions]
        await connection.execute(EXTEND, {"given": [row for row, _ in settled]})
        sources |= {row[0]: source for row, source in settled}
    return sources


async def _lock(connection: AsyncConnection, device_ids: Iterable[DeviceId]) -> dict[DeviceId, Line]:
    rows = await connection.execute(LOCK, {"device_ids": sorted(device_ids)})
    return {line.device_id: line for line in map(Line._make, rows)}


async def _read_rules(connection: AsyncConnection) -> RetentionRules:
    rows = (await connection.execute(RULES)).all()
    used = (row for row in rows if row.number != DEFAULT_NUMBER and row.is_used)
    return RetentionRules(
        max(row.rules for row in rows), tuple(RetentionRule(row.number, row.device_type, row.metrics) for row in used)
    )


def _extension(line: Line, source: Source, wanted: Collection[str], device_type: str | None) -> Extension:
    places = source.places
    room = MAX_METRICS - len(places)
    lacking = [metric for metric in wanted if metric not in places][:room] if room > 0 else []
    return Extension(line, source, lacking, line.device_type or device_type)


def _source_of(line: Line) -> Source:
    return to_source(line.id, line.metrics, line.since, line.classes)


def to_source(number: int, metrics: Any, since: Sequence[datetime], classes: Sequence[bytes]) -> Source:
    eras = Allotment(tuple(map(Era, since, classes))) if since else ALL_DEFAULT
    return Source(number, _places(tuple(metrics)), eras)


# Devices of a kind mostly have the same metrics, in the same order.
@lru_cache(maxsize=1024)
def _places(metrics: tuple[str, ...]) -> Mapping[str, int]:
    return {metric: place for place, metric in enumerate(metrics, start=1)}
