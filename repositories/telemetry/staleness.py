"""Hours whose figures are not those of their readings (ADR 0027): who writes readings marks them, in one transaction.

A mark has another revision each time. Who has worked an hour out takes its mark away only if nobody wrote meanwhile.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.rollups import Span
from repositories.telemetry.reading import read
from repositories.telemetry.sources import PART_SOURCE

# For a statement that writes readings, and gives (source, ts) of those as ``written``.
MARKED = """marked AS (
    INSERT INTO stale_hours (source, hour)
    SELECT DISTINCT source, date_bin('1 hour', ts, '1970-01-01T00:00Z') AS hour FROM written ORDER BY source, hour
    ON CONFLICT (source, hour) DO UPDATE SET revision = DEFAULT, is_put_off = false
)"""

MARK = sa.text("""
INSERT INTO stale_hours (source, hour)
SELECT CAST(:source AS integer), hour FROM unnest(CAST(:hours AS timestamptz[])) AS hour ORDER BY hour
ON CONFLICT (source, hour) DO UPDATE SET revision = DEFAULT, is_put_off = false
""")

# Hours beside each other make one span, whichever devices they are of.
FIND = sa.text(f"""
SELECT number, starts, ends
FROM (
    SELECT part.number, range_agg(tstzrange(hour, hour + interval '1 hour')) FILTER (WHERE hour IS NOT NULL) AS stale
    FROM sources
    CROSS JOIN LATERAL unnest(parts) AS part (number)
    LEFT JOIN LATERAL (
        SELECT hour FROM stale_hours
        WHERE source = {PART_SOURCE} AND hour > :earliest AND hour < :end OFFSET 0
    ) AS own ON true
    WHERE device_id = ANY(CAST(:device_ids AS uuid[]))
    GROUP BY part.number
) AS of_class
CROSS JOIN LATERAL (
    SELECT array_agg(lower(span) ORDER BY span) AS starts, array_agg(upper(span) ORDER BY span) AS ends
    FROM unnest(stale) AS span
) AS spans
ORDER BY number
""")  # noqa: S608  # of constants
# Where there are more, whatever is between the first and the last is asked of the readings, which is exact as well.
MOST_SPANS = 64
HOUR = timedelta(hours=1)


async def find_stale_spans(
    connection: AsyncConnection, device_ids: Sequence[DeviceId], start: datetime, end: datetime
) -> dict[int, list[Span]]:
    """Give for each class that holds something of the devices when its readings have to be asked.

    There figures of some of the devices are stale. Of another class, readings of that time may have been dropped.
    """
    window = {"earliest": start - HOUR, "end": end}
    rows = await read(connection, FIND, window | {"device_ids": device_ids})
    return {row.number: _spans(row.starts or [], row.ends or [], most=MOST_SPANS // len(rows)) for row in rows}


def _spans(starts: Sequence[datetime], ends: Sequence[datetime], *, most: int) -> list[Span]:
    return [Span(starts[0], ends[-1])] if len(starts) > most else list(map(Span, starts, ends))


async def mark_hours(connection: AsyncConnection, source: int, hours: Collection[datetime]) -> None:
    """Mark hours, by their starts, of which readings of the source were removed in this transaction."""
    await connection.execute(MARK, {"source": source, "hours": list(hours)})
