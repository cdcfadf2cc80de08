"""Readings of many devices in one request without an end in sight, as gateways send them: stored while they come."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from dependency_injector.wiring import Provide, inject
from marshmallow import pre_dump
from quart import Blueprint, Response, g, request
from werkzeug.exceptions import RequestTimeout

from iotsphere.api.errors import domain_problem, http_problem
from iotsphere.api.operation import NDJSON, Admission, operation
from iotsphere.api.telemetry.lines import Portion, read_portions
from iotsphere.api.telemetry.places import LongPlaces
from iotsphere.api.telemetry.schemas import (
    COUNTERS,
    GatewayReadingBody,
    RecordQuery,
    RefusedStreamAnswer,
    StreamCountsAnswer,
)
from iotsphere.api.telemetry.unpacking import unpack_pieces
from iotsphere.kernel.actor import Actor, Role
from iotsphere.kernel.errors import DomainError
from iotsphere.telemetry.errors import BatchRejectedError
from iotsphere.telemetry.model import Counts, IntakeReport, Rejection
from iotsphere.workflows.telemetry_intake import TelemetryIntakeWorkflow

# Each may hold two portions and a line, which is about 20 MiB at the worst.
places = LongPlaces("streams of readings", most=32, most_of_one=8)
MAX_ERRORS = 100
# With an idempotency key.
MAX_REMEMBERED_BYTES = 64 * 1024 * 1024

blueprint = Blueprint("telemetry_stream", __name__)


@dataclass(slots=True)
class StreamReport:
    """What became of the lines so far; ``lines`` says how far that is."""

    counts: Counts = field(default_factory=Counts)
    lines: int = 0
    errors: list[Rejection] = field(default_factory=list)
    errors_omitted: int = 0

    def add(self, portion: Portion, settled: IntakeReport) -> None:
        self.counts += settled.counts + Counts(rejected=portion.rejected)
        self.lines = portion.last_line
        rejections = portion.rejections + settled.rejections
        if rejections:
            room = MAX_ERRORS - len(self.errors)
            self.errors += sorted(rejections, key=lambda rejection: rejection.index)[:room]
            self.errors_omitted += max(0, len(rejections) - room)


class StreamReportAnswer(StreamCountsAnswer):
    @pre_dump
    def _flatten(self, report: StreamReport, **_: Any) -> dict[str, Any]:
        counters = {counter: getattr(report.counts, counter) for counter in COUNTERS}
        return counters | {name: getattr(report, name) for name in ("lines", "errors", "errors_omitted")}


REFUSED = RefusedStreamAnswer()


@blueprint.post("/telemetry")
@operation(
    "Send readings of many devices, one on each line; they are stored while they come, and answered for at the end",
    allow=Role.OPERATOR,
    query=RecordQuery(),
    body=GatewayReadingBody(),
    # As a text, since it is shown as it stands: an object would be shown over several lines, each of them a bad one.
    example='{"device_id":"9a1c50e2-53d4-4a0e-9a5b-70d7d0a0ad5b","values":{"flow":41.5,"mode":"auto"}}\n',
    media_types=(NDJSON,),
    streamed=True,
    max_body_bytes=MAX_REMEMBERED_BYTES,
    answer=StreamReportAnswer(),
    status=201,
    creates=True,
    also=dict.fromkeys((400, 401, 403, 408, 413, 422, 503), REFUSED),
)
@inject
async def record_stream(
    actor: Actor,
    query: dict[str, Any],
    pieces: AsyncIterator[bytes],
    admission: Admission,
    intake: TelemetryIntakeWorkflow = Provide["workflows.telemetry_intake"],
) -> StreamReport:
    unpacked = unpack_pieces(pieces, request.headers.get("Content-Encoding"))
    report = StreamReport()
    replaces = query["on_conflict"] == "replace"

    async def settle(portion: Portion) -> None:
        # Who lost meanwhile what let them in stores no more.
        organisation_id = (await admission.renew()).caller.organisation_id
        settled = await intake.record_gathered(
            organisation_id=organisation_id, given=portion.given, replaces=replaces
        )
        report.add(portion, settled)

    place = places.take(actor.organisation_id)
    try:
        # From here on, whoever is refused is told how far it went.
        g.stream_report = report
        await _settle_all(read_portions(unpacked), settle)
    finally:
        place.leave()
    if report.counts.rejected and report.counts.rejected == report.counts.received:
        raise BatchRejectedError(IntakeReport(report.counts))
    return report


async def _settle_all(
    portions: AsyncGenerator[Portion, None], settle: Callable[[Portion], Coroutine[Any, Any, None]]
) -> None:
    """Settle one portion after the other; while one is being settled, the next is read."""
    settling: asyncio.Task[None] | None = None
    try:
        async with aclosing(portions):
            async for portion in portions:
                if settling is not None:
                    await settling
                settling = asyncio.create_task(settle(portion))
    finally:
        # Also if the next could not be read.
        if settling is not None:
            await settling


@blueprint.errorhandler(DomainError)
async def stream_problem(error: DomainError) -> Response:
    return domain_problem(error, **_told())


@blueprint.errorhandler(RequestTimeout)
async def slow_stream_problem(error: RequestTimeout) -> Response:
    return http_problem(error, **_told())


def _told() -> dict[str, Any]:
    report = g.get("stream_report")
    return {} if report is None else StreamReportAnswer().dump(report)
