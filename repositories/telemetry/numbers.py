"""The numbers of whole series, column by column: a hundred thousand of them cost less than as many rows would."""

import time
from array import array
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.kernel.times import EPOCH, MICROSECOND
from iotsphere.telemetry.errors import QueryTooCostlyError
from iotsphere.telemetry.model import Numbers, Selection
from repositories.telemetry.reading import read
from repositories.telemetry.rows import number_at
from repositories.telemetry.sources import Source

# More would hold the process up while they are taken in.
READ_AT_ONCE = 20_000
# A device may have thousands of metrics, each of which is a statement at the least.
LONGEST_SECONDS = 3.0

NUMBER = number_at("CAST(:place AS integer)")
# A double tells microseconds apart until 2106 once it is rounded, and costs less than PostgreSQL's exact numbers.
NUMBERS = sa.text(f"""
SELECT coalesce(array_agg(time), '{{}}') AS times, coalesce(array_agg(number), '{{}}') AS numbers
FROM (
    SELECT
        CAST(round(date_part('epoch', ts) * CAST(1e6 AS float8)) AS bigint) AS time,
        {NUMBER} AS number
    FROM readings
    WHERE source = :source AND ts >= :start AND ts < :end
    AND {NUMBER} IS NOT NULL
    ORDER BY ts LIMIT :amount
) AS page
""")  # noqa: S608  # of constants


async def read_numbers(
    connection: AsyncConnection,
    source: Source,
    selection: Selection,
    *,
    limit: int,
    seconds: float = LONGEST_SECONDS,
) -> dict[str, Numbers]:
    """Give the numbers of the metrics that have any.

    :raises QueryTooCostlyError: there are more than ``limit`` in all, or it would take too long.
    """
    series: dict[str, Numbers] = {}
    deadline = time.monotonic() + seconds
    for number, places in source.parts.items():
        for metric, place in places.items():
            window = {"source": number, "place": place, "start": selection.start, "end": selection.end}
            numbers = await _read_series(connection, window, limit=limit, deadline=deadline)
            limit -= len(numbers.times)
            if numbers.times:
                series[metric] = _joined(series[metric], numbers) if metric in series else numbers
    return series


def _joined(one: Numbers, other: Numbers) -> Numbers:
    """Put the numbers of a metric that has moved in the order of time; no two are of the same time."""
    times, values = zip(
        *sorted(zip((*one.times, *other.times), (*one.values, *other.values), strict=True)), strict=True
    )
    return Numbers(array("q", times), array("d", values))


async def _read_series(
    connection: AsyncConnection, window: dict[str, Any], *, limit: int, deadline: float
) -> Numbers:
    times, values = array("q"), array("d")
    while True:
        (page,) = await read(connection, NUMBERS, window | {"amount": READ_AT_ONCE})
        times.extend(page.times)
        values.extend(page.numbers)
        if len(times) > limit or time.monotonic() > deadline:
            raise QueryTooCostlyError
        if len(page.times) < READ_AT_ONCE:
            return Numbers(times, values)
        window["start"] = EPOCH + (times[-1] + 1) * MICROSECOND
