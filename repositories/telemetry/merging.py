"""How figures that were worked out ahead become those of a query's intervals (ADR 0027).

A part is what one stretch of time gives to one interval: figures of a day, of an hour or of a minute, or those of the
readings where nothing else is exact. An interval's figures are merged from its parts. Where what was asked for is of
several classes, each has parts of its own.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from iotsphere.telemetry.intervals import Grid
from iotsphere.telemetry.model import Aggregate, FleetSelection
from iotsphere.telemetry.rollups import Resolution, Stretch
from repositories.telemetry.aggregating import values_between
from repositories.telemetry.grids import interval_parameters, interval_start
from repositories.telemetry.groups import CHOSEN, chosen_parameters
from repositories.telemetry.sources import CLASS_BITS

MERGE = """
WITH {chosen}
SELECT name, metric, interval_start, {figures}
FROM ({parts}) AS part
GROUP BY name, metric, interval_start
ORDER BY interval_start, metric COLLATE "C", name COLLATE "C"
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
    # Two devices may have a point of the same time: then the first device comes first.
    Aggregate.FIRST: "(min(ARRAY[first_at, rank, first]) FILTER (WHERE first IS NOT NULL))[3]",
    Aggregate.LAST: "(max(ARRAY[last_at, rank, last]) FILTER (WHERE last IS NOT NULL))[3]",
    Aggregate.STDDEV: f"float8_stddev_samp({MOMENTS})",
}
NEEDED = {
    Aggregate.AVG: ("numbers", "total"),
    Aggregate.MIN: ("low",),
    Aggregate.MAX: ("high",),
    Aggregate.SUM: ("total",),
    Aggregate.COUNT: ("count",),
    Aggregate.FIRST: ("first", "first_at"),
    Aggregate.LAST: ("last", "last_at"),
    Aggregate.STDDEV: ("numbers", "total", "squares"),
}

LONGER = """
SELECT name, rank, metric, {interval_start} AS interval_start, {columns}
FROM {wanted} CROSS JOIN LATERAL (
    SELECT * FROM {table}
    WHERE source = wanted.source AND place = wanted.place AND start >= :start_{number} AND start < :end_{number}
    OFFSET 0
) AS own
"""
TABLES = {Resolution.DAY: "rollups_1d", Resolution.HOUR: "rollups_1h"}
# Seconds since 1970.
MOMENTS_OF_LONGER = {column: f"date_part('epoch', {column}) AS {column}" for column in ("first_at", "last_at")}

MINUTES = """
SELECT name, rank, metric, {interval_start} AS interval_start, {columns}
FROM (
    SELECT name, rank, metric, hour + minute * interval '1 minute' AS ts, by_minute.*
    FROM {wanted} CROSS JOIN LATERAL (
        SELECT * FROM rollups_1m
        WHERE source = wanted.source AND place = wanted.place
            AND hour >= date_bin('1 hour', CAST(:start_{number} AS timestamptz), '1970-01-01T00:00Z')
            AND hour < :end_{number}
        OFFSET 0
    ) AS own CROSS JOIN LATERAL unnest({arrays}) AS by_minute ({names})
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
    "first_offset": "first_offsets",
    "last_offset": "last_offsets",
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
    "first_at": ("first_offset",),
    "last_at": ("last_offset", "first_offset"),
}
# Of an offset from the minute's start: seconds since 1970.
MOMENT_OF_MINUTE = "date_part('epoch', ts + {offset} * interval '1 microsecond')"

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
    "first_at": "min(date_part('epoch', ts)) FILTER (WHERE number IS NOT NULL)",
    "last": "(max(ARRAY[date_part('epoch', ts), number]) FILTER (WHERE number IS NOT NULL))[2]",
    "last_at": "max(date_part('epoch', ts)) FILTER (WHERE number IS NOT NULL)",
}
READINGS = """
SELECT name, rank, metric, interval_start, {columns}
FROM ({values}) AS selected
WHERE number IS NOT NULL OR other IS NOT NULL
GROUP BY name, rank, metric, interval_start
"""


class AnswerPart(NamedTuple):
    """A stretch of what is of one class, by its number, or of all where that is None."""

    retention_class: int | None
    stretch: Stretch


def is_mergeable(aggregates: Collection[Aggregate]) -> bool:
    return FIGURES.keys() >= set(aggregates)


def merge_query(
    selection: FleetSelection, parts: Sequence[AnswerPart], grid: Grid, aggregates: Collection[Aggregate]
) -> tuple[sa.TextClause, dict[str, Any]]:
    """Give the statement for the parts of a selection and its parameters, but for the limit."""
    parameters = chosen_parameters(selection)
    for number, (retention_class, stretch) in enumerate(parts):
        parameters |= {f"start_{number}": stretch.start, f"end_{number}": stretch.end}
        if retention_class is not None:
            parameters[f"class_{number}"] = retention_class
    columns = list(dict.fromkeys(column for aggregate in aggregates for column in NEEDED[aggregate]))
    figures = _listed(FIGURES[aggregate] for aggregate in aggregates)
    written = [_written(part, number, columns, grid) for number, part in enumerate(parts)]
    statement = MERGE.format(chosen=CHOSEN, figures=figures, parts="UNION ALL".join(written))
    return sa.text(statement), parameters | interval_parameters(grid, selection)


def _written(part: AnswerPart, number: int, columns: Sequence[str], grid: Grid) -> str:
    resolution = part.stretch.resolution
    if resolution is None:
        return READINGS.format(
            columns=_listed(f"{FROM_READINGS[column]} AS {column}" for column in columns),
            values=values_between(
                f":start_{number}", f":end_{number}", grid, chosen=_of_class("chosen", part, number)
            ),
        )
    if resolution is Resolution.MINUTE:
        return _minutes(part, number, columns, grid)
    return LONGER.format(
        interval_start=interval_start(grid, "start"),
        columns=_listed(MOMENTS_OF_LONGER.get(column, column) for column in columns),
        table=TABLES[resolution],
        wanted=_of_class("wanted", part, number),
        number=number,
    )


def _of_class(name: str, part: AnswerPart, number: int) -> str:
    if part.retention_class is None:
        return name
    return f"(SELECT * FROM {name} WHERE source >> {CLASS_BITS} = :class_{number}) AS {name}"  # noqa: S608


def _minutes(part: AnswerPart, number: int, columns: Sequence[str], grid: Grid) -> str:
    # Each array that is unfolded takes its time.
    names = list(dict.fromkeys(["minute", *(name for column in columns for name in FROM_MINUTES[column])]))
    return MINUTES.format(
        interval_start=interval_start(grid, "ts"),
        columns=_listed(f"{_of_minute(column)} AS {column}" for column in columns),
        arrays=_listed(ARRAYS[name] for name in names),
        names=_listed(names),
        wanted=_of_class("wanted", part, number),
        number=number,
    )


def _of_minute(column: str) -> str:
    alternatives = [*FROM_MINUTES[column], "0"] if column == "squares" else FROM_MINUTES[column]
    chosen = f"coalesce({_listed(alternatives)})"
    return MOMENT_OF_MINUTE.format(offset=chosen) if column.endswith("_at") else chosen


def _listed(items: Iterable[str]) -> str:
    return ", ".join(items)
