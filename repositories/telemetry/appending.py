"""How readings are written: all of a batch that are of one year in one statement, which tells what it left out.

What it left out was there before, or comes again within the batch. That is read, compared and completed in memory,
value by value, and written back over what was there: whoever writes holds the devices' lines (``sources``), so that
nobody writes in between.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.model import Counts, Reading, is_same_value
from iotsphere.telemetry.retention_rules import IntakeTerms
from repositories.telemetry.partitions import Spot, execute_with_room
from repositories.telemetry.portioning import Key, Kind, Placed, portion
from repositories.telemetry.rows import GIVEN_ROWS, Row, pack_rows, to_row, to_values
from repositories.telemetry.sources import CLASS_BITS, Source, take_sources
from repositories.telemetry.staleness import MARKED

# Looking a row up costs every chunk between the earliest and the latest of those that are looked up together, so
# they are looked up in the order of time and not too many at once.
READ_AT_ONCE = 500

# Where rows are compressed a thousand together, a row that is written over has the others unfolded; so many are done
# in the time that a statement has.
WRITTEN_AT_ONCE = 500

KEEP = """
WITH given AS MATERIALIZED (
{given}
), written AS (
    INSERT INTO readings SELECT * FROM given ON CONFLICT (source, ts) DO NOTHING RETURNING source, ts
), {marked}
SELECT source, ts FROM given EXCEPT SELECT source, ts FROM written
"""
KEEP_AND_MARK = sa.text(KEEP.format(given=GIVEN_ROWS, marked=MARKED))

OVERWRITE = """
WITH written AS (
    INSERT INTO readings {given}
    ON CONFLICT (source, ts) DO UPDATE
    SET first = excluded.first, numbers = excluded.numbers, others = excluded.others
    RETURNING source, ts
), {marked}
SELECT
"""
OVERWRITE_AND_MARK = sa.text(OVERWRITE.format(given=GIVEN_ROWS, marked=MARKED))

# The limit is without effect but for keeping the planner from reading whole chunks instead of looking rows up.
FIND = sa.text("""
SELECT given.source, given.ts, stored.first, stored.numbers, stored.others
FROM unnest(CAST(:sources AS integer[]), CAST(:times AS timestamptz[])) AS given (source, ts)
CROSS JOIN LATERAL (
    SELECT first, numbers, others FROM readings
    WHERE readings.source = given.source AND readings.ts = given.ts AND readings.ts BETWEEN :earliest AND :latest
    LIMIT 1
) AS stored
""").columns(others=JSONB)

IN_ORDER = itemgetter(0, 1)


@dataclass(slots=True)
class Held:
    """What the rows that are compared with hold, and which of them were changed since they were read."""

    values: dict[Key, dict[int, Any]] = field(default_factory=lambda: defaultdict(dict))
    changed: set[Key] = field(default_factory=set)

    def merge(self, placed: Placed, *, replace: bool) -> Counts:
        held = self.values[placed.key]
        stored = duplicates = conflicts = 0
        for place, value in placed.values.items():
            if place in held and is_same_value(held[place], value):
                duplicates += 1
            elif place in held and not replace:
                conflicts += 1
            else:
                held[place] = value
                stored += 1
        if stored:
            self.changed.add(placed.key)
        return Counts(stored, duplicates, conflicts, placed.shape.refused)


async def append_readings(
    connection: AsyncConnection, readings: Sequence[Reading], *, replace: bool, terms: IntakeTerms | None = None
) -> dict[int, Counts]:
    """Write the readings, and tell of those that were not stored whole, by their place.

    :raises RoomMissingError: nothing was written: make partitions and begin again.
    """
    kinds = dict.fromkeys((reading.device_id, tuple(reading.values)) for reading in readings)
    portions = portion(readings, await take_sources_of(connection, kinds, terms=terms), terms)
    return portions.gather(await _append(connection, portions.placed, replace=replace))


async def take_sources_of(
    connection: AsyncConnection, kinds: Iterable[Kind], *, terms: IntakeTerms | None
) -> dict[DeviceId, Source]:
    """Make places for metrics that have none, and keep others from writing readings of the devices."""
    wanted: dict[DeviceId, dict[str, None]] = defaultdict(dict)
    for device_id, metrics in kinds:
        wanted[device_id] |= dict.fromkeys(metrics)
    return await take_sources(connection, wanted, terms=terms)


async def _append(connection: AsyncConnection, placed: Sequence[Placed], *, replace: bool) -> dict[int, Counts]:
    keys = [(shape.source, reading.ts) for shape, reading in placed]
    firsts: dict[Key, int] = {}
    for number, key in enumerate(keys):
        firsts.setdefault(key, number)
    again = [number for number, key in enumerate(keys) if firsts[key] != number] if len(firsts) < len(keys) else []
    left_out = await _keep(connection, [row for number in firsts.values() if (row := placed[number].to_row())])
    unsettled = sorted([*again, *(firsts[key] for key in left_out)])
    outcomes = {
        number: Counts(len(shape.places) - shape.refused, rejected=shape.refused)
        for number, (shape, _) in enumerate(placed)
        if shape.refused
    }
    if not unsettled:
        return outcomes
    held = await _read(connection, {keys[number] for number in unsettled})
    outcomes |= {number: held.merge(placed[number], replace=replace) for number in unsettled}
    await overwrite(connection, (to_row(*key, held.values[key]) for key in held.changed))
    return outcomes


async def _keep(connection: AsyncConnection, rows: Sequence[Row]) -> list[Key]:
    """Write the rows of times that have none yet, and give the keys of the others."""
    left_out: list[Key] = []
    for chosen in _by_year(rows):
        written = await execute_with_room(connection, KEEP_AND_MARK, pack_rows(chosen), partial(_spots, rows))
        left_out += [(row.source, row.ts) for row in written]
    return left_out


def _spots(rows: Sequence[Row]) -> set[Spot]:
    return {(row.source >> CLASS_BITS, row.ts) for row in rows}


async def _read(connection: AsyncConnection, keys: Iterable[Key]) -> Held:
    held = Held()
    ordered = sorted(keys, key=_time)
    for begin in range(0, len(ordered), READ_AT_ONCE):
        chosen = ordered[begin : begin + READ_AT_ONCE]
        parameters = {
            "sources": [source for source, _ in chosen],
            "times": [ts for _, ts in chosen],
            "earliest": chosen[0][1],
            "latest": chosen[-1][1],
        }
        for source, ts, *columns in await connection.execute(FIND, parameters):
            held.values[source, ts] = to_values(*columns)
    return held


async def overwrite(connection: AsyncConnection, rows: Iterable[Row]) -> None:
    """Put the rows in the place of those of their times, which are there."""
    for chosen in _by_year(rows):
        for begin in range(0, len(chosen), WRITTEN_AT_ONCE):
            await connection.execute(OVERWRITE_AND_MARK, pack_rows(chosen[begin : begin + WRITTEN_AT_ONCE]))


def _by_year(rows: Iterable[Row]) -> Iterable[list[Row]]:
    """Part the rows: each chunk or partition that is begun takes its time, and with those of a year none too much."""
    for _, chosen in groupby(sorted(rows, key=IN_ORDER), _year):
        yield list(chosen)


def _year(row: Row) -> int:
    return row.ts.year


def _time(key: Key) -> datetime:
    return key[1]
