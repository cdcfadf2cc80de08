"""How much a query would go through, told before it is asked (ADR 0034).

The planner's estimate of a reading's condition is good and costs less than a millisecond; its estimate of the cost of
the whole is not, since it knows nothing of arrays. Before anything is refused, the readings are counted, as far as is
needed: they may lie otherwise within a chunk than they do on the whole.
"""

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.telemetry.errors import QueryTooCostlyError
from iotsphere.telemetry.model import FleetSelection
from repositories.telemetry.reading import read
from repositories.telemetry.sources import PART_SOURCE

# A value takes 0.36 microseconds at the best, and a reading as long as three values besides: more than that ends in
# no time that a statement has.
MOST_VALUES = 6_000_000
VALUES_OF_READING = 3
# Of one metric of one device; what is shorter is mostly small, and would feel the question.
UNWEIGHED = timedelta(days=90)

SOURCES = sa.text(f"""
SELECT {PART_SOURCE} AS id, cardinality(metrics) AS metrics
FROM sources CROSS JOIN LATERAL unnest(parts) AS part (number) WHERE device_id = ANY(CAST(:device_ids AS uuid[]))
""")  # noqa: S608  # of constants
WITHIN = "FROM readings WHERE source = ANY(CAST(:sources AS integer[])) AND ts >= :start AND ts < :end"
ESTIMATE = sa.text(f"EXPLAIN (FORMAT JSON) SELECT {WITHIN}")
ARE_MORE = sa.text(f"SELECT EXISTS (SELECT {WITHIN} OFFSET :most)")


def is_light(series: int, start: datetime, end: datetime) -> bool:
    return (end - start) / UNWEIGHED * series <= 1


async def refuse_too_much(
    connection: AsyncConnection, selection: FleetSelection, start: datetime, end: datetime
) -> None:
    """Let a query through that goes through the readings of these devices, from ``start`` to ``end``, in time.

    :raises QueryTooCostlyError: it would not.
    """
    devices = list(selection.groups)
    asked = len(selection.metrics or ())
    if is_light(len(devices) * max(1, asked), start, end):
        return
    sources = await read(connection, SOURCES, {"device_ids": devices})
    if not sources:
        return
    metrics = asked or max(source.metrics for source in sources)
    most = MOST_VALUES // (metrics + VALUES_OF_READING)
    window = {"sources": [source.id for source in sources], "start": start, "end": end}
    (estimate,) = await read(connection, ESTIMATE, window)
    if estimate[0][0]["Plan"]["Plan Rows"] <= most:
        return
    (are_more,) = await read(connection, ARE_MORE, window | {"most": most})
    if are_more[0]:
        raise QueryTooCostlyError
