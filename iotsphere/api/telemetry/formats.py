"""Answers of queries as tables: CSV (RFC 4180) and streams of Arrow, a row a point, page by page as they are read."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Protocol

import pyarrow as pa
from quart import Response, request
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from iotsphere.api.json_body import encode_json
from iotsphere.api.operation import ARCHIVED, ARROW, CSV, JSON, NEXT_CURSOR, Admission
from iotsphere.api.streaming import content_type_of, streamed
from iotsphere.api.telemetry.places import LongPlace, LongPlaces
from iotsphere.api.telemetry.schemas import COUNTERS
from iotsphere.kernel.times import format_time, format_times
from iotsphere.telemetry.archived import ArchivedStretch
from iotsphere.telemetry.blocks import NUMBERS
from iotsphere.telemetry.errors import QueryBusyError
from iotsphere.telemetry.model import Aggregate, Bucket, LedgerEntry, Point

# In the order of preference where a client has none.
MEDIA_TYPES = (JSON, CSV, ARROW)
# No header may be so long that somebody on the way refuses it.
TOLD_STRETCHES = 50

TIME = pa.timestamp("us", tz="UTC")
NAME = pa.string()
NUMBER = pa.float64()
COUNT = pa.int64()

# A page of one takes a process up to a twentieth of a second, in which it does nothing else.
places = LongPlaces("long tables", most=8, most_of_one=4)

Columns = list[list[Any]]


class TablePage(Protocol):
    """A part of the rows; without a cursor there are no more."""

    @property
    def items(self) -> Sequence[Any]: ...

    @property
    def next_cursor(self) -> str | None: ...


PageReader = Callable[[str | None], Awaitable[TablePage]]
"""Reads the page behind a cursor."""


@dataclass(frozen=True, slots=True)
class Table:
    """``columns_of`` gives items column by column, as the schema names them; the first are times."""

    schema: pa.Schema
    columns_of: Callable[[Sequence[Any]], Columns]

    def with_units(self, units: Mapping[str, str]) -> "Table":
        """Tell the units of metrics, to those who read Arrow."""
        return replace(self, schema=self.schema.with_metadata({"units": encode_json(units)}))


def _point_columns(points: Sequence[Point]) -> Columns:
    values = [point.value for point in points]
    return [
        [point.ts for point in points],
        [point.metric for point in points],
        [value if type(value) in NUMBERS else None for value in values],
        [None if type(value) in NUMBERS else encode_json(value).decode() for value in values],
    ]


# What is no number is JSON beside it: so the numbers are a column of numbers, and a text is not taken for one.
POINTS = Table(pa.schema([("ts", TIME), ("metric", NAME), ("value", NUMBER), ("other", NAME)]), _point_columns)


def figures_table(aggregates: Sequence[Aggregate]) -> Table:
    kinds = [(aggregate.value, COUNT if aggregate is Aggregate.COUNT else NUMBER) for aggregate in aggregates]

    def columns(buckets: Sequence[Bucket]) -> Columns:
        figures = [[bucket.figures[aggregate] for bucket in buckets] for aggregate in aggregates]
        return [[bucket.ts for bucket in buckets], [bucket.metric for bucket in buckets], *figures]

    return Table(pa.schema([("ts", TIME), ("metric", NAME), *kinds]), columns)


def _ledger_columns(entries: Sequence[LedgerEntry]) -> Columns:
    counters = [[getattr(entry.counts, counter) for entry in entries] for counter in COUNTERS]
    return [[entry.start for entry in entries], *counters]


LEDGER = Table(pa.schema([("ts", TIME), *((counter, COUNT) for counter in COUNTERS)]), _ledger_columns)


class TableWriter(Protocol):
    def begin(self) -> bytes: ...

    def write(self, items: Sequence[Any]) -> bytes: ...

    def end(self) -> bytes: ...


class CsvWriter:
    def __init__(self, table: Table) -> None:
        self._table = table

    def begin(self) -> bytes:
        return (",".join(self._table.schema.names) + "\r\n").encode()

    def write(self, items: Sequence[Any]) -> bytes:
        times, *others = self._table.columns_of(items)
        written = io.StringIO()
        csv.writer(written).writerows(zip(format_times(times), *others, strict=True))
        return written.getvalue().encode()

    def end(self) -> bytes:
        return b""


class ArrowWriter:
    def __init__(self, table: Table) -> None:
        self._table = table
        self._pieces = io.BytesIO()
        self._stream = pa.ipc.new_stream(self._pieces, table.schema)

    def begin(self) -> bytes:
        return self._take()

    def write(self, items: Sequence[Any]) -> bytes:
        schema = self._table.schema
        columns = zip(self._table.columns_of(items), schema.types, strict=True)
        self._stream.write_batch(pa.record_batch([pa.array(*column) for column in columns], schema=schema))
        return self._take()

    def end(self) -> bytes:
        self._stream.close()
        return self._take()

    def _take(self) -> bytes:
        piece = self._pieces.getvalue()
        self._pieces.seek(0)
        self._pieces.truncate()
        return piece


def wanted_type() -> str:
    """Give the media type that the client likes best; JSON to whoever likes none of ours."""
    return _best_of_ours(request.headers.get("Accept"))


# Clients send few different ones, and weighing one takes longer than all else that is done to read a request.
@lru_cache(maxsize=256)
def _best_of_ours(accepted: str | None) -> str:
    return parse_accept_header(accepted, MIMEAccept).best_match(MEDIA_TYPES, JSON)


async def table_answer(
    table: Table, read: PageReader, media_type: str, admission: Admission, *, cursor: str | None, is_whole: bool
) -> Response:
    """Answer with the page behind the cursor or, where the whole is wanted, also with all that come after it.

    A header says how it goes on behind a page. Pages are read when the client has taken the one before: whoever reads
    slowly keeps no transaction open, and whatever is stored meanwhile and lies ahead is still to come. Before each of
    them the client is let in anew.

    :raises StreamBusyError: it would be one long table too many.
    """
    # Asked for before anything is answered: a store that is down is then a problem like any other.
    first = await read(cursor)
    writer = _writer(table, media_type)
    if first.next_cursor is None or not is_whole:
        answer = written_table(writer, first.items, media_type)
        if first.next_cursor is not None:
            answer.headers[NEXT_CURSOR] = first.next_cursor
        return answer
    place = places.take((await admission.renew()).caller.organisation_id)
    return streamed(_pieces(writer, first, LetIn(read, admission), place), media_type)


def tell_archived(response: Response, stretches: Sequence[ArchivedStretch]) -> Response:
    """Say in a header what is missing in the table."""
    if stretches:
        told = [f"{format_time(start)}/{format_time(end)}" for start, end in stretches[:TOLD_STRETCHES]]
        response.headers[ARCHIVED] = ", ".join(told + ["..."] * (len(stretches) > TOLD_STRETCHES))
    return response


def whole_table(table: Table, items: Sequence[Any], media_type: str) -> Response:
    """Answer with what is there already."""
    return written_table(_writer(table, media_type), items, media_type)


def written_table(writer: TableWriter, items: Sequence[Any], media_type: str) -> Response:
    return Response(writer.begin() + writer.write(items) + writer.end(), content_type=content_type_of(media_type))


def _writer(table: Table, media_type: str) -> TableWriter:
    return CsvWriter(table) if media_type == CSV else ArrowWriter(table)


@dataclass(frozen=True, slots=True)
class LetIn:
    """Reads further pages for a client as long as it is let in."""

    read: PageReader
    admission: Admission

    async def __call__(self, cursor: str) -> TablePage:
        """Read when there is room for it, however long that takes.

        :raises DomainError: why the client is not let in any more; or the page cannot be read.
        """
        while True:
            refusal = await self.admission.find_refusal()
            if refusal is not None:
                raise refusal
            try:
                return await self.read(cursor)
            except QueryBusyError as error:
                await asyncio.sleep(error.retry_after_seconds)


async def _pieces(writer: TableWriter, page: TablePage, read: LetIn, place: LongPlace) -> AsyncIterator[bytes]:
    try:
        yield writer.begin() + writer.write(page.items)
        while page.next_cursor is not None:
            page = await read(page.next_cursor)
            yield writer.write(page.items)
        yield writer.end()
    finally:
        place.leave()
