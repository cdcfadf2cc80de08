"""Hours whose figures are not those of their readings (ADR 0027): who writes readings marks them, in one transaction.

A mark has another revision each time. Who has worked an hour out takes its mark away only if nobody wrote meanwhile.
"""

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

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


async def mark_hours(connection: AsyncConnection, source: int, hours: Collection[datetime]) -> None:
    """Mark hours, by their starts, of which readings of the source were removed in this transaction."""
    await connection.execute(MARK, {"source": source, "hours": list(hours)})
