"""How the figures of stale hours are worked out from their readings, and those of days from their hours (ADR 0027).

Nobody who writes waits for this. What changes while it is worked out has another revision when all is done, and stays
stale. Two who work hours out never have the same device in hand.
"""

import builtins
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.kernel.times import EPOCH
from iotsphere.telemetry.model import RollupBacklog, StaleHour
from iotsphere.telemetry.ports import NO_TIME
from repositories.sql import sqlstate
from repositories.telemetry.partitions import add_partitions, is_partition_missing
from repositories.telemetry.reading import REFUSALS
from repositories.telemetry.rows import NUMBERED
from repositories.telemetry.sources import CLASS_BITS

DAY = timedelta(days=1)
# Any number will do that no other advisory locks of this database have.
LOCK_SPACE = 27
# From here on a square could exceed the largest double.
LARGE = "1e140"
# Longer than for requests: nobody waits for it. The engine gives up a little later.
COMMAND_SECONDS = 20.0
# Rows are looked up by their keys. Not knowing how few they are, the server would rather read whole chunks, or
# compile a statement for longer than that takes. A plan for any time would have every chunk in it, and TimescaleDB
# would look over them anew for each hour; other servers take no notice of that setting.
SETTINGS = sa.text("""
SELECT
    set_config('statement_timeout', :milliseconds, true), set_config('work_mem', '64MB', true),
    set_config('random_page_cost', '1.1', true),
    set_config('jit', 'off', true), set_config('plan_cache_mode', 'force_custom_plan', true),
    set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
    set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
    set_config('enable_material', 'off', true), set_config('timescaledb.enable_chunk_append', 'off', true)
""").bindparams(milliseconds=f"{COMMAND_SECONDS * 900:.0f}")

# More than wanted are looked at, for others may have the devices of the first in hand.
TAKE = sa.text("""
WITH due AS MATERIALIZED (
    SELECT source, hour, revision FROM stale_hours
    WHERE hour <= :before AND marked_at <= now() - CAST(:stale_for AS interval) AND NOT is_put_off
    ORDER BY hour DESC, source LIMIT 4 * :limit
)
SELECT source, hour, revision FROM due WHERE pg_try_advisory_xact_lock(:lock_space, source) LIMIT :limit
""")

BACKLOG = sa.text("""
SELECT
    count(*) FILTER (WHERE NOT is_put_off) AS waiting,
    min(greatest(marked_at, hour + interval '1 hour')) FILTER (WHERE NOT is_put_off) AS oldest_at,
    count(*) FILTER (WHERE is_put_off) AS put_off
FROM stale_hours WHERE hour <= :before
""")

HOURS = """
hours AS MATERIALIZED (
    SELECT * FROM unnest(
        CAST(:sources AS integer[]), CAST(:starts AS timestamptz[]), CAST(:revisions AS bigint[])
    ) AS given (source, hour, revision)
)
"""

# What there was is found by its time, and not looked for at each place that the device has; minutes are there where
# their hour is, and dropped before it. Of keys in arrays the planner knows not how many they are, and takes them for
# few: so it looks up one after the other.
FORGET = """
WITH former AS MATERIALIZED (
    SELECT array_agg(given.source) AS sources, array_agg(place) AS places, array_agg(given.start) AS starts
    FROM unnest(CAST(:sources AS integer[]), CAST(:starts AS timestamptz[])) AS given (source, start)
    CROSS JOIN LATERAL (
        SELECT place FROM {table}
        WHERE source = given.source AND start AT TIME ZONE 'UTC' = given.start AT TIME ZONE 'UTC'
            AND start >= :earliest AND start < :latest
        OFFSET 0
    ) AS own
){minutes}
DELETE FROM {table} USING former, unnest(sources, places, starts) AS old (source, place, start)
WHERE {table}.source = old.source AND {table}.place = old.place AND {table}.start = old.start
    AND {table}.start >= :earliest AND {table}.start < :latest
"""
MINUTES = """, minutes AS (
    DELETE FROM rollups_1m USING former, unnest(sources, places, starts) AS old (source, place, start)
    WHERE rollups_1m.source = old.source AND rollups_1m.place = old.place AND hour = old.start
        AND hour >= :earliest AND hour < :latest
)"""
FORGET_HOURS = sa.text(FORGET.format(table="rollups_1h", minutes=MINUTES))
FORGET_DAYS = sa.text(FORGET.format(table="rollups_1d", minutes=""))

READINGS = """
    SELECT ts, first, numbers, others FROM readings
    WHERE source = hours.source AND ts >= hours.hour AND ts < hours.hour + interval '1 hour'
        AND ts >= :earliest AND ts < :latest
"""
# Those in which no minute has two readings, and all values are numbers that can be summed.
FIND_PLAIN = sa.text(f"""
WITH {HOURS}
SELECT source, hour
FROM hours
CROSS JOIN LATERAL (
    SELECT
        count(*) = count(DISTINCT date_bin('1 minute', ts, hours.hour)) AS is_apart,
        bool_or(others IS NOT NULL OR {LARGE} <= ANY(numbers) OR -{LARGE} >= ANY(numbers)) IS NOT TRUE AS is_summable
    FROM ({READINGS}) AS reading
) AS seen
WHERE is_apart AND is_summable
""")  # noqa: S608
# Then a minute's only number is all there is to tell of it. Who writes another one meanwhile makes the hour stale.
WORK_OUT_PLAIN = sa.text(f"""
WITH {HOURS}, by_hour AS MATERIALIZED (
    SELECT
        source, hour, place, CAST(count(*) AS integer) AS count,
        array_agg(minute) AS minutes, array_agg(number) AS firsts, array_agg(past_minute) AS first_offsets,
        sum(number) AS total, min(number) AS low, max(number) AS high, regr_sxx(number, number) AS squares,
        min(minute) AS first_minute, min(ts) AS first_at, max(minute) AS last_minute, max(ts) AS last_at
    FROM hours
    CROSS JOIN LATERAL (
        SELECT
            ts, CAST(floor(seconds / 60) AS smallint) AS minute,
            CAST((seconds - 60 * floor(seconds / 60)) * 1e6 AS integer) AS past_minute, first, numbers
        FROM ({READINGS}) AS own CROSS JOIN LATERAL date_part('epoch', ts - hours.hour) AS seconds
        OFFSET 0
    ) AS reading
    CROSS JOIN LATERAL ({NUMBERED}) AS held
    GROUP BY source, hour, place
), written AS (
    INSERT INTO rollups_1m (hour, source, place, minutes, counts, firsts, first_offsets)
    SELECT hour, source, place, minutes, array_fill(1, ARRAY[count]), firsts, first_offsets
    FROM by_hour
    ORDER BY source, place, hour
)
INSERT INTO rollups_1h (
    start, source, place, count, numbers, total, low, high, squares, first, first_at, last, last_at
)
SELECT
    hour, source, place, count, count, total, low, high, squares,
    firsts[array_position(minutes, first_minute)], first_at, firsts[array_position(minutes, last_minute)], last_at
FROM by_hour
ORDER BY source, place, hour
""")  # noqa: S608

# A number that a sum or a square could make too large counts as infinite there: who meets that asks the readings.
# In rows of minutes, a single number is written once; an array that would hold nothing is left out.
WORK_OUT = sa.text(f"""
WITH {HOURS}, valued AS (
    SELECT
        hours.source, hours.hour, held.place, date_part('epoch', reading.ts - hours.hour) AS seconds, held.number,
        CASE WHEN abs(held.number) >= {LARGE} THEN 'Infinity' ELSE held.number END AS summand
    FROM hours
    CROSS JOIN LATERAL ({READINGS}) AS reading
    CROSS JOIN LATERAL (
        {NUMBERED}
        UNION ALL
        SELECT CAST(place AS integer), NULL FROM jsonb_object_keys(others) AS place
    ) AS held
), by_minute AS MATERIALIZED (
    SELECT
        source, hour, place, CAST(floor(seconds / 60) AS smallint) AS minute,
        CAST(count(*) AS integer) AS count, CAST(count(number) AS integer) AS numbers,
        sum(summand) AS total, min(number) AS low, max(number) AS high, regr_sxx(summand, summand) AS squares,
        min(ARRAY[seconds, number]) FILTER (WHERE number IS NOT NULL) AS first,
        max(ARRAY[seconds, number]) FILTER (WHERE number IS NOT NULL) AS last
    FROM valued
    GROUP BY source, hour, place, minute
), written AS (
    INSERT INTO rollups_1m (
        hour, source, place, minutes, counts, numbers, totals, lows, highs, squares,
        firsts, first_offsets, lasts, last_offsets
    )
    SELECT
        hour, source, place,
        array_agg(minute ORDER BY minute),
        array_agg(count ORDER BY minute),
        CASE WHEN bool_or(numbers < count) THEN array_agg(nullif(numbers, count) ORDER BY minute) END,
        CASE WHEN bool_or(numbers > 1 OR total = 'Infinity')
            THEN array_agg(CASE WHEN numbers > 1 OR total = 'Infinity' THEN total END ORDER BY minute) END,
        CASE WHEN bool_or(numbers > 1) THEN array_agg(CASE WHEN numbers > 1 THEN low END ORDER BY minute) END,
        CASE WHEN bool_or(numbers > 1) THEN array_agg(CASE WHEN numbers > 1 THEN high END ORDER BY minute) END,
        CASE WHEN bool_or(numbers > 1 OR total = 'Infinity')
            THEN array_agg(CASE WHEN numbers > 1 OR total = 'Infinity' THEN squares END ORDER BY minute) END,
        array_agg(first[2] ORDER BY minute),
        array_agg(CAST((first[1] - 60 * minute) * 1e6 AS integer) ORDER BY minute),
        CASE WHEN bool_or(numbers > 1) THEN array_agg(CASE WHEN numbers > 1 THEN last[2] END ORDER BY minute) END,
        CASE WHEN bool_or(numbers > 1)
            THEN array_agg(
                CASE WHEN numbers > 1 THEN CAST((last[1] - 60 * minute) * 1e6 AS integer) END ORDER BY minute
            ) END
    FROM by_minute
    GROUP BY source, place, hour
    ORDER BY source, place, hour
)
INSERT INTO rollups_1h (
    start, source, place, count, numbers, total, low, high, squares, first, first_at, last, last_at
)
SELECT
    hour, source, place, sum(count), sum(numbers), sum(total), min(low), max(high),
    (merged_moments(ARRAY[numbers, total, squares]) FILTER (WHERE numbers > 0))[3],
    (min(first))[2], hour + (min(first))[1] * interval '1 second',
    (max(last))[2], hour + (max(last))[1] * interval '1 second'
FROM by_minute
GROUP BY source, place, hour
ORDER BY source, place, hour
""")  # noqa: S608  # of constants

# A day with other stale hours is worked out with the last of them, and not looked at before.
FIND_DAYS = sa.text(f"""
WITH {HOURS}
SELECT source, day
FROM (
    SELECT source, date_bin('1 day', hour, '1970-01-01T00:00Z') AS day, count(*) AS in_hand FROM hours GROUP BY 1, 2
) AS touched
WHERE in_hand = (
    SELECT count(*) FROM stale_hours
    WHERE source = touched.source AND hour >= day AND hour < day + interval '1 day'
)
""")  # noqa: S608
# Of the hours of a day.
DAY_FIGURES = """
    sum(count), sum(numbers), sum(total), min(low), max(high),
    (merged_moments(ARRAY[numbers, total, squares]) FILTER (WHERE numbers > 0))[3],
    (array_agg(first ORDER BY start) FILTER (WHERE numbers > 0))[1], min(first_at),
    (array_agg(last ORDER BY start DESC) FILTER (WHERE numbers > 0))[1], max(last_at)
"""
WORK_OUT_DAYS = sa.text(f"""
INSERT INTO rollups_1d (
    start, source, place, count, numbers, total, low, high, squares, first, first_at, last, last_at
)
SELECT day, given.source, place, {DAY_FIGURES}
FROM unnest(CAST(:sources AS integer[]), CAST(:starts AS timestamptz[])) AS given (source, day)
CROSS JOIN LATERAL (
    SELECT * FROM rollups_1h
    WHERE source = given.source AND start AT TIME ZONE 'UTC' >= day AT TIME ZONE 'UTC'
        AND start AT TIME ZONE 'UTC' < day AT TIME ZONE 'UTC' + interval '1 day'
        AND start >= :earliest AND start < :latest
    OFFSET 0
) AS own
GROUP BY given.source, place, day
ORDER BY given.source, place, day
""")  # noqa: S608

# Who writes one of them just now gives it another revision: nobody waits for anybody.
MARK_FRESH = sa.text(f"""
WITH {HOURS}
DELETE FROM stale_hours USING (
    SELECT stale_hours.source, stale_hours.hour
    FROM stale_hours JOIN hours USING (source, hour, revision)
    FOR UPDATE OF stale_hours SKIP LOCKED
) AS settled
WHERE stale_hours.source = settled.source AND stale_hours.hour = settled.hour
""")  # noqa: S608
PUT_OFF = sa.text(f"""
WITH {HOURS}
UPDATE stale_hours SET is_put_off = true FROM hours
WHERE stale_hours.source = hours.source AND stale_hours.hour = hours.hour
    AND stale_hours.revision = hours.revision
""")  # noqa: S608

PARTED_TABLES = ("rollups_1m", "rollups_1h", "rollups_1d")


class SqlAlchemyRollupRepository:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def list(self, *, before: datetime, limit: int, stale_for: timedelta = NO_TIME) -> builtins.list[StaleHour]:
        await self._connection.execute(SETTINGS)
        parameters = {"before": before, "stale_for": stale_for, "limit": limit, "lock_space": LOCK_SPACE}
        rows = await self._execute(TAKE, parameters)
        return [StaleHour(row.source, row.hour, row.revision) for row in rows]

    async def save(self, hours: Sequence[StaleHour]) -> None:
        try:
            async with self._connection.begin_nested():
                await self._work_out(hours)
        except DBAPIError as error:
            if not is_partition_missing(error):
                raise
            for table in PARTED_TABLES:
                spots = [(each.source >> CLASS_BITS, each.hour) for each in hours]
                await add_partitions(self._connection, spots, table=table)
            await self._work_out(hours)

    async def put_off(self, hours: Sequence[StaleHour]) -> None:
        await self._connection.execute(PUT_OFF, _parameters(hours))

    async def find_backlog(self, *, before: datetime) -> RollupBacklog:
        (row,) = await self._execute(BACKLOG, {"before": before})
        return RollupBacklog(row.waiting, row.oldest_at, row.put_off)

    async def _work_out(self, hours: Sequence[StaleHour]) -> None:
        span = {
            # Of the days that hold them. Known beforehand, they keep the planner from asking every chunk.
            "earliest": min(_midnight(each.hour) for each in hours),
            "latest": max(_midnight(each.hour) for each in hours) + DAY,
        }
        every = _parameters(hours) | span
        await self._execute(FORGET_HOURS, every)
        plain = set(map(tuple, await self._execute(FIND_PLAIN, every)))
        for statement, is_plain in ((WORK_OUT_PLAIN, True), (WORK_OUT, False)):
            if those := [each for each in hours if ((each.source, each.hour) in plain) is is_plain]:
                await self._execute(statement, _parameters(those) | span)
        if days := await self._execute(FIND_DAYS, every):
            whole = span | {"sources": [row.source for row in days], "starts": [row.day for row in days]}
            await self._execute(FORGET_DAYS, whole)
            await self._execute(WORK_OUT_DAYS, whole)
        await self._execute(MARK_FRESH, every)

    async def _execute(self, statement: sa.TextClause, parameters: Mapping[str, Any]) -> Sequence[sa.Row[Any]]:
        try:
            found = await self._connection.execute(statement, _of(statement, parameters))
            return found.all() if found.returns_rows else []
        except DBAPIError as error:
            refusal = REFUSALS.get(sqlstate(error))
            if refusal is None:
                raise
            # Without its cause, which the unit of work would take for an outage.
            raise refusal from None


def _midnight(moment: datetime) -> datetime:
    return moment - (moment - EPOCH) % DAY


def _of(statement: sa.TextClause, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Give those of the parameters that the statement has."""
    return {name: value for name, value in parameters.items() if name in statement.compile().params}


def _parameters(hours: Sequence[StaleHour]) -> dict[str, Any]:
    return {
        "sources": [each.source for each in hours],
        "starts": [each.hour for each in hours],
        "revisions": [each.revision for each in hours],
    }
