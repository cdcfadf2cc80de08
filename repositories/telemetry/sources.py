"""Devices as the telemetry database knows them: a number, and the place of each metric (ADR 0026)."""

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.model import MAX_METRICS
from repositories.telemetry.reading import read

FIND = sa.text("SELECT id, metrics FROM sources WHERE device_id = :device_id")

# Whoever writes readings of a device has its line until they commit. So nobody else makes places for its metrics or
# changes its rows meanwhile, and two that want the same devices wait for each other one way alone.
LOCK = sa.text("""
SELECT device_id, id, metrics FROM sources WHERE device_id = ANY(CAST(:device_ids AS uuid[]))
ORDER BY device_id FOR NO KEY UPDATE
""")

EXTEND = sa.text("""
INSERT INTO sources (device_id, metrics)
SELECT device_id, metrics FROM unnest(CAST(:given AS sources[])) ORDER BY device_id
ON CONFLICT (device_id) DO UPDATE SET metrics = (sources.metrics || ARRAY(
    SELECT metric FROM unnest(excluded.metrics) WITH ORDINALITY AS added (metric, place)
    WHERE metric <> ALL(sources.metrics) ORDER BY place
))[1 : CAST(:most AS integer)]
RETURNING device_id, id, metrics
""")


class Source(NamedTuple):
    """``places`` are those of its metrics, counted from 1."""

    id: int
    places: Mapping[str, int]


async def find_source(connection: AsyncConnection, device_id: DeviceId) -> Source | None:
    rows = await read(connection, FIND, {"device_id": device_id})
    return to_source(rows[0].id, rows[0].metrics) if rows else None


async def take_source(connection: AsyncConnection, device_id: DeviceId) -> Source | None:
    """Give a device's places, without making any, and keep others from writing until the commit."""
    rows = (await connection.execute(LOCK, {"device_ids": [device_id]})).all()
    return to_source(rows[0].id, rows[0].metrics) if rows else None


async def take_sources(
    connection: AsyncConnection, metrics: Mapping[DeviceId, Collection[str]]
) -> dict[DeviceId, Source]:
    """Give the devices' places, made where there are none yet, and keep others from writing until the commit.

    A metric too many has no place.
    """
    rows = await connection.execute(LOCK, {"device_ids": sorted(metrics)})
    sources = {device_id: to_source(*row) for device_id, *row in rows}
    missing = {
        device_id: lacking
        for device_id, wanted in metrics.items()
        if (lacking := _lacking(sources.get(device_id), wanted))
    }
    if missing:
        given = [(device_id, None, lacking) for device_id, lacking in missing.items()]
        rows = await connection.execute(EXTEND, {"given": given, "most": MAX_METRICS})
        sources |= {device_id: to_source(*row) for device_id, *row in rows}
    return sources


def _lacking(source: Source | None, wanted: Collection[str]) -> list[str]:
    if source is None:
        return list(wanted)[:MAX_METRICS]
    if len(source.places) >= MAX_METRICS:
        return []
    return [metric for metric in wanted if metric not in source.places]


def to_source(number: int, metrics: Any) -> Source:
    return Source(number, _places(tuple(metrics)))


# Devices of a kind mostly have the same metrics, in the same order.
@lru_cache(maxsize=1024)
def _places(metrics: tuple[str, ...]) -> Mapping[str, int]:
    return {metric: place for place, metric in enumerate(metrics, start=1)}
