"""Devices by the thousand over HTTP: a file of them in, a file of them out."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from itertools import repeat
from typing import Any

from dependency_injector.wiring import Provide, inject
from marshmallow import Schema, fields
from quart import Blueprint, Response, request

from iotsphere.api.json_body import encode_json
from iotsphere.api.operation import CSV, NDJSON, Admission, operation
from iotsphere.api.registry.lines import (
    CSV_HEADER,
    Entry,
    ImportDeviceBody,
    read_csv,
    read_ndjson,
    short,
    write_csv,
    write_ndjson,
)
from iotsphere.api.registry.schemas import DeviceAnswer, DeviceFilterQuery
from iotsphere.api.spool import Spool
from iotsphere.api.streaming import streamed
from iotsphere.kernel.actor import Actor, Role
from iotsphere.kernel.audit import Attempt
from iotsphere.kernel.errors import DomainError, RuleViolationError, UnavailableError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.kernel.pagination import Page
from iotsphere.registry.model import Device, DeviceDraft
from iotsphere.registry.service import DeviceRegistryService
from iotsphere.workflows.commissioning import CommissioningWorkflow

MAX_IMPORT_BYTES = 64 * 1024 * 1024
MAX_IMPORT_LINES = 100_000
# One transaction each: large enough to be worth a round trip, small enough for the statement's time-out.
BATCH_LINES = 500
BATCH_BYTES = 1024 * 1024
# After so many lines others get their turn.
LINES_IN_A_ROW = 25
PAGE_DEVICES = 500
OPTIONAL = {"optional": True}

blueprint = Blueprint("bulk", __name__)


class ImportedLineAnswer(Schema):
    """What became of one line; ``code``, ``detail`` and ``errors`` are those of a refusal."""

    line = fields.Integer()
    status = fields.String(metadata={"enum": ["created", "rejected"]})
    id = fields.UUID(metadata=OPTIONAL)
    code = fields.String(metadata=OPTIONAL)
    detail = fields.String(metadata=OPTIONAL)
    errors = fields.Dict(keys=fields.String(), values=fields.List(fields.String()), metadata=OPTIONAL)


@blueprint.post("/devices/import")
@operation(
    "Register the devices of a file; every line is answered for, and a bad one costs no other",
    allow=Role.OPERATOR,
    body=ImportDeviceBody(),
    media_types=(NDJSON, CSV),
    max_body_bytes=MAX_IMPORT_BYTES,
    max_lines=MAX_IMPORT_LINES,
    answer=ImportedLineAnswer(),
    answer_types=(NDJSON,),
    creates=True,
)
@inject
async def import_devices(
    attempt: Attempt,
    admission: Admission,
    spool: Spool,
    commissioning: CommissioningWorkflow = Provide["workflows.commissioning"],
) -> Response:
    entries = read_csv(spool) if request.mimetype == CSV else read_ndjson(spool)
    return streamed(_import(attempt, admission.find_refusal, entries, commissioning), NDJSON)


async def _import(
    attempt: Attempt,
    find_refusal: Callable[[], Awaitable[DomainError | None]],
    entries: Iterator[Entry],
    commissioning: CommissioningWorkflow,
) -> AsyncIterator[bytes]:
    refusal: DomainError | None = None
    # Whoever goes away leaves nothing to be tidied up later.
    async with aclosing(_batches(entries)) as batches:
        async for batch in batches:
            # Who lost meanwhile what let them in registers no more; an outage may be over by the next batch.
            if refusal is None or isinstance(refusal, UnavailableError):
                refusal = await find_refusal()
            drafts = [entry.draft for entry in batch if isinstance(entry.draft, DeviceDraft)]
            outcomes: Iterator[DeviceId | DomainError] = (
                repeat(refusal)
                if refusal
                else iter(await commissioning.register_devices(attempt=attempt, drafts=drafts))
            )
            answers = (
                _answer(entry.number, entry.draft if isinstance(entry.draft, DomainError) else next(outcomes))
                for entry in batch
            )
            yield b"".join(answers)


async def _batches(entries: Iterator[Entry]) -> AsyncGenerator[list[Entry], None]:
    batch: list[Entry] = []
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


def _answer(line: int, outcome: DeviceId | DomainError) -> bytes:
    answer: dict[str, Any] = {"line": line}
    if isinstance(outcome, DomainError):
        answer |= {"status": "rejected", "code": outcome.code, "detail": outcome.detail}
        if isinstance(outcome, RuleViolationError):
            answer["errors"] = short(outcome.errors)
    else:
        answer |= {"status": "created", "id": outcome}
    return encode_json(answer) + b"\n"


@blueprint.get("/devices/export")
@operation(
    "Export devices, as lines of JSON or as CSV; a file that imports again",
    allow=Role.OPERATOR,
    query=DeviceFilterQuery(),
    answer=DeviceAnswer(),
    answer_types=(NDJSON, CSV),
)
@inject
async def export_devices(
    actor: Actor, query: dict[str, Any], devices: DeviceRegistryService = Provide["registry.devices"]
) -> Response:
    pages = _pages(devices, organisation_id=actor.organisation_id, **query)
    # Asked for before anything is answered: a registry that is down is then a problem like any other.
    first = await anext(pages)
    is_csv = request.accept_mimetypes.best_match([NDJSON, CSV]) == CSV
    response = streamed(_export(first, pages, is_csv=is_csv), CSV if is_csv else NDJSON)
    response.headers["Content-Disposition"] = f'attachment; filename="devices.{"csv" if is_csv else "ndjson"}"'
    return response


async def _pages(devices: DeviceRegistryService, **asked: Any) -> AsyncGenerator[Page[Device], None]:
    cursor: str | None = None
    while True:
        page = await devices.list_devices(**asked, limit=PAGE_DEVICES, cursor=cursor)
        yield page
        cursor = page.next_cursor
        if cursor is None:
            return


async def _export(
    first: Page[Device], rest: AsyncGenerator[Page[Device], None], *, is_csv: bool
) -> AsyncIterator[bytes]:
    """Give the file piece by piece."""
    write = write_csv if is_csv else write_ndjson
    yield (CSV_HEADER if is_csv else b"") + write(first.items)
    async with aclosing(rest):
        async for page in rest:
            yield write(page.items)
