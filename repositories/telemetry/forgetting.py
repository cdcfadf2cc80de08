"""How figures are removed whose readings were dropped already, and so cannot be worked out anew without some of them.

What is removed of an hour in part is removed of it whole. Days are worked out anew from the hours that are left.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from repositories.telemetry.reading import read
from repositories.telemetry.rollups import DAY_FIGURES, LOCK_SPACE
from repositories.telemetry.sources import CLASS_BITS
from repositories.telemetry.staleness import mark_hours

# As those who roll up have it: a day must not be worked out by two at once.
TAKE_TURNS = sa.text("SELECT pg_advisory_xact_lock(:lock_space, :source)")
GONE = sa.text("""
SELECT least(CAST(:end AS timestamptz), dropped_before) AS until FROM retention_classes WHERE number = :class
""")
OF_THE_PLACES = "source = :source AND place = ANY(CAST(:places AS integer[]))"
OVERLAPPING = OF_THE_PLACES + " AND {column} > CAST(:start AS timestamptz) - INTERVAL '{length}' AND {column} < :end"
HOURS = OVERLAPPING.format(column="start", length="1 hour")
DAYS = OVERLAPPING.format(column="start", length="1 day")

REST = sa.text(f"""
SELECT start FROM (
    SELECT start FROM rollups_1h WHERE {HOURS} UNION ALL SELECT start FROM rollups_1d WHERE {DAYS}
) AS figures
WHERE start > :start ORDER BY start OFFSET :limit LIMIT 1
""")  # noqa: S608  # of constants
FORGET = [
    sa.text(f"DELETE FROM {table} WHERE {condition}")  # noqa: S608
    for table, condition in (
        ("rollups_1m", OVERLAPPING.format(column="hour", length="1 hour")),
        ("rollups_1h", HOURS),
        ("rollups_1d", DAYS),
    )
]
# Only the first and the last day can have hours left.
WORK_OUT_DAYS = sa.text(f"""
INSERT INTO rollups_1d (
    start, source, place, count, numbers, total, low, high, squares, first, first_at, last, last_at
)
SELECT date_trunc('day', start, 'UTC') AS day, source, place, {DAY_FIGURES}
FROM rollups_1h
WHERE {OF_THE_PLACES} AND start >= date_trunc('day', CAST(:start AS timestamptz), 'UTC')
    AND start < date_trunc('day', CAST(:end AS timestamptz) - INTERVAL '1 microsecond', 'UTC') + INTERVAL '1 day'
GROUP BY day, source, place
ORDER BY source, place, day
""")  # noqa: S608
# Those that were restored are there.
HOURS_WITH_READINGS = sa.text("""
SELECT DISTINCT hour
FROM (VALUES
    (date_bin('1 hour', CAST(:start AS timestamptz), '1970-01-01T00:00Z')),
    (date_bin('1 hour', CAST(:end AS timestamptz) - INTERVAL '1 microsecond', '1970-01-01T00:00Z'))
) AS cut (hour)
WHERE EXISTS (SELECT FROM readings WHERE source = :source AND ts >= hour AND ts < hour + INTERVAL '1 hour')
""")


async def forget_figures(
    connection: AsyncConnection, source: int, places: Sequence[int], window: dict[str, Any]
) -> datetime | None:
    """Remove figures at the places of a source; give from when on there are more, where there are too many."""
    [gone] = await read(connection, GONE, {"end": window["end"], "class": source >> CLASS_BITS})
    if window["start"] >= gone.until:
        return None
    await connection.execute(TAKE_TURNS, {"lock_space": LOCK_SPACE, "source": source})
    given = {"source": source, "places": list(places), "start": window["start"], "end": gone.until}
    found = await read(connection, REST, given | {"limit": window["limit"]})
    rest: datetime | None = found[0].start if found else None
    given["end"] = rest or gone.until
    for statement in (*FORGET, WORK_OUT_DAYS):
        await connection.execute(statement, given)
    bounds = {name: given[name] for name in ("source", "start", "end")}
    if restored := await read(connection, HOURS_WITH_READINGS, bounds):
        await mark_hours(connection, source, [row.hour for row in restored])
    return rest
