"""What a row of ``readings`` holds, from the values of a reading and back."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from iotsphere.kernel.times import EPOCH
from iotsphere.telemetry.model import MAX_INTEGER

NUMBERS = frozenset({int, float})
MICROSECOND = timedelta(microseconds=1)

# The driver looks at every element of an array in turn, which costs more than everything else about a reading. Of
# texts that are taken apart here it sees nothing. Without ``others`` there are none in any row.
GIVEN_ROWS = """
    SELECT
        TIMESTAMPTZ '1970-01-01T00:00Z' + CAST(ts AS bigint) * INTERVAL '1 microsecond' AS ts,
        CAST(source AS integer) AS source, CAST(first AS integer) AS first, CAST(numbers AS float8[]) AS numbers,
        others
    FROM ROWS FROM (
        string_to_table(CAST(:times AS text), ','), string_to_table(CAST(:sources AS text), ','),
        string_to_table(CAST(:firsts AS text), ','), string_to_table(CAST(:numbers AS text), ';'),
        unnest(CAST(:others AS jsonb[]))
    ) AS packed (ts, source, first, numbers, others)
"""


class Row(NamedTuple):
    """In the order of the table's columns; ``others`` is JSON."""

    ts: datetime
    source: int
    first: int
    numbers: Sequence[float | None]
    others: str | None


def to_row(source: int, ts: datetime, values: Mapping[int, Any]) -> Row:
    """Make the row of the values at their places."""
    first = min(values)
    if NUMBERS.issuperset(map(type, values.values())):
        return Row(ts, source, first, _spread(first, values), None)
    numbers = {place: value for place, value in values.items() if type(value) in NUMBERS}
    others = {str(place): value for place, value in values.items() if type(value) not in NUMBERS}
    first = min(numbers, default=1)
    return Row(ts, source, first, _spread(first, numbers), msgspec.json.encode(others).decode())


def pack_rows(rows: Sequence[Row]) -> dict[str, str | list[str | None]]:
    """Give what ``GIVEN_ROWS`` makes the rows of."""
    times, sources, firsts, numbers, others = zip(*rows, strict=True)
    arrays = msgspec.json.encode(numbers).decode()
    return {
        "times": ",".join([str((ts - EPOCH) // MICROSECOND) for ts in times]),
        "sources": ",".join(map(str, sources)),
        "firsts": ",".join(map(str, firsts)),
        "numbers": "{" + arrays[2:-2].replace("],[", "};{") + "}",
        "others": list(others) if any(others) else [],
    }


def _spread(first: int, numbers: Mapping[int, float]) -> list[float | None]:
    spread: list[float | None] = [None] * (max(numbers, default=first - 1) - first + 1)
    for place, number in numbers.items():
        spread[place - first] = number
    return spread


def to_values(first: int, numbers: Sequence[float | None], others: Mapping[str, Any] | None) -> dict[int, Any]:
    """Give what a row holds, by place."""
    values: dict[int, Any] = {
        place: number for place, number in enumerate(numbers, start=first) if number is not None
    }
    for place, value in (others or {}).items():
        values[int(place)] = as_sent(value)
    return values


def as_sent(value: Any) -> Any:
    """Undo what jsonb does to large numbers: it writes 1e300 out as an integer of 301 digits."""
    if isinstance(value, dict):
        return {key: as_sent(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [as_sent(inner) for inner in value]
    return float(value) if isinstance(value, int) and abs(value) > MAX_INTEGER else value
