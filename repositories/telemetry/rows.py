"""What a row of ``readings`` holds, from the values of a reading and back."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from iotsphere.kernel.times import EPOCH, MICROSECOND
from iotsphere.telemetry.blocks import NUMBERS, Block
from iotsphere.telemetry.model import MAX_INTEGER

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

# Numbers that lie far apart would make an array that is mostly null. In such a row ``first`` is SPARSE, and
# ``numbers`` holds their places and then, in the same order, the numbers: so no row has many more cells than values.
# From here on that is cheaper to write and no dearer to read; it takes fewer bytes from 64 on (ADR 0026).
SPARSE = 0
MOST_CELLS_A_NUMBER = 16

# Of a row: the number at a place. What equals the place, but is itself a number, leads behind the end of the array.
NUMBER_AT = """numbers[CASE WHEN first > 0 THEN {place} - first + 1
        ELSE array_position(numbers, CAST({place} AS float8)) + cardinality(numbers) / 2 END]"""

# Of a row: its numbers, and the place of each.
NUMBERED = """
    SELECT
        CASE WHEN first > 0 THEN first + CAST(position AS integer) - 1
            ELSE CAST(numbers[position - cardinality(numbers) / 2] AS integer) END AS place,
        number
    FROM unnest(numbers) WITH ORDINALITY AS cell (number, position)
    WHERE number IS NOT NULL AND (first > 0 OR position > cardinality(numbers) / 2)
"""
# Of a row: how many numbers it holds.
NUMBERS_COUNTED = "cardinality(array_remove(numbers, NULL)) / CASE WHEN first > 0 THEN 1 ELSE 2 END"


class Row(NamedTuple):
    """In the order of the table's columns; ``others`` is JSON."""

    ts: datetime
    source: int
    first: int
    numbers: Sequence[float | None]
    others: str | None


def to_row(source: int, ts: datetime, values: Mapping[int, Any]) -> Row:
    """Make the row of the values at their places."""
    if NUMBERS.issuperset(map(type, values.values())):
        return Row(ts, source, *_lay_out(values), None)
    numbers = {place: value for place, value in values.items() if type(value) in NUMBERS}
    others = {str(place): value for place, value in values.items() if type(value) not in NUMBERS}
    return Row(ts, source, *_lay_out(numbers), msgspec.json.encode(others).decode())


def number_at(place: str) -> str:
    """Give the expression for a row's number at the place; it is null where there is none."""
    return NUMBER_AT.format(place=place)


class Pack:
    """Rows in the making, as ``GIVEN_ROWS`` has them; ``times`` are those of each source, in microseconds."""

    def __init__(self) -> None:
        self.times: dict[int, set[int]] = defaultdict(set)
        self._times: list[int] = []
        self._sources: list[int] = []
        self._firsts: list[int] = []
        self._numbers: list[Sequence[float | None]] = []
        self._others: list[str | None] = []

    def __len__(self) -> int:
        return len(self._others)

    def add(self, rows: Sequence[Row]) -> None:
        moments, sources, firsts, numbers, others = zip(*rows, strict=True)
        times = [(moment - EPOCH) // MICROSECOND for moment in moments]
        for source, time in zip(sources, times, strict=True):
            self.times[source].add(time)
        self._times += times
        self._sources += sources
        self._firsts += firsts
        self._numbers += numbers
        self._others += others

    def add_block(self, source: int, places: Sequence[int], block: Block) -> None:
        """Add the readings of a block whose metrics have these places."""
        count = len(block)
        first, rows = _lay_out_block(places, block)
        self.times[source].update(block.times)
        self._times += block.times
        self._sources += [source] * count
        self._firsts += [first] * count
        self._numbers += rows
        self._others += [None] * count

    def parameters(self) -> dict[str, str | list[str | None]]:
        # All at once: readings of ten thousand devices are as many blocks.
        return {
            "times": _listed(self._times),
            "sources": _listed(self._sources),
            "firsts": _listed(self._firsts),
            "numbers": "{" + _arrays(self._numbers) + "}",
            "others": self._others if any(self._others) else [],
        }


def _listed(numbers: Sequence[int]) -> str:
    return msgspec.json.encode(numbers).decode()[1:-1]


def _arrays(numbers: Sequence[Sequence[float | None]]) -> str:
    return msgspec.json.encode(numbers).decode()[2:-2].replace("],[", "};{")


def pack_rows(rows: Sequence[Row]) -> dict[str, str | list[str | None]]:
    """Give what ``GIVEN_ROWS`` makes the rows of."""
    pack = Pack()
    pack.add(rows)
    return pack.parameters()


def _lay_out(numbers: Mapping[int, float]) -> tuple[int, Sequence[float | None]]:
    """Give ``first`` and ``numbers`` of a row."""
    first = min(numbers, default=1)
    width = max(numbers, default=0) - first + 1
    if width > MOST_CELLS_A_NUMBER * len(numbers):
        return SPARSE, [*numbers, *numbers.values()]
    spread: list[float | None] = [None] * width
    for place, number in numbers.items():
        spread[place - first] = number
    return first, spread


def _lay_out_block(places: Sequence[int], block: Block) -> tuple[int, Sequence[Sequence[float | None]]]:
    """Give ``first`` and ``numbers`` of each row."""
    columns = {place: column for column, place in enumerate(places)}
    first, order = _lay_out(columns)
    if first == SPARSE:
        return first, [[*places, *row] for row in block.rows]
    if order == [*range(len(places))]:
        return first, block.rows
    chosen = [None if column is None else int(column) for column in order]
    return first, [[None if column is None else row[column] for column in chosen] for row in block.rows]


def to_values(first: int, numbers: Sequence[float | None], others: Mapping[str, Any] | None) -> dict[int, Any]:
    """Give what a row holds, by place."""
    values = (
        _paired(numbers)
        if first == SPARSE
        else {place: number for place, number in enumerate(numbers, start=first) if number is not None}
    )
    for place, value in (others or {}).items():
        values[int(place)] = as_sent(value)
    return values


def _paired(numbers: Sequence[Any]) -> dict[int, Any]:
    half = len(numbers) // 2
    return dict(zip(map(int, numbers[:half]), numbers[half:], strict=True))


def as_sent(value: Any) -> Any:
    """Undo what jsonb does to large numbers: it writes 1e300 out as an integer of 301 digits."""
    if isinstance(value, dict):
        return {key: as_sent(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [as_sent(inner) for inner in value]
    return float(value) if isinstance(value, int) and abs(value) > MAX_INTEGER else value
