"""How figures that were worked out ahead become those of a query's intervals (ADR 0027).

A part is what one stretch of time gives to one interval: figures of a day, of an hour or of a minute, or those of the
readings where nothing else is exact. An interval's figures are merged from its parts.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from iotsphere.telemetry.intervals import Grid
from iotsphere.telemetry.model import Aggregate, Selection
from iotsphere.telemetry.rollups import Resolution, Stretch
from repositories.telemetry.grids import interval_parameters, interval_start
from repositories.telemetry.rows import number_at
from repositories.telemetry.sources import Source

MERGE = """
SELECT wanted.metric, interval_start, {figures}
FROM ({parts}) AS part
JOIN unnest(CAST(:metrics AS text[]), CAST(:places AS integer[])) AS wanted (metric, place) USING (place)
GROUP BY wanted.metric, interval_start
ORDER BY interval_start, wanted.metric COLLATE "C"
LIMIT :limit
"""

MOMENTS = "merged_moments(ARRAY[numbers, total, squares]) FILTER (WHERE numbers > 0)"
# Percentiles cannot be merged.
FIGURES = {
    Aggregate.AVG: "sum(total) / nullif(sum(numbers), 0)",
    Aggregate.MIN: "min(low)",
    Aggregate.MAX: "max(high)",
    Aggregate.SUM: "sum(total)",
    Aggregate.COUNT: "CAST(sum(count) AS bigint)",
    # Parts do not overlap in time: the first number is that of the first part that has one.
    Aggregate.FIRST: "(min(ARRAY[date_part('epoch', ts), first]) FILTER (WHERE first IS NOT NULL))[2]",
    Aggregate.LAST: "(max(ARRAY[date_part('epoch', ts), last]) FILTER (WHERE last IS NOT NULL))[2]",
    Aggregate.STDDEV: f"float8_stddev_samp({MOMENTS})",
}
NEEDED = {
    Aggregate.AVG: ("numbers", "total"),
    Aggregate.MIN: ("low",),
    Aggregate.MAX: ("high",),
    Aggregate.SUM: ("total",),
    Aggregate.COUNT: ("count",),
    Aggregate.FIRST: ("first",),
    Aggregate.LAST: ("last",),
    Aggregate.STDDEV: ("numbers", "total", "squares"),
}

LONGER = """
SELECT place, {interval_start} AS interval_start, start AS ts, {columns}
FROM {table}
WHERE source = :source AND place = ANY(CAST(:places AS integer[]))
    AND start >= :start_{number} AND start < :end_{number}
"""
TABLES = {Resolution.DAY: "rollups_1d", Resolution.HOUR: "rollups_1h"}

MINUTES = """
SELECT place, {interval_start} AS interval_start, ts, {columns}
FROM (
    SELECT place, hour + minute * interval '1 minute' AS ts, by_minute.*
    FROM rollups_1m CROSS JOIN LATERAL unnest({arrays}) AS by_minute ({names})
    WHERE source = :source AND place = ANY(CAST(:places AS integer[]))
        AND hour >= date_bin('1 hour', CAST(:start_{number} AS timestamptz), '1970-01-01T00:00Z')
        AND hour < :end_{number}
) AS unfolded
WHERE ts >= :start_{number} AND ts < :end_{number}
"""
ARRAYS = {
    "minute": "minutes",
    "count": "counts",
    "numbers": "numbers",
    "total": "totals",
    "low": "lows",
    "high": "highs",
    "squares": "squares",
    "first": "firsts",
    "last": "lasts",
}
# Where a minute has but one number, that stands for all figures.
FROM_MINUTES = {
    "count": ("count",),
    "numbers": ("numbers", "count"),
    "total": ("total", "first"),
    "low": ("low", "first"),
    "high": ("high", "first"),
    "squares": ("squares",),
    "first": ("first",),
    "last": ("last", "first"),
}

# A number that a sum could make too large counts as infinite, here as in what was worked out ahead.
SUMMAND = "CASE WHEN abs(number) >= 1e140 THEN 'Infinity' ELSE number END"
FROM_READINGS = {
    "count": "count(*)",
    "numbers": "count(number)",
    "total": f"sum({SUMMAND})",
    "low": "min(number)",
    "high": "max(number)",
    "squares": f"regr_sxx({SUMMAND}, {SUMMAND})",
    "first": "(min(ARRAY[date_part('epoch', ts), number]) FILTER (WHERE number IS NOT NULL))[2]",
    "last": "(max(ARRAY[date_part('epoch', ts), number]) FILTER (WHERE number IS NOT NULL))[2]",
}
# OFFSET, as in figures of readings alone.
READINGS = """
SELECT place, interval_start, min(ts) AS ts, {columns}
FROM (
    SELECT
        place, ts, {interval_start} AS interval_start,
        {number_at_place} AS number, others -> CAST(place AS text) AS other
    FROM readings CROSS JOIN unnest(CAST(:places AS integer[])) AS place
    WHERE source = :source AND ts >= :start_{number} AND ts < :end_{number}
    OFFSET 0
) AS selected
WHERE number IS NOT NULL OR other IS NOT NULL
GROUP BY place, interval_start
"""


def is_mergeable(aggregates: Collection[Aggregate]) -> bool:
    return FIGURES.keys() >= set(aggregates)


def merge_query(
    source: Source, selection: Selection, stretches: Sequence[Stretch], grid: Grid, aggregates: Collection[Aggregate]
) -> tuple[sa.TextClause, dict[str, Any]]:
    """Give the statement for the stretches of a selection and its parameters, but for the limit."""
    parameters: dict[str, Any] = {
        "source": source.id,
        "metrics": list(source.places),
        "places": list(source.places.values()),
    }
    for number, stretch in enumerate(stretches):
        parameters |= {f"start_{number}": stretch.start, f"end_{number}": stretch.end}
    columns = list(dict.fromkeys(column for aggregate in aggregates for column in NEEDED[aggregate]))
    parts = [_part(stretch.resolution, number, columns, grid) for number, stretch in enumerate(stretches)]
    figures = ", ".join(FIGURES[aggregate] for aggregate in aggregates)
    statement = MERGE.format(figures=figures, parts="UNION ALL".join(parts))
    return sa.text(statement), parameters | interval_parameters(grid, selection)


def _part(resolution: Resolution | None, number: int, columns: Sequence[str], grid: Grid) -> str:
    if resolution is None:
        figures = _listed(f"{FROM_READINGS[column]} AS {column}" for column in columns)
        return READINGS.format(
            interval_start=interval_start(grid, "ts"),
            columns=figures,
            number_at_place=number_at("place"),
            number=number,
        )
    if resolution is Resolution.MINUTE:
        return _minutes(number, columns, grid)
    return LONGER.format(
        interval_start=interval_start(grid, "start"),
        columns=_listed(columns),
        table=TABLES[resolution],
        number=number,
    )


def _minutes(number: int, columns: Sequence[str], grid: Grid) -> str:
    # Each array that is unfolded takes its time.
    names = list(dict.fromkeys(["minute", *(name for column in columns for name in FROM_MINUTES[column])]))
    alternatives = {
        column: _listed([*FROM_MINUTES[column], "0"] if column == "squares" else FROM_MINUTES[column])
        for column in columns
    }
    return MINUTES.format(
        interval_start=interval_start(grid, "ts"),
        columns=_listed(f"coalesce({alternatives[column]}) AS {column}" for column in columns),
        arrays=_listed(ARRAYS[name] for name in names),
        names=_listed(names),
        number=number,
    )


def _listed(items: Iterable[str]) -> str:
    return ", ".join(items)
