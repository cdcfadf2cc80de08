"""How points become figures, interval by interval."""

import math
from collections.abc import Collection
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from iotsphere.kernel.times import EPOCH
from iotsphere.telemetry.errors import FigureOverflowError
from iotsphere.telemetry.intervals import Grid
from iotsphere.telemetry.model import Aggregate, Bucket, Selection

AGGREGATE = """
SELECT metric, interval_start, {figures}
FROM (
    SELECT metric, ts, number, {interval_start} AS interval_start
    FROM points
    WHERE device_id = :device_id AND ts >= :start AND ts < :end {of_metrics}
) AS selected
GROUP BY metric, interval_start
ORDER BY interval_start, metric
LIMIT :limit
"""
OF_METRICS = "AND metric = ANY(CAST(:metrics AS text[]))"

FIXED_START = "date_bin(:length, ts, :epoch)"
# Where days begin is worked out in Python alone; PostgreSQL sorts the points in between.
CALENDAR_START = "(CAST(:starts AS timestamptz[]))[width_bucket(ts, CAST(:starts AS timestamptz[]))]"

FIGURES = {
    Aggregate.AVG: "avg(number)",
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
    selection: Selection, grid: Grid, aggregates: Collection[Aggregate]
) -> tuple[sa.TextClause, dict[str, Any]]:
    """Give the statement and its parameters, but for the limit."""
    parameters = {"device_id": selection.device_id, "start": selection.start, "end": selection.end}
    if selection.metrics is not None:
        parameters["metrics"] = list(selection.metrics)
    if grid.interval.is_calendar:
        last = max(selection.start, selection.end - timedelta(microseconds=1))
        parameters["starts"] = grid.starts(selection.start, last)
    else:
        parameters |= {"length": grid.interval.length, "epoch": EPOCH}
    statement = AGGREGATE.format(
        figures=", ".join(FIGURES[aggregate] for aggregate in aggregates),
        interval_start=CALENDAR_START if grid.interval.is_calendar else FIXED_START,
        of_metrics=OF_METRICS if selection.metrics is not None else "",
    )
    return sa.text(statement), parameters


def row_to_bucket(row: sa.Row[Any], aggregates: Collection[Aggregate]) -> Bucket:
    """:raises FigureOverflowError: PostgreSQL lets a percentile between two large numbers become infinite."""
    metric, start, *figures = tuple(row)
    if not all(math.isfinite(figure) for figure in figures if figure is not None):
        raise FigureOverflowError
    return Bucket(metric, start, dict(zip(aggregates, figures, strict=True)))
