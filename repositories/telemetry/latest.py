"""The latest value of each of a device's metrics, without going back through the readings that came since.

Most are in the newest readings. An hour that has values of a metric has figures of it, or is stale (ADR 0027), or
both. So of what lies further back those hours alone are looked into; and of these again only such as may still have
readings, for figures outlive them.
"""

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.model import Point
from repositories.telemetry.reading import read
from repositories.telemetry.rows import as_sent, number_at, to_values
from repositories.telemetry.sources import Source

# As many of the newest readings as are soon read, even where each has thousands of values.
MOST_READINGS = 50
MOST_VALUES = 50_000
# To go back by hours costs each metric some look-ups. Of more than so many, which is of devices that have thousands,
# the readings themselves are gone through.
MOST_METRICS = 100

FIND_NEWEST = sa.text("""
SELECT ts, first, numbers, others FROM readings WHERE source = :source ORDER BY ts DESC LIMIT :amount
""").columns(others=JSONB)

# Each turn takes what has not been found further back, to the last time before the one of the last turn that may hold
# it: where there are readings at all, and where the metric has figures or hours are stale. All in one statement, and
# so as of one moment, for the worker takes marks away and adds figures meanwhile.
LATEST = """
WITH RECURSIVE stale AS MATERIALIZED (
    SELECT lower(span) AS start, upper(span) AS end
    FROM (
        SELECT unnest(range_agg(tstzrange(hour, hour + interval '1 hour'))) AS span
        FROM stale_hours WHERE source = :source
    ) AS spans
), looked AS (
    SELECT
        metric, place, CAST('infinity' AS timestamptz) AS start,
        CAST(NULL AS timestamptz) AS ts, CAST(NULL AS float8) AS number, CAST(NULL AS jsonb) AS other
    FROM unnest(CAST(:metrics AS text[]), CAST(:places AS integer[])) AS wanted (metric, place)
    UNION ALL
    SELECT looked.metric, looked.place, candidate.start, found.ts, found.number, found.other
    FROM looked
    CROSS JOIN LATERAL (
        SELECT readings.ts FROM readings WHERE source = :source AND readings.ts < looked.start
        ORDER BY readings.ts DESC LIMIT 1
    ) AS newest
    CROSS JOIN LATERAL (
        SELECT * FROM (
            (
                SELECT rollups_1h.start, rollups_1h.start + interval '1 hour' AS end FROM rollups_1h
                WHERE source = :source AND rollups_1h.place = looked.place AND rollups_1h.start <= newest.ts
                ORDER BY rollups_1h.start DESC LIMIT 1
            )
            UNION ALL
            SELECT stale.start, stale.end FROM stale WHERE stale.start <= newest.ts
        ) AS held
        ORDER BY held.end DESC, held.start LIMIT 1
    ) AS candidate
    LEFT JOIN LATERAL (
        SELECT * FROM (
            SELECT
                readings.ts, {number} AS number, others -> CAST(looked.place AS text) AS other
            FROM readings
            WHERE source = :source AND readings.ts >= candidate.start AND readings.ts < candidate.end
                AND readings.ts <= newest.ts
        ) AS valued
        WHERE valued.number IS NOT NULL OR valued.other IS NOT NULL
        ORDER BY valued.ts DESC LIMIT 1
    ) AS found ON true
    WHERE looked.ts IS NULL
)
SELECT metric, ts, number, other FROM looked WHERE ts IS NOT NULL
"""
FIND_BY_HOURS = sa.text(LATEST.format(number=number_at("looked.place"))).columns(other=JSONB)


AMONG_READINGS = """
SELECT wanted.metric, found.ts, found.number, found.other
FROM unnest(CAST(:metrics AS text[]), CAST(:places AS integer[])) AS wanted (metric, place)
CROSS JOIN LATERAL (
    SELECT * FROM (
        SELECT
            ts, {number} AS number, others -> CAST(wanted.place AS text) AS other
        FROM readings WHERE source = :source
    ) AS valued
    WHERE number IS NOT NULL OR other IS NOT NULL
    ORDER BY ts DESC LIMIT 1
) AS found
"""
FIND_AMONG_READINGS = sa.text(AMONG_READINGS.format(number=number_at("wanted.place"))).columns(other=JSONB)


async def find_latest(connection: AsyncConnection, device_id: DeviceId, source: Source) -> list[Point]:
    """Give the latest point of each metric that has one, by metric.

    :raises QueryTooCostlyError: too many hours with many readings wait for their figures, or too many readings lie
        behind hundreds of silent metrics.
    """
    latest: dict[str, Point] = {}
    for number, places in source.parts.items():
        found = await _find_newest(connection, device_id, number, places)
        lacking = {metric: place for metric, place in places.items() if metric not in found}
        if lacking:
            found |= await _find_behind(connection, device_id, number, lacking)
        for metric, point in found.items():
            # A metric that has moved has a latest value in each source that holds any of it.
            if metric not in latest or latest[metric].ts < point.ts:
                latest[metric] = point
    return [latest[metric] for metric in sorted(latest)]


async def _find_newest(
    connection: AsyncConnection, device_id: DeviceId, number: int, places: Mapping[str, int]
) -> dict[str, Point]:
    """Give those that are in the newest readings of a source."""
    lacking = {place: metric for metric, place in places.items()}
    found: dict[str, Point] = {}
    amount = min(MOST_READINGS, 1 + MOST_VALUES // max(1, len(places)))
    for ts, *columns in map(tuple, await read(connection, FIND_NEWEST, {"source": number, "amount": amount})):
        values = to_values(*columns)
        for place in values.keys() & lacking.keys():
            metric = lacking.pop(place)
            found[metric] = Point(device_id, metric, ts, values[place])
        if not lacking:
            break
    return found


async def _find_behind(
    connection: AsyncConnection, device_id: DeviceId, number: int, places: Mapping[str, int]
) -> dict[str, Point]:
    statement = FIND_BY_HOURS if len(places) <= MOST_METRICS else FIND_AMONG_READINGS
    parameters = {"source": number, "metrics": list(places), "places": list(places.values())}
    return {
        metric: Point(device_id, metric, ts, as_sent(other) if value is None else value)
        for metric, ts, value, other in map(tuple, await read(connection, statement, parameters))
    }
