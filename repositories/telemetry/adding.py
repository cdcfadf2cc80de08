"""How readings are written that are all new, as most are: at one go, and without asking what becomes of each."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import partial

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.kernel.times import EPOCH, MICROSECOND
from iotsphere.telemetry.blocks import Block, parts_of
from iotsphere.telemetry.model import Counts, Reading
from iotsphere.telemetry.retention_rules import IntakeTerms
from repositories.telemetry.appending import take_sources_of
from repositories.telemetry.partitions import Spot, execute_with_room
from repositories.telemetry.portioning import Kind, Placed, Shape, is_plain, portion, shapes_of
from repositories.telemetry.rows import GIVEN_ROWS, Pack
from repositories.telemetry.sources import CLASS_BITS

HOUR = timedelta(hours=1)

# As MARKED does it, of hours that are known beforehand.
ADD_AND_MARK = sa.text(f"""
WITH marked AS (
    INSERT INTO stale_hours (source, hour)
    SELECT source, TIMESTAMPTZ '1970-01-01T00:00Z' + hour * INTERVAL '1 hour'
    FROM unnest(CAST(:stale_sources AS integer[]), CAST(:stale_hours AS integer[])) AS stale (source, hour)
    ORDER BY source, hour
    ON CONFLICT (source, hour) DO UPDATE SET revision = DEFAULT, is_put_off = false
)
INSERT INTO readings {GIVEN_ROWS} ON CONFLICT (source, ts) DO NOTHING
""")  # noqa: S608


async def append_new(
    connection: AsyncConnection, readings: Sequence[Reading], terms: IntakeTerms | None = None
) -> dict[int, Counts] | None:
    """Write the readings, and tell of those with metrics too many, by their place.

    None says that some are not new, or come twice, or lie so far apart that they cost too much at one go. Whatever
    was written by then must be undone.
    """
    kinds = dict.fromkeys(kind for part in parts_of(readings) for kind in _kinds(part))
    sources = await take_sources_of(connection, kinds, terms=terms)
    pack = Pack()
    if is_plain(readings, sources, terms):
        outcomes = _add_parts(pack, readings, shapes_of(kinds, sources))
    else:
        portions = portion(readings, sources, terms)
        outcomes = portions.gather(_add_placed(pack, portions.placed, 0))
    if not len(pack):
        return outcomes
    if sum(map(len, pack.times.values())) < len(pack) or not _is_of_one_year(pack):
        return None
    written = await execute_with_room(
        connection, ADD_AND_MARK, pack.parameters() | _stale(pack), partial(_spots, pack)
    )
    return outcomes if written.rowcount == len(pack) else None


def _kinds(part: Sequence[Reading]) -> Iterator[Kind]:
    if isinstance(part, Block):
        yield part.device_id, part.metrics
    else:
        for reading in part:
            yield reading.device_id, tuple(reading.values)


def _add_parts(pack: Pack, readings: Sequence[Reading], shapes: dict[Kind, Shape]) -> dict[int, Counts]:
    outcomes: dict[int, Counts] = {}
    begin = 0
    for part in parts_of(readings):
        outcomes |= _add(pack, part, shapes, begin)
        begin += len(part)
    return outcomes


def _add(pack: Pack, part: Sequence[Reading], shapes: dict[Kind, Shape], begin: int) -> dict[int, Counts]:
    if isinstance(part, Block):
        shape = shapes[part.device_id, part.metrics]
        if not shape.refused:
            pack.add_block(shape.source, shape.places, part)
            return {}
    placed = [Placed(shapes[reading.device_id, tuple(reading.values)], reading) for reading in part]
    return _add_placed(pack, placed, begin)


def _add_placed(pack: Pack, placed: Sequence[Placed], begin: int) -> dict[int, Counts]:
    rows = [row for each in placed if (row := each.to_row())]
    if rows:
        pack.add(rows)
    return {
        number: Counts(len(shape.places) - shape.refused, rejected=shape.refused)
        for number, (shape, _) in enumerate(placed, begin)
        if shape.refused
    }


def _is_of_one_year(pack: Pack) -> bool:
    earliest = min(map(min, pack.times.values()))
    latest = max(map(max, pack.times.values()))
    return (EPOCH + earliest * MICROSECOND).year == (EPOCH + latest * MICROSECOND).year


def _spots(pack: Pack) -> set[Spot]:
    return {
        (source >> CLASS_BITS, EPOCH + time * MICROSECOND) for source, times in pack.times.items() for time in times
    }


def _stale(pack: Pack) -> dict[str, list[int]]:
    length = HOUR // MICROSECOND
    stale = [(source, hour) for source, times in pack.times.items() for hour in {time // length for time in times}]
    return {"stale_sources": [source for source, _ in stale], "stale_hours": [hour for _, hour in stale]}
