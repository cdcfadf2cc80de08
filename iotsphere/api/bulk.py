"""Things by the thousand over HTTP: a file of them in, a file of them out."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Protocol, TypeVar
from uuid import UUID

from marshmallow import Schema, fields
from quart import Response, request

from iotsphere.api.json_body import encode_json
from iotsphere.api.lines import Entry, LineForm, short
from iotsphere.api.operation import CSV, NDJSON
from iotsphere.api.spool import Spool
from iotsphere.api.streaming import streamed
from iotsphere.kernel.errors import DomainError, RuleViolationError, UnavailableError
from iotsphere.kernel.pagination import Page

MAX_IMPORT_BYTES = 64 * 1024 * 1024
MAX_IMPORT_LINES = 100_000
# One transaction each: large enough to be worth a round trip, small enough for the statement's time-out.
BATCH_LINES = 500
BATCH_BYTES = 1024 * 1024
# After so many lines others get their turn.
LINES_IN_A_ROW = 25
PAGE_ITEMS = 500
OPTIONAL = {"optional": True}

D = TypeVar("D")


@dataclass(frozen=True, slots=True)
class Settled:
    """What a line has made, or found and maybe changed."""

    id: UUID
    status: str


Outcome = UUID | Settled | DomainError
"""An id by itself is that of what was made."""
Settle = Callable[[list[D]], Awaitable[Sequence[Outcome]]]
"""Keeps what drafts say; gives for each what has become of it, or why nothing has."""


class Listing(Protocol):
    """A list of everything, page by page."""

    async def __call__(self, *, limit: int, cursor: str | None) -> Page[Any]: ...


class ImportedLineAnswer(Schema):
    """What became of one line; ``code``, ``detail`` and ``errors`` are those of a refusal."""

    line = fields.Integer()
    status = fields.String(metadata={"enum": ["created", "rejected"]})
    id = fields.UUID(metadata=OPTIONAL)
    code = fields.String(metadata=OPTIONAL)
    detail = fields.String(metadata=OPTIONAL)
    errors = fields.Dict(keys=fields.String(), values=fields.List(fields.String()), metadata=OPTIONAL)


def import_spool(
    spool: Spool,
    form: LineForm[D],
    *,
    find_refusal: Callable[[], Awaitable[DomainError | None]],
    settle: Settle[D],
) -> Response:
    """Answer for every line of the file that is the body of the present request, as they are settled."""
    entries = form.read_csv(spool) if request.mimetype == CSV else form.read_ndjson(spool)
    return streamed(import_entries(entries, find_refusal=find_refusal, settle=settle), NDJSON)


async def import_entries(
    entries: Iterator[Entry[D]],
    *,
    find_refusal: Callable[[], Awaitable[DomainError | None]],
    settle: Settle[D],
) -> AsyncIterator[bytes]:
    refusal: DomainError | None = None
    # Whoever goes away leaves nothing to be tidied up later.
    async with aclosing(_batches(entries)) as batches:
        async for batch in batches:
            # Who lost meanwhile what let them in makes no more; an outage may be over by the next batch.
            if refusal is None or isinstance(refusal, UnavailableError):
                refusal = await find_refusal()
            drafts = [entry.draft for entry in batch if not isinstance(entry.draft, DomainError)]
            outcomes: Iterator[Outcome] = repeat(refusal) if refusal else iter(await settle(drafts))
            answers = (
                _answer(entry.number, entry.draft if isinstance(entry.draft, DomainError) else next(outcomes))
                for entry in batch
            )
            yield b"".join(answers)


async def _batches(entries: Iterator[Entry[D]]) -> AsyncGenerator[list[Entry[D]], None]:
    batch: list[Entry[D]] = []
    size = 0
    for entry in entries:
        batch.append(entry)
        size += entry.size
        if len(batch) == BATCH_LINES or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
        elif len(batch) % LINES_IN_A_ROW == 0:
            await asyncio.sleep(0)
    if batch:
        yield batch


def _answer(line: int, outcome: Outcome) -> bytes:
    answer: dict[str, Any] = {"line": line}
    if isinstance(outcome, DomainError):
        answer |= {"status": "rejected", "code": outcome.code, "detail": outcome.detail}
        if isinstance(outcome, RuleViolationError):
            answer["errors"] = short(outcome.errors)
    elif isinstance(outcome, Settled):
        answer |= {"status": outcome.status, "id": outcome.id}
    else:
        answer |= {"status": "created", "id": outcome}
    return encode_json(answer) + b"\n"


async def export_file(listing: Listing, form: LineForm[Any], *, name: str, page_items: int = PAGE_ITEMS) -> Response:
    """Answer with everything that is listed, as the kind of file that the present request asks for."""
    pages = _pages(listing, page_items)
    # Asked for before anything is answered: a store that is down is then a problem like any other.
    first = await anext(pages)
    is_csv = request.accept_mimetypes.best_match([NDJSON, CSV]) == CSV
    response = streamed(_export(first, pages, form, is_csv=is_csv), CSV if is_csv else NDJSON)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.{"csv" if is_csv else "ndjson"}"'
    return response


async def _pages(listing: Listing, page_items: int) -> AsyncGenerator[Page[Any], None]:
    cursor: str | None = None
    while True:
        page = await listing(limit=page_items, cursor=cursor)
        yield page
        cursor = page.next_cursor
        if cursor is None:
            return


async def _export(
    first: Page[Any], rest: AsyncGenerator[Page[Any], None], form: LineForm[Any], *, is_csv: bool
) -> AsyncIterator[bytes]:
    """Give the file piece by piece."""
    write = form.write_csv if is_csv else form.write_ndjson
    yield (form.csv_header if is_csv else b"") + write(first.items)
    async with aclosing(rest):
        async for page in rest:
            yield write(page.items)
