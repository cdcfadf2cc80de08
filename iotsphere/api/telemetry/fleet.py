"""Figures over many devices, over HTTP."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from dependency_injector.wiring import Provide, inject
from marshmallow import Schema, ValidationError, fields, post_load, validate, validates, validates_schema
from quart import Blueprint, Response

from iotsphere.api.errors import ProblemAnswer
from iotsphere.api.fields import Timestamp, text
from iotsphere.api.operation import JSON, operation
from iotsphere.api.registry.schemas import label_readings
from iotsphere.api.telemetry.formats import (
    MEDIA_TYPES,
    NAME,
    Columns,
    Table,
    figures_table,
    tell_archived,
    wanted_type,
    whole_table,
)
from iotsphere.api.telemetry.schemas import MAX_METRICS, Parsed, PointList, archived_stretches
from iotsphere.kernel.actor import Actor, Role
from iotsphere.registry.model import DeviceFilter
from iotsphere.telemetry.fleet import FleetSeries
from iotsphere.telemetry.intervals import Grid, Interval, parse_timezone
from iotsphere.telemetry.model import METRIC_NAME, Aggregate, Bucket, Fill, Summary
from iotsphere.telemetry.service import TelemetryService
from iotsphere.workflows.fleet_queries import MAX_DEVICES, FleetQueries, GroupBy

blueprint = Blueprint("fleet", __name__)


class FleetFilter(Schema):
    device_type = text(longest=64, load_default=None)
    label = text(longest=321, load_default=None, metadata={"description": "A label as key:value."})

    @validates("label")
    def _check_label(self, value: str | None, **_: Any) -> None:
        if value is not None and not label_readings(value):
            raise ValidationError("Must be a label's key and value with a colon between them.")

    @post_load
    def _make_filter(self, loaded: dict[str, Any], **_: Any) -> DeviceFilter:
        return DeviceFilter(device_type=loaded["device_type"], any_label=label_readings(loaded["label"] or ""))


class FleetQueryBody(Schema):
    devices = fields.List(fields.UUID(), validate=validate.Length(1, MAX_DEVICES))
    filter = fields.Nested(
        FleetFilter, metadata={"description": f"In place of devices: those that match, {MAX_DEVICES} at the most."}
    )
    metrics = fields.List(
        fields.String(validate=validate.Regexp(rf"{METRIC_NAME}\Z", error="Must be the name of a metric.")),
        required=True,
        validate=validate.Length(1, MAX_METRICS),
    )
    start = Timestamp(load_default=None, metadata={"description": "Inclusive; without it, from the first point on."})
    end = Timestamp(load_default=None, metadata={"description": "Exclusive; without it, up to the last point."})
    interval = Parsed(
        Interval.parse, required=True, metadata={"type": "string", "description": "1s to 30d, of s, m, h and d."}
    )
    aggregates = fields.List(
        fields.Enum(Aggregate, by_value=True),
        load_default=[Aggregate.AVG],
        validate=validate.Length(1, len(Aggregate)),
    )
    fill = fields.Enum(
        Fill, by_value=True, load_default=Fill.NONE, metadata={"description": "What intervals without points show."}
    )
    timezone = Parsed(
        parse_timezone,
        load_default=lambda: parse_timezone("UTC"),
        metadata={"type": "string", "description": "Whose days are meant; UTC."},
    )
    group_by = fields.Enum(GroupBy, by_value=True, load_default=GroupBy.DEVICE)

    @validates_schema
    def _check(self, loaded: dict[str, Any], **_: Any) -> None:
        if ("devices" in loaded) == ("filter" in loaded):
            raise ValidationError("Give either devices or a filter.", "devices")
        if loaded["start"] and loaded["end"] and loaded["start"] > loaded["end"]:
            raise ValidationError("Must not lie before start.", "end")

    @post_load
    def _make(self, loaded: dict[str, Any], **_: Any) -> dict[str, Any]:
        given = loaded.pop("filter", None)
        grid = Grid(loaded.pop("interval"), loaded.pop("timezone"))
        aggregates = tuple(dict.fromkeys(loaded.pop("aggregates")))
        return loaded | {
            "devices": loaded.get("devices") if given is None else given,
            "metrics": tuple(dict.fromkeys(loaded["metrics"])),
            "summary": Summary(grid, aggregates, loaded.pop("fill")),
        }


class FleetSeriesAnswer(Schema):
    group = fields.String(
        allow_none=True, metadata={"description": "The device's id, the device type, or null for all of them."}
    )
    device_id = fields.UUID(metadata={"description": "Where devices are asked for one by one.", "optional": True})
    device_type = fields.String(metadata={"description": "Where they are asked for by type.", "optional": True})
    metric = fields.String()
    unit = fields.String(
        metadata={"description": "Where the types of all devices of the group say the same.", "optional": True}
    )
    points = PointList(
        metadata={"type": "array", "items": {}, "description": "{ts, ...} with the figures that were asked for."}
    )


class FleetAnswer(Schema):
    series = fields.List(fields.Nested(FleetSeriesAnswer))
    archived = archived_stretches()


@blueprint.post("/telemetry/query")
@operation(
    "Read figures over intervals of many devices, each for itself, by device type or all together",
    allow=Role.VIEWER,
    body=FleetQueryBody(),
    example={"filter": {}, "metrics": ["flow"], "interval": "1h", "aggregates": ["avg", "max"]},
    answer=FleetAnswer(),
    answer_types=MEDIA_TYPES,
    also={404: ProblemAnswer()},
)
@inject
async def query_fleet(
    actor: Actor,
    body: dict[str, Any],
    fleet: FleetQueries = Provide["workflows.fleet_queries"],
    telemetry: TelemetryService = Provide["telemetry.readings"],
) -> dict[str, Any] | Response:
    found, device_ids = await fleet.read_buckets(organisation_id=actor.organisation_id, **body)
    media_type = wanted_type()
    archived = await telemetry.find_archived(device_ids=device_ids, start=body["start"], end=body["end"])
    if media_type != JSON:
        table = _fleet_table(body["summary"].aggregates).with_units(_units(found))
        return tell_archived(whole_table(table, _rows(found), media_type), archived)
    return {"series": _named(found, body["group_by"])} | ({"archived": archived} if archived else {})


def _fleet_table(aggregates: Sequence[Aggregate]) -> Table:
    """The table of one device's figures, with the group of each."""
    own = figures_table(aggregates)

    def columns(rows: Sequence[tuple[str, Bucket]]) -> Columns:
        times, *others = own.columns_of([bucket for _, bucket in rows])
        return [times, [group for group, _ in rows], *others]

    return Table(own.schema.insert(1, pa.field("group", NAME)), columns)


def _rows(found: Sequence[FleetSeries]) -> list[tuple[str, Bucket]]:
    return [(each.group, bucket) for each in found for bucket in each.buckets]


def _units(found: Sequence[FleetSeries]) -> dict[str, str]:
    """Give the unit of each metric that has the same one in all groups."""
    units: dict[str, str | None] = {}
    for each in found:
        units[each.metric] = each.unit if units.get(each.metric, each.unit) == each.unit else None
    return {metric: unit for metric, unit in units.items() if unit}


def _named(found: Sequence[FleetSeries], group_by: GroupBy) -> list[dict[str, Any]]:
    names = {GroupBy.DEVICE: "device_id", GroupBy.DEVICE_TYPE: "device_type"}
    own = names.get(group_by)
    return [
        {"group": each.group or None, "metric": each.metric, "points": each.buckets}
        | ({own: each.group} if own else {})
        | ({"unit": each.unit} if each.unit else {})
        for each in found
    ]
