"""Telemetry over HTTP: readings in, series and figures out."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dependency_injector.wiring import Provide, inject
from quart import Blueprint, Response, request

from iotsphere.api.errors import problem, status_of
from iotsphere.api.fields import page_schema
from iotsphere.api.operation import JSON, Admission, operation
from iotsphere.api.recording import Change, record_change
from iotsphere.api.telemetry.body import MAX_BODY_BYTES, decode_batch, encode_report, report_members, unpack
from iotsphere.api.telemetry.formats import (
    LEDGER,
    MEDIA_TYPES,
    POINTS,
    figures_table,
    table_answer,
    tell_archived,
    wanted_type,
    whole_table,
)
from iotsphere.api.telemetry.schemas import (
    DEFAULT_POINTS,
    MAX_POINTS,
    BatchRejectedAnswer,
    IntakeReportAnswer,
    LatestQuery,
    LatestValuesAnswer,
    LedgerEntryAnswer,
    LedgerQuery,
    ReadingBody,
    RecordQuery,
    RemovalAnswer,
    RemovalQuery,
    SeriesPageAnswer,
    SeriesParameters,
    write_latest,
)
from iotsphere.kernel.actor import Actor, Role
from iotsphere.kernel.audit import Attempt
from iotsphere.kernel.errors import DomainError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.kernel.pagination import Page
from iotsphere.kernel.times import format_time
from iotsphere.telemetry.archived import ArchivedStretch
from iotsphere.telemetry.errors import BatchRejectedError
from iotsphere.telemetry.latest import LatestValueService
from iotsphere.telemetry.model import IntakeReport, LedgerEntry, SeriesPage, SeriesQuery
from iotsphere.telemetry.service import TelemetryService
from iotsphere.workflows.metric_units import MetricUnits

# Of a table as long as it may be: few enough for others to get their turn, many enough to be worth a transaction.
POINTS_AT_ONCE = 2_000
PATH = "/devices/<uuid:device_id>/telemetry"

blueprint = Blueprint("telemetry", __name__)


@blueprint.post(PATH)
@operation(
    "Send a reading or an array of them; every value is answered for, and one bad value costs no other",
    allow=Role.OPERATOR,
    device_may=True,
    query=RecordQuery(),
    body={"oneOf": [ReadingBody(), {"type": "array", "items": ReadingBody()}]},
    example=[{"values": {"flow": 41.5, "mode": "auto", "open": True, "pump": {"rpm": 1450}}}],
    raw_body=True,
    max_body_bytes=MAX_BODY_BYTES,
    answer=IntakeReportAnswer(),
    encode=encode_report,
    status=201,
    creates=True,
    also={422: BatchRejectedAnswer()},
)
@inject
async def record_readings(
    device_id: DeviceId,
    query: dict[str, Any],
    raw_body: bytes,
    attempt: Attempt,
    telemetry: TelemetryService = Provide["telemetry.readings"],
) -> IntakeReport:
    document = decode_batch(unpack(raw_body, request.headers.get("Content-Encoding")))
    return await telemetry.record_readings(
        device_id=device_id,
        document=document,
        replaces=query["on_conflict"] == "replace",
        organisation_id=attempt.caller.organisation_id,
    )


@blueprint.errorhandler(BatchRejectedError)
async def batch_problem(error: BatchRejectedError) -> Response:
    """Write the report that a batch with a good value in it would get, as a problem."""
    members = report_members(error.report)
    return problem(status_of(error), code=error.code, title=error.title, detail=error.detail, **members)


@blueprint.get(PATH)
@operation(
    "Read points as they were sent, as few as show the curve, or figures over intervals",
    allow=Role.VIEWER,
    device_may=True,
    query=SeriesParameters(),
    answer=SeriesPageAnswer(),
    answer_types=MEDIA_TYPES,
)
@inject
async def read_series(
    device_id: DeviceId,
    actor: Actor,
    admission: Admission,
    query: dict[str, Any],
    telemetry: TelemetryService = Provide["telemetry.readings"],
    metric_units: MetricUnits = Provide["workflows.metric_units"],
) -> dict[str, Any] | Response:
    summary, most, limit = (query.pop(name) for name in ("summary", "max_points", "limit"))
    media_type = wanted_type()
    # A table of points goes on for as long as there are any; everything else has an end.
    default = MAX_POINTS if most else DEFAULT_POINTS
    if media_type != JSON:
        default = MAX_POINTS if most or summary else POINTS_AT_ONCE
    asked = SeriesQuery(device_id, limit=limit or default, **query)

    async def read(cursor: str | None) -> SeriesPage[Any]:
        behind = replace(asked, cursor=cursor)
        if summary:
            return await telemetry.read_buckets(query=behind, summary=summary, organisation_id=actor.organisation_id)
        if most:
            return await telemetry.read_samples(query=behind, most=most, organisation_id=actor.organisation_id)
        return await telemetry.read_points(query=behind, organisation_id=actor.organisation_id)

    async def find_archived() -> list[ArchivedStretch]:
        return await telemetry.find_archived(device_ids=[device_id], start=asked.start, end=asked.end)

    units = await metric_units.find_units(device_id=device_id)
    if media_type != JSON:
        table = (figures_table(summary.aggregates) if summary else POINTS).with_units(units)
        answer = await table_answer(table, read, media_type, admission, cursor=asked.cursor, is_whole=limit is None)
        return tell_archived(answer, await find_archived())
    page = await read(asked.cursor)
    series = [
        {"metric": metric, "points": points} | ({"unit": units[metric]} if metric in units else {})
        for metric, points in page.series.items()
    ]
    archived = await find_archived()
    return {"device_id": device_id, "series": series, "next_cursor": page.next_cursor} | (
        {"archived": archived} if archived else {}
    )


def _removed(offered: Mapping[str, Any], answer: Mapping[str, int]) -> Change:
    query = offered["query"]
    bounds = {name: query[name] and format_time(query[name]) for name in ("start", "end")}
    return f"device:{offered['device_id']}", {**answer, **bounds, "metrics": query["metrics"]}


@blueprint.delete(PATH)
@operation(
    "Delete points; the ledger goes on saying what arrived",
    allow=Role.ADMIN,
    query=RemovalQuery(),
    answer=RemovalAnswer(),
    audited=_removed,
)
@inject
async def remove_points(
    attempt: Attempt,
    device_id: DeviceId,
    query: dict[str, Any],
    telemetry: TelemetryService = Provide["telemetry.readings"],
) -> dict[str, int]:
    answer = {"deleted": 0}
    try:
        async for points in telemetry.remove_points(device_id=device_id, **query):
            answer["deleted"] += points
    except DomainError:
        # What was removed before stays removed, and is told.
        if answer["deleted"]:
            await record_change(attempt, _removed({"device_id": device_id, "query": query}, answer))
        raise
    return answer


@blueprint.get(f"{PATH}/latest")
@operation(
    "Show the latest value of each metric, by its own time",
    allow=Role.VIEWER,
    device_may=True,
    query=LatestQuery(),
    answer=LatestValuesAnswer(),
    encode=write_latest,
    answer_types=MEDIA_TYPES,
)
@inject
async def show_latest(
    device_id: DeviceId,
    actor: Actor,
    query: dict[str, Any],
    latest: LatestValueService = Provide["telemetry.latest_values"],
) -> str | Response:
    media_type = wanted_type()
    asked = {"device_id": device_id, "organisation_id": actor.organisation_id, **query}
    if media_type != JSON:
        return whole_table(POINTS, await latest.read_points(**asked), media_type)
    return await latest.read_latest(**asked)


@blueprint.get(f"{PATH}/ledger")
@operation(
    "Show what arrived when, and what became of it",
    allow=Role.VIEWER,
    device_may=True,
    query=LedgerQuery(),
    answer=page_schema(LedgerEntryAnswer),
    answer_types=MEDIA_TYPES,
)
@inject
async def show_ledger(
    device_id: DeviceId,
    actor: Actor,
    admission: Admission,
    query: dict[str, Any],
    telemetry: TelemetryService = Provide["telemetry.readings"],
) -> Page[LedgerEntry] | Response:
    limit, cursor = query.pop("limit"), query.pop("cursor")
    media_type = wanted_type()
    asked = {"device_id": device_id, "organisation_id": actor.organisation_id, **query}

    async def read(cursor: str | None) -> Page[LedgerEntry]:
        return await telemetry.read_ledger(limit=limit or DEFAULT_POINTS, cursor=cursor, **asked)

    if media_type != JSON:
        return await table_answer(LEDGER, read, media_type, admission, cursor=cursor, is_whole=limit is None)
    return await read(cursor)
