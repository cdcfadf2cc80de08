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
FIND = sa.text("""
SELECT lower(span) AS start, upper(span) AS end
FROM unnest((
    SELECT range_agg(tstzrange(hour, hour + interval '1 hour'))
    FROM sources
    CROSS JOIN LATERAL unnest(parts) AS part (number)
    CROSS JOIN LATERAL (
        SELECT hour FROM stale_hours
        WHERE source = part.number << 24 | sources.id AND hour > :earliest AND hour < :end OFFSET 0
    ) AS own
    WHERE device_id = ANY(CAST(:device_ids AS uuid[]))
)) AS span
ORDER BY span
""")
# Where there are more, whatever is between the first and the last is asked of the readings, which is exact as well.
MOST_SPANS = 64
HOUR = timedelta(hours=1)


async def find_stale_spans(
    connection: AsyncConnection, device_ids: Sequence[DeviceId], start: datetime, end: datetime
) -> list[Span]:
    """Give the time in between of which readings have to be asked, for figures of some of the devices are stale."""
    window = {"earliest": start - HOUR, "end": end}
    rows = await read(connection, FIND, window | {"device_ids": device_ids})
    spans = [Span(row.start, row.end) for row in rows]
    return [Span(spans[0].start, spans[-1].end)] if len(spans) > MOST_SPANS else spans


async def mark_hours(connection: AsyncConnection, source: int, hours: Collection[datetime]) -> None:
    """Mark hours, by their starts, of which readings of the source were removed in this transaction."""
    await connection.execute(MARK, {"source": source, "hours": list(hours)})
