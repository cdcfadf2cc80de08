"""How points are removed: the readings of a stretch of time whole, or single values out of them."""

from collections import Counter
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.telemetry.model import Removal, Selection
from repositories.telemetry.appending import overwrite
from repositories.telemetry.forgetting import forget_figures
from repositories.telemetry.ranging import FORWARD
from repositories.telemetry.reading import read
from repositories.telemetry.rows import NUMBERS_COUNTED, Row, to_row, to_values
from repositories.telemetry.sources import take_source
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
    windows: list[dict[str, Any]] = [
        {"source": number, "start": selection.start, "end": selection.end, "limit": limit} for number in source.parts
    ]
    places = None if selection.metrics is None else source.places_of(selection.metrics)
    rests: list[datetime] = [row.ts for window in windows for row in await read(connection, REST, window)]
    end = min(rests, default=selection.end)
    asked = source.places.values() if places is None else places
    for window in windows:
        rests += filter(None, [await forget_figures(connection, window["source"], [*asked], window | {"end": end})])
    rest = min(rests, default=None)
    removed = [
        await _remove(connection, places, window | {"end": rest or selection.end, "amount": limit})
        for window in windows
    ]
    return Removal(sum(removed), rest)


async def _remove(connection: AsyncConnection, places: Collection[int] | None, window: dict[str, Any]) -> int:
    """Remove what lies in a window of a source, at some places alone or at all, and tell how much that was."""
    hours = (
        {row.hour: row.points for row in await read(connection, REMOVE, window)}
        if places is None
        else await _remove_values(connection, places, window)
    )
    if hours:
        await mark_hours(connection, window["source"], hours)
    return sum(hours.values())


async def _remove_values(
    connection: AsyncConnection, places: Collection[int], window: dict[str, Any]
) -> Mapping[datetime, int]:
    """Take the values at the places out of the readings of a window, and tell how many of each hour those were."""
    removed: Counter[datetime] = Counter()
    kept: list[Row] = []
    emptied: list[datetime] = []
    for ts, first, numbers, others in map(tuple, await read(connection, FORWARD, window | {"places": list(places)})):
        values = to_values(first, numbers, others)
        left = {place: value for place, value in values.items() if place not in places}
        removed[ts.replace(minute=0, second=0, microsecond=0)] += len(values) - len(left)
        if left:
            kept.append(to_row(window["source"], ts, left))
        else:
            emptied.append(ts)
    await overwrite(connection, kept)
    if emptied:
        await connection.execute(REMOVE_EMPTIED, window | {"times": emptied})
    return removed
