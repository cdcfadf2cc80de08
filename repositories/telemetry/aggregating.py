"""How points become figures, interval by interval, from the readings themselves."""

import math
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from iotsphere.telemetry.errors import FigureOverflowError
from iotsphere.telemetry.intervals import Grid
from iotsphere.telemetry.model import Aggregate, Bucket, Selection
from repositories.telemetry.grids import interval_parameters, interval_start
from repositories.telemetry.rows import number_at
from repositories.telemetry.sources import Source

# OFFSET keeps each number from being looked for anew in every figure, and in the condition, too.
AGGREGATE = """
SELECT metric, interval_start, {figures}
FROM (
    SELECT
        wanted.metric, ts, {interval_start} AS interval_start,
        {number} AS number, others -> CAST(wanted.place AS text) AS other
    FROM readings
    CROSS JOIN unnest(CAST(:metrics AS text[]), CAST(:places AS integer[])) AS wanted (metric, place)
    WHERE source = :source AND ts >= :start AND ts < :end
    OFFSET 0
) AS selected
WHERE number IS NOT NULL OR other IS NOT NULL
GROUP BY metric, interval_start
ORDER BY interval_start, metric COLLATE "C"
LIMIT :limit
"""

FIGURES = {
    # As avg() has it, which looks for deviations, too.
    Aggregate.AVG: "sum(number) / nullif(count(number), 0)",
    Aggregate.MIN: "min(number)",
    Aggregate.MAX: "max(number)",
    Aggregate.SUM: "sum(number)",
    # Of all points: whatever is no number is counted here alone.
    Aggregate.COUNT: "count(*)",
    Aggregate.FIRST: "(array_agg(number ORDER BY ts) FILTER (WHERE number IS NOT NULL))[1]",
    Aggregate.LAST: "(array_agg(number ORDER BY ts DESC) FILTER (WHERE number IS NOT NULL))[1]",
    Aggregate.STDDEV: "stddev_samp(number)",
    Aggregate.P50: "percentile_cont(0.5) WITHIN GROUP (ORDER BY number)",
    Aggregate.P95: "percentile_cont(0.95) WITHIN GROUP (ORDER BY number)",
    Aggregate.P99: "percentile_cont(0.99) WITHIN GROUP (ORDER BY number)",
}


def aggregate_query(
    source: Source, selection: Selection, grid: Grid, aggregates: Collection[Aggregate]
) -> tuple[sa.TextClause, dict[str, Any]]:
    """Give the statement and its parameters, but for the limit."""
    parameters: dict[str, Any] = {
        "source": source.id,
        "metrics": list(source.places),
        "places": list(source.places.values()),
        "start": selection.start,
        "end": selection.end,
    }
    statement = AGGREGATE.format(
        figures=", ".join(FIGURES[aggregate] for aggregate in aggregates),
        interval_start=interval_start(grid, "ts"),
        number=number_at("wanted.place"),
    )
    return sa.text(statement), parameters | interval_parameters(grid, selection)


def row_to_bucket(row: sa.Row[Any], aggregates: Collection[Aggregate]) -> Bucket:
    """:raises FigureOverflowError: PostgreSQL lets a percentile between two large numbers become infinite."""
    metric, start, *figures = tuple(row)
    if not all(math.isfinite(figure) for figure in figures if figure is not None):
        raise FigureOverflowError
    return Bucket(metric, start, dict(zip(aggregates, figures, strict=True)))
