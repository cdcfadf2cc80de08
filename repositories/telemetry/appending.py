"""How points are written: all of a batch that are of one year in one statement, which tells what it did with each.

``ON CONFLICT`` waits for whoever is writing the same point, so that exactly one request stores it. The others then
compare with what is there in a statement of its own, whose snapshot shows the winner's row.
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.telemetry.model import Outcome, Point, is_same_value

# Probing a point costs every chunk between the earliest and the latest of the points that are compared together, so
# they are compared in the order of time and not too many at once.
COMPARED_AT_ONCE = 500

GIVEN = """
WITH given AS (
    SELECT * FROM unnest(
        CAST(:device_ids AS uuid[]), CAST(:metrics AS text[]), CAST(:times AS timestamptz[]),
        CAST(:numbers AS float8[]), CAST(:others AS jsonb[])
    ) WITH ORDINALITY AS given (device_id, metric, ts, number, other, position)
)
"""

WRITE = """
{given}, written AS (
    INSERT INTO points (device_id, metric, ts, number, other)
    SELECT device_id, metric, ts, number, other FROM given
    ON CONFLICT (device_id, metric, ts) {on_conflict}
    RETURNING device_id, metric, ts
)
SELECT position - 1 FROM given LEFT JOIN written USING (device_id, metric, ts) WHERE written.ts IS NULL
"""
DO_UPDATE = """
    DO UPDATE SET number = excluded.number, other = excluded.other
    WHERE (points.number, points.other) IS DISTINCT FROM (excluded.number, excluded.other)
"""
KEEP = sa.text(WRITE.format(given=GIVEN, on_conflict="DO NOTHING"))
REPLACE = sa.text(WRITE.format(given=GIVEN, on_conflict=DO_UPDATE))

# The limit is without effect but for keeping the planner from reading whole chunks instead of looking points up.
COMPARE_EACH = """
{given}
SELECT position - 1, COALESCE(stored.is_same, false)
FROM given LEFT JOIN LATERAL (
    SELECT (points.number, points.other) IS NOT DISTINCT FROM (given.number, given.other) AS is_same
    FROM points
    WHERE points.device_id = given.device_id AND points.metric = given.metric AND points.ts = given.ts
        AND points.ts BETWEEN :earliest AND :latest
    LIMIT 1
) AS stored ON true
"""
COMPARE = sa.text(COMPARE_EACH.format(given=GIVEN))

Key = tuple[int, str, datetime]


async def keep_stored(connection: AsyncConnection, points: Sequence[Point]) -> list[Outcome]:
    """Write the points that are not there yet."""
    firsts, repeats = _by_occurrence(points)
    outcomes = [Outcome.STORED] * len(points)
    unsettled = await _write(connection, KEEP, points, firsts) + repeats
    unsettled.sort(key=lambda place: points[place].ts)
    for begin in range(0, len(unsettled), COMPARED_AT_ONCE):
        places = unsettled[begin : begin + COMPARED_AT_ONCE]
        times = {"earliest": points[places[0]].ts, "latest": points[places[-1]].ts}
        rows = await connection.execute(COMPARE, _columns(points, places) | times)
        for position, is_same in rows:
            outcomes[places[position]] = Outcome.DUPLICATE if is_same else Outcome.CONFLICT
    return outcomes


async def replace_stored(connection: AsyncConnection, points: Sequence[Point]) -> list[Outcome]:
    """Write every point over what is there; of several values for a point within the batch the last remains."""
    firsts, repeats = _by_occurrence(points)
    outcomes = [Outcome.STORED] * len(points)
    for place in await _write(connection, REPLACE, points, firsts):
        outcomes[place] = Outcome.DUPLICATE
    current = {_key(points[place]): place for place in firsts}
    for place in repeats:
        key = _key(points[place])
        if is_same_value(points[current[key]].value, points[place].value):
            outcomes[place] = Outcome.DUPLICATE
        else:
            current[key] = place
    await _write(connection, REPLACE, points, sorted(set(current.values()) - set(firsts)))
    return outcomes


def _key(point: Point) -> Key:
    return point.device_id.int, point.metric, point.ts


def _by_occurrence(points: Sequence[Point]) -> tuple[list[int], list[int]]:
    """Part the places of points that come first in the batch, by key, from those of points that come again.

    Within a year the order of keys is the order of locks, and years come in their order: two requests with the same
    points wait for each other one way alone.
    """
    firsts: dict[Key, int] = {}
    repeats = [place for place, point in enumerate(points) if firsts.setdefault(_key(point), place) != place]
    return [firsts[key] for key in sorted(firsts)], repeats


async def _write(
    connection: AsyncConnection, statement: sa.TextClause, points: Sequence[Point], places: Sequence[int]
) -> list[int]:
    """Hand the points at these places to the statement, and give the places that it left unwritten.

    Each chunk or partition that is begun takes its time. With those of one year no statement takes too long.
    """

    def year(place: int) -> int:
        return points[place].ts.year

    unwritten: list[int] = []
    # Sorting by the year alone keeps the order within it.
    for _, group in groupby(sorted(places, key=year), year):
        chosen = list(group)
        positions = await connection.scalars(statement, _columns(points, chosen))
        unwritten += [chosen[position] for position in positions]
    return unwritten


def _columns(points: Sequence[Point], places: Sequence[int]) -> dict[str, list[Any]]:
    chosen = [points[place] for place in places]
    are_numbers = [type(point.value) in {int, float} for point in chosen]
    return {
        "device_ids": [point.device_id for point in chosen],
        "metrics": [point.metric for point in chosen],
        "times": [point.ts for point in chosen],
        "numbers": [point.value if is_one else None for point, is_one in zip(chosen, are_numbers, strict=True)],
        "others": [
            None if is_one else msgspec.json.encode(point.value).decode()
            for point, is_one in zip(chosen, are_numbers, strict=True)
        ],
    }
