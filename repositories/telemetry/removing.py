"""How points are removed: the readings of a stretch of time whole, or single values out of them."""

from collections import Counter
from collections.abc import Collection, Mapping
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.telemetry.model import Removal, Selection
from repositories.telemetry.appending import overwrite
from repositories.telemetry.ranging import FORWARD
from repositories.telemetry.reading import read
from repositories.telemetry.rows import NUMBERS_COUNTED, Row, to_row, to_values
from repositories.telemetry.sources import Source, take_source
from repositories.telemetry.staleness import mark_hours

REST = sa.text("""
SELECT ts FROM readings WHERE source = :source AND ts >= :start AND ts < :end ORDER BY ts OFFSET :limit LIMIT 1
""")

REMOVE = sa.text(f"""
WITH removed AS (
    DELETE FROM readings WHERE source = :source AND ts >= :start AND ts < :end RETURNING ts, first, numbers, others
)
SELECT date_trunc('hour', ts, 'UTC') AS hour, CAST(sum(
    {NUMBERS_COUNTED} + (SELECT count(*) FROM jsonb_object_keys(coalesce(others, '{{}}')))
) AS bigint) AS points
FROM removed GROUP BY hour
""")  # noqa: S608  # of constants

REMOVE_EMPTIED = sa.text("""
DELETE FROM readings WHERE source = :source AND ts >= :start AND ts < :end AND ts = ANY(CAST(:times AS timestamptz[]))
""")


async def remove_points(connection: AsyncConnection, selection: Selection, *, limit: int) -> Removal:
    """Remove the points of the selection that lie in the first ``limit`` of the device's readings in its range."""
    source = await take_source(connection, selection.device_id)
    if source is None:
        return Removal(0, None)
    window = {"source": source.id, "start": selection.start, "end": selection.end}
    found = await read(connection, REST, window | {"limit": limit})
    rest: datetime | None = found[0].ts if found else None
    window["end"] = rest or selection.end
    hours = (
        {row.hour: row.points for row in await read(connection, REMOVE, window)}
        if selection.metrics is None
        else await _remove_values(connection, source, selection.metrics, window | {"amount": limit})
    )
    if hours:
        await mark_hours(connection, source.id, hours)
    return Removal(sum(hours.values()), rest)


async def _remove_values(
    connection: AsyncConnection, source: Source, metrics: Collection[str], window: dict[str, object]
) -> Mapping[datetime, int]:
    """Take the metrics' values out of the readings of a window, and tell how many of each hour those were."""
    places = {source.places[metric] for metric in metrics if metric in source.places}
    removed: Counter[datetime] = Counter()
    kept: list[Row] = []
    emptied: list[datetime] = []
    for ts, first, numbers, others in map(tuple, await read(connection, FORWARD, window | {"places": list(places)})):
        values = to_values(first, numbers, others)
        left = {place: value for place, value in values.items() if place not in places}
        removed[ts.replace(minute=0, second=0, microsecond=0)] += len(values) - len(left)
        if left:
            kept.append(to_row(source.id, ts, left))
        else:
            emptied.append(ts)
    await overwrite(connection, kept)
    if emptied:
        await connection.execute(REMOVE_EMPTIED, window | {"times": emptied})
    return removed
