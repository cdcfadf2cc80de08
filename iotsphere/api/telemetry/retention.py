"""For how long readings are kept, over HTTP.

All organisations share the store: the platform administrator says so for all of them.
"""

from collections.abc import Mapping
from typing import Any

from dependency_injector.wiring import Provide, inject
from marshmallow import Schema, fields, post_load, validate
from quart import Blueprint

from iotsphere.api.errors import ProblemAnswer
from iotsphere.api.fields import TYPE_NAME, PageQuery, Timestamp, WholeNumber, page_schema
from iotsphere.api.operation import operation
from iotsphere.api.recording import Change
from iotsphere.identity.errors import PlatformAdministratorRequiredError
from iotsphere.kernel.actor import Actor, Role
from iotsphere.kernel.pagination import Page
from iotsphere.telemetry.retention import CLASS_NAME, RetentionClass, RollupDays, Scope
from iotsphere.telemetry.retention_classes import RetentionService
from iotsphere.telemetry.retention_rules import METRICS_PATTERN

MAX_DAYS = 36_500
MAX_PRIORITY = 1_000_000
NO_PATTERN = "Must be 1 to 128 characters of the names of metrics, with * for any characters and ? for any one."
PATH = {"retention_class": {"pattern": f"^{CLASS_NAME.pattern}$"}}

blueprint = Blueprint("retention", __name__)


def _days(description: str, **options: Any) -> WholeNumber:
    return WholeNumber(
        allow_none=True, validate=validate.Range(1, MAX_DAYS), metadata={"description": description}, **options
    )


class RetentionClassBody(Schema):
    device_type = fields.String(
        load_default=None,
        allow_none=True,
        validate=TYPE_NAME,
        metadata={"description": "The class is for devices of this type alone; null: of any."},
    )
    metrics = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.Regexp(rf"{METRICS_PATTERN.pattern}\Z", error=NO_PATTERN),
        metadata={"description": "The class is for metrics like this alone: * is any characters, ? any one."},
    )
    priority = WholeNumber(
        load_default=0,
        validate=validate.Range(0, MAX_PRIORITY),
        metadata={"description": "Of several classes for a metric the one of the highest priority has it."},
    )
    raw_days = _days("For how many days readings are kept at the least; null: for ever.", required=True)
    archive_days = _days(
        "For how many days readings are kept in the archive, from the day they are of.", load_default=None
    )
    minute_rollup_days = _days("For how many days figures of minutes are kept at the least.", load_default=None)
    hour_rollup_days = _days("For how many days figures of hours are kept at the least.", load_default=None)
    day_rollup_days = _days("For how many days figures of days are kept at the least.", load_default=None)

    @post_load
    def _put_together(self, body: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {
            "scope": Scope(*(body.pop(name) for name in Scope._fields)),
            "rollup_days": RollupDays(*(body.pop(f"{name}_rollup_days") for name in RollupDays._fields)),
            **body,
        }


class RetentionClassAnswer(Schema):
    name = fields.String()
    device_type = fields.String(attribute="scope.device_type", allow_none=True)
    metrics = fields.String(attribute="scope.metrics", allow_none=True)
    priority = fields.Integer(attribute="scope.priority")
    raw_days = fields.Integer(allow_none=True)
    archive_days = fields.Integer(allow_none=True)
    minute_rollup_days = fields.Integer(attribute="rollup_days.minute", allow_none=True)
    hour_rollup_days = fields.Integer(attribute="rollup_days.hour", allow_none=True)
    day_rollup_days = fields.Integer(attribute="rollup_days.day", allow_none=True)
    dropped_before = Timestamp(metadata={"description": "Readings before this time were dropped already."})
    changed_at = Timestamp()
    version = fields.Integer()


def _redefined(_: Mapping[str, Any], retention: RetentionClass) -> Change:
    said = RetentionClassAnswer(exclude=("name", "dropped_before", "changed_at")).dump(retention)
    return f"retention_class:{retention.name}", said


def _removed(offered: Mapping[str, Any], _: None) -> Change:
    return f"retention_class:{offered['retention_class']}", {}


@blueprint.get("/telemetry/retention-classes")
@operation(
    "List for how long readings are kept, by name of the class",
    allow=Role.ADMIN,
    platform_administrator_alone=True,
    query=PageQuery(),
    answer=page_schema(RetentionClassAnswer),
)
@inject
async def list_retention_classes(
    actor: Actor, query: dict[str, Any], retention: RetentionService = Provide["telemetry.retention"]
) -> Page[RetentionClass]:
    _require_platform_administrator(actor)
    return await retention.list_classes(**query)


@blueprint.get("/telemetry/retention-classes/<retention_class>")
@operation(
    "Show for how long readings are kept",
    allow=Role.ADMIN,
    platform_administrator_alone=True,
    answer=RetentionClassAnswer(),
    versioned=True,
    also={404: ProblemAnswer()},
)
@inject
async def get_retention_class(
    actor: Actor, retention_class: str, retention: RetentionService = Provide["telemetry.retention"]
) -> RetentionClass:
    _require_platform_administrator(actor)
    return await retention.get_class(name=retention_class)


@blueprint.put("/telemetry/retention-classes/<retention_class>")
@operation(
    "Say which readings are of a class, and for how long they are kept from now on",
    allow=Role.ADMIN,
    platform_administrator_alone=True,
    body=RetentionClassBody(),
    example={"raw_days": 400, "archive_days": 3650},
    answer=RetentionClassAnswer(),
    versioned=True,
    conditional=True,
    location="/api/v1/telemetry/retention-classes/{name}",
    is_new=lambda retention: retention.version == 1,
    audited=_redefined,
    path=PATH,
    also={409: ProblemAnswer()},
)
@inject
async def redefine_retention_class(
    actor: Actor,
    retention_class: str,
    body: dict[str, Any],
    expected_version: int | None,
    retention: RetentionService = Provide["telemetry.retention"],
) -> RetentionClass:
    _require_platform_administrator(actor)
    return await retention.redefine_class(name=retention_class, expected_version=expected_version, **body)


@blueprint.delete("/telemetry/retention-classes/<retention_class>")
@operation(
    "Let a class be for nothing any more; what is of it already goes by its ages",
    allow=Role.ADMIN,
    platform_administrator_alone=True,
    status=204,
    conditional=True,
    audited=_removed,
    path=PATH,
    also={409: ProblemAnswer()},
)
@inject
async def remove_retention_class(
    actor: Actor,
    retention_class: str,
    expected_version: int | None,
    retention: RetentionService = Provide["telemetry.retention"],
) -> None:
    _require_platform_administrator(actor)
    await retention.remove_class(name=retention_class, expected_version=expected_version)


def _require_platform_administrator(actor: Actor) -> None:
    if not actor.is_platform_administrator:
        raise PlatformAdministratorRequiredError("Only the platform administrator may do this.")
