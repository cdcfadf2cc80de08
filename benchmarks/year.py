"""A year of readings of a device, put into the store itself: ten metrics every five minutes, every ten seconds on the
last day.
"""

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

DAY = timedelta(days=1)
YEAR = 365 * DAY
METRICS = [f"m{number}" for number in range(10)]
POINTS_OF_A_DEVICE = 10 * (364 * 288 + 8640)

READINGS = sa.text("""
INSERT INTO readings (ts, source, first, numbers)
SELECT ts, :source, 1, ARRAY(
    SELECT 20 + 5 * sin(date_part('epoch', ts) / 3000 + place) FROM generate_series(1, 10) AS place
)
FROM generate_series(
    CAST(:start AS timestamptz), CAST(:end AS timestamptz) - CAST(:step AS interval), CAST(:step AS interval)
) AS ts
""")
STALE = sa.text("""
INSERT INTO stale_hours (source, hour)
SELECT DISTINCT source, date_bin('1 hour', ts, '1970-01-01T00:00Z') FROM readings WHERE source = :source
ON CONFLICT (source, hour) DO NOTHING
""")


async def add_year(connection: AsyncConnection, source: int, *, end: datetime) -> None:
    """Add it to a device whose metrics have their places, with all of its hours still to be worked out."""
    await connection.execute(sa.text("SET LOCAL statement_timeout = '10min'"))
    for start, until, step in ((end - YEAR, end - DAY, 300), (end - DAY, end, 10)):
        window = {"source": source, "start": start, "end": until, "step": timedelta(seconds=step)}
        await connection.execute(READINGS, window)
    await connection.execute(STALE, {"source": source})
