"""For how long readings are kept, over HTTP.

All organisations share the store: the platform administrator says so for all of them.
"""

from collections.abc import Mapping
from typing import Any

from dependency_injector.wiring import Provide, inject
from marshmallow import Schema, fields, validate
from quart import Blueprint

from iotsphere.api.errors import ProblemAnswer
from iotsphere.api.fields import Timestamp, WholeNumber
from iotsphere.api.operation import operation
from iotsphere.api.recording import Change
from iotsphere.identity.errors import PlatformAdministratorRequiredError
from iotsphere.kernel.actor import Actor, Role
from iotsphere.telemetry.keeping import RetentionService
from iotsphere.telemetry.retention import RetentionClass

MAX_DAYS = 36_500

blueprint = Blueprint("retention", __name__)


class RetentionClassBody(Schema):
    raw_days = WholeNumber(
        required=True,
        allow_none=True,
        validate=validate.Range(1, MAX_DAYS),
        metadata={"description": "For how many days readings are kept at the least; null: for ever."},
    )
    archive_days = WholeNumber(
        load_default=None,
        allow_none=True,
        validate=validate.Range(1, MAX_DAYS),
        metadata={"description": "For how many days readings are kept in the archive, from the day they are of."},
    )


class RetentionClassAnswer(Schema):
    name = fields.String()
    raw_days = fields.Integer(allow_none=True)
    archive_days = fields.Integer(allow_none=True)
    dropped_before = Timestamp(metadata={"description": "Readings before this time were dropped already."})
    changed_at = Timestamp()
    version = fields.Integer()


def _redefined(offered: Mapping[str, Any], retention: RetentionClass) -> Change:
    return f"retention_class:{retention.name}", {"version": retention.version, **offered["body"]}


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
    actor: Actor, retention_class: str, retention: RetentionService = Provide["retention"]
) -> RetentionClass:
    _require_platform_administrator(actor)
    return await retention.get_class(name=retention_class)


@blueprint.put("/telemetry/retention-classes/<retention_class>")
@operation(
    "Say for how long readings are kept from now on",
    allow=Role.ADMIN,
    platform_administrator_alone=True,
    body=RetentionClassBody(),
    answer=RetentionClassAnswer(),
    versioned=True,
    conditional=True,
    audited=_redefined,
    also={404: ProblemAnswer()},
)
@inject
async def redefine_retention_class(
    actor: Actor,
    retention_class: str,
    body: dict[str, Any],
    expected_version: int | None,
    retention: RetentionService = Provide["retention"],
) -> RetentionClass:
    _require_platform_administrator(actor)
    return await retention.redefine_class(name=retention_class, expected_version=expected_version, **body)


def _require_platform_administrator(actor: Actor) -> None:
    if not actor.is_platform_administrator:
        raise PlatformAdministratorRequiredError("Only the platform administrator may do this.")
