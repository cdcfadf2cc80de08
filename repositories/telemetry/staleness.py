"""Hours whose figures are not those of their readings (ADR 0027): who writes readings marks them, in one transaction.

A mark has another revision each time. Who has worked an hour out takes its mark away only if nobody wrote meanwhile.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.telemetry.model import Selection
from iotsphere.telemetry.rollups import Span
from repositories.telemetry.reading import read
from repositories.telemetry.sources import Source, to_source

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

# Hours beside each other make one span.
FIND = sa.text("""
SELECT id, metrics, starts, ends
FROM sources
CROSS JOIN LATERAL (
    SELECT array_agg(lower(span) ORDER BY span) AS starts, array_agg(upper(span) ORDER BY span) AS ends
    FROM unnest((
        SELECT range_agg(tstzrange(hour, hour + interval '1 hour'))
        FROM stale_hours WHERE source = sources.id AND hour > :earliest AND hour < :end
    )) AS span
) AS spans
WHERE device_id = :device_id
""")
# Where there are more, whatever is between the first and the last is asked of the readings, which is exact as well.
MOST_SPANS = 64
HOUR = timedelta(hours=1)


async def find_stale_source(connection: AsyncConnection, selection: Selection) -> tuple[Source | None, list[Span]]:
    """Give a device's places, and which of its time has to be asked of its readings."""
    window = {"earliest": selection.start - HOUR, "end": selection.end}
    rows = await read(connection, FIND, window | {"device_id": selection.device_id})
    if not rows:
        return None, []
    number, metrics, starts, ends = tuple(rows[0])
    spans = list(map(Span, starts or [], ends or []))
    if len(spans) > MOST_SPANS:
        spans = [Span(spans[0].start, spans[-1].end)]
    return to_source(number, metrics), spans


async def mark_hours(connection: AsyncConnection, source: int, hours: Collection[datetime]) -> None:
    """Mark hours, by their starts, of which readings of the source were removed in this transaction."""
    await connection.execute(MARK, {"source": source, "hours": list(hours)})
