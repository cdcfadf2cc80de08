"""What telemetry looks like in queries and answers. Readings come in unchecked by these: see the decoder."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from marshmallow import Schema, ValidationError, fields, post_dump, post_load, pre_dump, validate, validates_schema

from iotsphere.api.errors import RefusalAnswer
from iotsphere.api.fields import Timestamp
from iotsphere.kernel.times import format_times
from iotsphere.telemetry.intervals import Grid, Interval, parse_timezone
from iotsphere.telemetry.model import (
    METRIC_NAME,
    Aggregate,
    Bucket,
    Fill,
    IntakeReport,
    LedgerEntry,
    Order,
    Point,
    Rejection,
    Summary,
    is_metric_name,
)

MAX_METRICS = 100
DEFAULT_POINTS = 1000
MAX_POINTS = 50_000
MIN_SAMPLES = 3
NO_LIMIT = f"without it {DEFAULT_POINTS}, all with max_points, and all as CSV or Arrow."
COUNTERS = ("received", "stored", "duplicates", "conflicts", "rejected")

T = TypeVar("T")


class Parsed(fields.Field[T]):
    """A text that a function of the core reads; its ValueError says what is wrong."""

    def __init__(self, parse: Callable[[str], T], **options: Any) -> None:
        super().__init__(**options)
        self._parse = parse

    def _deserialize(
        self,
        value: Any,
        attr: str | None,  # noqa: ARG002  # marshmallow's signature
        data: Mapping[str, Any] | None,  # noqa: ARG002
        **_: Any,
    ) -> T:
        if not isinstance(value, str):
            raise ValidationError("Not a valid string.")
        try:
            return self._parse(value)
        except ValueError as error:
            raise ValidationError(str(error)) from error


def parse_metrics(names: str) -> tuple[str, ...]:
    """Read names between commas, each once."""
    metrics = tuple(dict.fromkeys(names.split(",")))
    if len(metrics) > MAX_METRICS:
        raise ValueError(f"May name {MAX_METRICS} metrics at the most.")
    if not all(map(is_metric_name, metrics)):
        raise ValueError("Must be names of metrics with commas between them.")
    return metrics


def parse_aggregates(names: str) -> tuple[Aggregate, ...]:
    try:
        return tuple(dict.fromkeys(Aggregate(name) for name in names.split(",")))
    except ValueError as error:
        raise ValueError(f"Must be some of {','.join(Aggregate)}, with commas between them.") from error


METRICS = {
    "type": "string",
    "description": "Names with commas between them, such as flow,mode; without it, every metric.",
}


class ReadingBody(Schema):
    ts = Timestamp(metadata={"description": "The time of arrival where it is left out."})
    values = fields.Dict(
        keys=fields.String(metadata={"pattern": f"^{METRIC_NAME}$"}),
        required=True,
        metadata={"description": "A number, boolean, text (4 KiB), object or array (8 KiB) for each metric."},
    )


class RecordQuery(Schema):
    on_conflict = fields.String(
        load_default="keep",
        validate=validate.OneOf(["keep", "replace"]),
        metadata={"description": "What another value for a stored point does."},
    )


class LatestQuery(Schema):
    metrics = Parsed(parse_metrics, load_default=None, metadata=METRICS)


class RangeQuery(Schema):
    start = Timestamp(load_default=None, metadata={"description": "Inclusive; without it, from the first point on."})
    end = Timestamp(load_default=None, metadata={"description": "Exclusive; without it, up to the last point."})

    @validates_schema
    def _check_range(self, loaded: dict[str, Any], **_: Any) -> None:
        if loaded["start"] and loaded["end"] and loaded["start"] > loaded["end"]:
            raise ValidationError("Must not lie before start.", "end")


class RemovalQuery(RangeQuery):
    metrics = Parsed(parse_metrics, load_default=None, metadata=METRICS)


class RemovalAnswer(Schema):
    deleted = fields.Integer(metadata={"description": "Points."})


class PagedRangeQuery(RangeQuery):
    # As in PageQuery: malformed rather than invalid, whatever it is.
    cursor = fields.String(
        load_default=None,
        metadata={
            "description": "Where the page before ended. All but the limit has to be as it was asked for then."
        },
    )


class SeriesParameters(PagedRangeQuery):
    """Points as they are or, with ``interval``, figures over intervals."""

    metrics = Parsed(parse_metrics, load_default=None, metadata=METRICS)
    order = fields.Enum(Order, by_value=True, load_default=Order.ASCENDING)
    limit = fields.Integer(
        load_default=None,
        validate=validate.Range(1, MAX_POINTS),
        metadata={"description": f"Points, or intervals with figures, over all series; {NO_LIMIT}"},
    )
    max_points = fields.Integer(
        load_default=None,
        validate=validate.Range(MIN_SAMPLES, MAX_POINTS),
        metadata={"description": "So many numbers of each series that show its curve, where there are more."},
    )
    interval = Parsed(Interval.parse, metadata={"type": "string", "description": "1s to 30d, of s, m, h and d."})
    aggregates = Parsed(
        parse_aggregates,
        metadata={"type": "string", "description": f"Some of {','.join(Aggregate)}; avg without it."},
    )
    fill = fields.Enum(Fill, by_value=True, metadata={"description": "What intervals without points show."})
    timezone = Parsed(parse_timezone, metadata={"type": "string", "description": "Whose days are meant; UTC."})

    @validates_schema
    def _check_interval(self, loaded: dict[str, Any], **_: Any) -> None:
        if "interval" in loaded and loaded["max_points"]:
            raise ValidationError("Not together with an interval.", "max_points")
        alone = {"aggregates", "fill", "timezone"} & loaded.keys()
        if alone and "interval" not in loaded:
            raise ValidationError({name: ["Needs an interval."] for name in alone})

    @post_load
    def _make_summary(self, loaded: dict[str, Any], **_: Any) -> dict[str, Any]:
        interval = loaded.pop("interval", None)
        aggregates = loaded.pop("aggregates", (Aggregate.AVG,))
        fill = loaded.pop("fill", Fill.NONE)
        timezone = loaded.pop("timezone", parse_timezone("UTC"))
        if interval is None:
            return loaded | {"summary": None}
        return loaded | {"summary": Summary(Grid(interval, timezone), aggregates, fill)}


class LedgerQuery(PagedRangeQuery):
    interval = Parsed(
        Interval.parse,
        load_default=lambda: Interval.parse("1h"),
        metadata={"type": "string", "description": "Whole minutes, 1m to 30d; 1h without it."},
    )
    limit = fields.Integer(
        load_default=None,
        validate=validate.Range(1, MAX_POINTS),
        metadata={"description": f"Intervals; without it {DEFAULT_POINTS}, and all as CSV or Arrow."},
    )


class RejectionAnswer(Schema):
    index = fields.Integer(metadata={"description": "Of the reading in the request."})
    metric = fields.String(metadata={"description": "Absent where the whole reading was rejected.", "optional": True})
    code = fields.String()
    detail = fields.String()

    @post_dump
    def _leave_out(self, written: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {name: value for name, value in written.items() if value is not None}


class CountsAnswer(Schema):
    received = fields.Integer()
    stored = fields.Integer()
    duplicates = fields.Integer()
    conflicts = fields.Integer()
    rejected = fields.Integer()


class IntakeReportAnswer(CountsAnswer):
    errors = fields.List(fields.Nested(RejectionAnswer))

    @pre_dump
    def _flatten(self, report: IntakeReport, **_: Any) -> dict[str, Any]:
        return _counters(report.counts) | {"errors": report.rejections}


class BatchRejectedAnswer(RefusalAnswer, CountsAnswer):
    """Not one value was taken: the report of the batch, as a problem."""

    errors = fields.List(fields.Nested(RejectionAnswer))


class GatewayReadingBody(ReadingBody):
    device_id = fields.UUID(required=True)


class StreamRejectionAnswer(RejectionAnswer):
    index = fields.Integer(metadata={"description": "Of the line in the request, counted from 0."})
    line = fields.Integer(metadata={"description": "The same, counted from 1."})

    @pre_dump
    def _number(self, rejection: Rejection, **_: Any) -> dict[str, Any]:
        named = {name: getattr(rejection, name) for name in ("metric", "code", "detail")}
        return named | {"index": rejection.index - 1, "line": rejection.index}


class StreamCountsAnswer(CountsAnswer):
    lines = fields.Integer(
        metadata={"description": "So many, from the first on, are settled, blank ones among them."}
    )
    errors = fields.List(fields.Nested(StreamRejectionAnswer))
    errors_omitted = fields.Integer(metadata={"description": "Of rejections that are not among errors."})


class RefusedStreamAnswer(RefusalAnswer, StreamCountsAnswer):
    """A stream that was not taken to its end, or of which nothing could be taken; what is counted is settled."""


class LedgerEntryAnswer(CountsAnswer):
    ts = Timestamp(metadata={"description": "The start of the interval."})

    @pre_dump
    def _flatten(self, entry: LedgerEntry, **_: Any) -> dict[str, Any]:
        return _counters(entry.counts) | {"ts": entry.start}


def _counters(counts: Any) -> dict[str, int]:
    return {counter: getattr(counts, counter) for counter in COUNTERS}


class PointList(fields.Field[list[Point | Bucket]]):
    """Written by hand: there may be tens of thousands in an answer."""

    def _serialize(
        self,
        value: list[Point | Bucket] | None,
        attr: str | None,  # noqa: ARG002  # marshmallow's signature
        obj: Any,  # noqa: ARG002
        **_: Any,
    ) -> list[Any]:
        items = value or []
        times = format_times(item.ts for item in items)
        return [_written(ts, item) for ts, item in zip(times, items, strict=True)]


def _written(ts: str, item: Point | Bucket) -> Any:
    return [ts, item.value] if isinstance(item, Point) else {"ts": ts, **item.figures}


class SeriesAnswer(Schema):
    metric = fields.String()
    unit = fields.String(metadata={"description": "As the device type says it.", "optional": True})
    points = PointList(
        metadata={
            "type": "array",
            "items": {},
            "description": "[ts, value], or with an interval {ts, ...} with the figures that were asked for.",
        }
    )


class ArchivedStretchAnswer(Schema):
    start = Timestamp()
    end = Timestamp()


def archived_stretches() -> fields.Field[Any]:
    return fields.List(
        fields.Nested(ArchivedStretchAnswer),
        metadata={"description": "Where points of the range lie in the archive alone.", "optional": True},
    )


class SeriesPageAnswer(Schema):
    device_id = fields.UUID()
    series = fields.List(fields.Nested(SeriesAnswer))
    next_cursor = fields.String(allow_none=True)
    archived = archived_stretches()


class LatestAnswer(Schema):
    ts = Timestamp()
    value = fields.Raw()


class LatestValuesAnswer(Schema):
    values = fields.Dict(keys=fields.String(), values=fields.Nested(LatestAnswer))


def write_latest(values: str) -> bytes:
    """Write what ``LatestValuesAnswer`` says, of values that are kept as JSON."""
    return f'{{"values":{values}}}'.encode()
