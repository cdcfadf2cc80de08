"""How points become figures, interval by interval, from the readings themselves."""

import math
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from iotsphere.telemetry.errors import FigureOverflowError
from iotsphere.telemetry.intervals import Grid
from iotsphere.telemetry.model import Aggregate, Bucket, FleetSelection
from repositories.telemetry.grids import interval_parameters, interval_start
from repositories.telemetry.groups import CHOSEN, chosen_parameters
from repositories.telemetry.rows import number_at

# Each value once, with the device and the interval it is of. OFFSET keeps each number from being looked for anew in
# every figure, and in the condition, too.
VALUES = """
SELECT
    name, rank, wanted.metric, ts, {interval_start} AS interval_start,
    {number} AS number, others -> CAST(wanted.place AS text) AS other
FROM {chosen}
CROSS JOIN LATERAL (
    SELECT ts, first, numbers, others FROM readings
    WHERE source = chosen.source AND ts >= {start} AND ts < {end} OFFSET 0
) AS own
CROSS JOIN LATERAL unnest(metrics, places) AS wanted (metric, place)
OFFSET 0
"""

AGGREGATE = """
WITH {chosen}
SELECT name, metric, interval_start, {figures}
FROM ({values}) AS selected
WHERE number IS NOT NULL OR other IS NOT NULL
GROUP BY name, metric, interval_start
ORDER BY interval_start, metric COLLATE "C", name COLLATE "C"
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
    # Two devices may have a point of the same time: then the first device comes first.
    Aggregate.FIRST: "(array_agg(number ORDER BY ts, rank) FILTER (WHERE number IS NOT NULL))[1]",
    Aggregate.LAST: "(array_agg(number ORDER BY ts DESC, rank DESC) FILTER (WHERE number IS NOT NULL))[1]",
    Aggregate.STDDEV: "stddev_samp(number)",
    Aggregate.P50: "percentile_cont(0.5) WITHIN GROUP (ORDER BY number)",
    Aggregate.P95: "percentile_cont(0.95) WITHIN GROUP (ORDER BY number)",
    Aggregate.P99: "percentile_cont(0.99) WITHIN GROUP (ORDER BY number)",
}


def aggregate_query(
    selection: FleetSelection, grid: Grid, aggregates: Collection[Aggregate]
) -> tuple[sa.TextClause, dict[str, Any]]:
    """Give the statement and its parameters, but for the limit."""
    statement = AGGREGATE.format(
        chosen=CHOSEN,
        figures=", ".join(FIGURES[aggregate] for aggregate in aggregates),
        values=values_between(":start", ":end", grid),
    )
    parameters = chosen_parameters(selection) | {"start": selection.start, "end": selection.end}
    return sa.text(statement), parameters | interval_parameters(grid, selection)


def values_between(start: str, end: str, grid: Grid, *, chosen: str = "chosen") -> str:
    """Give the query for the values of what was chosen, between two moments."""
    return VALUES.format(
        interval_start=interval_start(grid, "ts"),
        number=number_at("wanted.place"),
        chosen=chosen,
        start=start,
        end=end,
    )


def rows_to_buckets(rows: Sequence[sa.Row[Any]], aggregates: Collection[Aggregate]) -> list[tuple[str, Bucket]]:
    """Give each group's name and its figures.

    :raises FigureOverflowError: PostgreSQL lets a percentile between two large numbers become infinite.
    """
    if not rows:
        return []
    # Column by column, for there may be tens of thousands of rows.
    names, metrics, starts, *columns = zip(*rows, strict=True)
    if not all(map(_is_finite, columns)):
        raise FigureOverflowError
    figures = (dict(zip(aggregates, row, strict=True)) for row in zip(*columns, strict=True))
    return list(zip(names, map(Bucket, metrics, starts, figures), strict=True))


def _is_finite(column: Iterable[float | None]) -> bool:
    numbers = [number for number in column if number is not None]
    # A sum is not if one of them is not; it may also be too large by itself.
    return math.isfinite(sum(numbers)) or all(map(math.isfinite, numbers))
