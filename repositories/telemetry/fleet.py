"""How points of many devices become figures: in one statement, over all points of a group at once."""

import math
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.telemetry.errors import FigureOverflowError
from iotsphere.telemetry.intervals import Grid
from iotsphere.telemetry.model import Aggregate, Bucket, FleetSelection
from repositories.telemetry.aggregating import FIGURES
from repositories.telemetry.grids import interval_parameters, interval_start
from repositories.telemetry.reading import read
from repositories.telemetry.rows import number_at

AGGREGATE = """
WITH chosen AS MATERIALIZED (
    SELECT
        asked.name, sources.id, sources.device_id,
        array_agg(own.metric) AS metrics, array_agg(CAST(own.place AS integer)) AS places
    FROM unnest(CAST(:device_ids AS uuid[]), CAST(:names AS text[])) AS asked (device_id, name)
    JOIN sources USING (device_id)
    CROSS JOIN LATERAL unnest(sources.metrics) WITH ORDINALITY AS own (metric, place)
    WHERE own.metric = ANY(CAST(:metrics AS text[]))
    GROUP BY asked.name, sources.id, sources.device_id
)
SELECT name, metric, interval_start, {figures}
FROM (
    SELECT
        chosen.name, chosen.device_id, wanted.metric, ts, {interval_start} AS interval_start,
        {number} AS number, others -> CAST(wanted.place AS text) AS other
    FROM chosen
    CROSS JOIN LATERAL (
        SELECT * FROM readings WHERE source = chosen.id AND ts >= :start AND ts < :end
    ) AS own
    CROSS JOIN LATERAL unnest(chosen.metrics, chosen.places) AS wanted (metric, place)
    OFFSET 0
) AS selected
WHERE number IS NOT NULL OR other IS NOT NULL
GROUP BY name, metric, interval_start
ORDER BY interval_start, metric COLLATE "C", name COLLATE "C"
LIMIT :limit
"""

# Two devices may have a point of the same time: then the first device comes first.
FLEET_FIGURES = FIGURES | {
    Aggregate.FIRST: "(array_agg(number ORDER BY ts, device_id) FILTER (WHERE number IS NOT NULL))[1]",
    Aggregate.LAST: "(array_agg(number ORDER BY ts DESC, device_id DESC) FILTER (WHERE number IS NOT NULL))[1]",
}


class SqlAlchemyFleetRepository:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def aggregate(
        self, selection: FleetSelection, grid: Grid, aggregates: Collection[Aggregate], *, limit: int
    ) -> list[tuple[str, Bucket]]:
        parameters: dict[str, Any] = {
            "device_ids": list(selection.groups),
            "names": list(selection.groups.values()),
            "metrics": list(selection.metrics),
            "start": selection.start,
            "end": selection.end,
            "limit": limit,
        }
        statement = AGGREGATE.format(
            figures=", ".join(FLEET_FIGURES[aggregate] for aggregate in aggregates),
            interval_start=interval_start(grid, "ts"),
            number=number_at("wanted.place"),
        )
        rows = await read(self._connection, sa.text(statement), parameters | interval_parameters(grid, selection))
        return [_row_to_bucket(row, aggregates) for row in rows]


def _row_to_bucket(row: sa.Row[Any], aggregates: Collection[Aggregate]) -> tuple[str, Bucket]:
    name, metric, start, *figures = tuple(row)
    if not all(math.isfinite(figure) for figure in figures if figure is not None):
        raise FigureOverflowError
    return name, Bucket(metric, start, dict(zip(aggregates, figures, strict=True)))
