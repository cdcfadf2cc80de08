"""What is said of devices of one kind: what they measure, can do, need, and may have in their shadow and asset."""

import re
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any, Self

from iotsphere.assets.documents import JsonObject, check_storable, refusal, size_of
from iotsphere.assets.errors import DeviceTypeTooLargeError
from iotsphere.assets.model import ASSET_TYPE, check_capabilities
from iotsphere.assets.properties_schema import check_properties_schema
from iotsphere.assets.shadow_schema import check_shadow_schema
from iotsphere.kernel.identifiers import OrganisationId
from iotsphere.kernel.pagination import CursorMalformedError, decode_cursor

METRIC_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}")
METRIC_TYPES = ("number", "boolean", "string", "object")
MAX_METRICS = 500
MAX_UNIT_LENGTH = 64
MAX_DESCRIPTION_LENGTH = 256
MAX_DEFINITION_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class DeviceTypeDefinition:
    """A definition that breaks a rule cannot be made.

    A metric is an object with ``name``, ``unit`` and ``type``, maybe a ``description``, and for numbers maybe with
    ``min`` and ``max``; a capability is one with a ``name`` and whatever else describes it; ``maintenance`` is any
    object.

    :raises RuleViolationError: ``errors`` names the field.
    :raises DeviceTypeTooLargeError: all of it together is over 64 KiB.
    """

    metrics: list[JsonObject] = field(default_factory=list)
    capabilities: list[JsonObject] = field(default_factory=list)
    shadow_schema: JsonObject | None = None
    maintenance: JsonObject = field(default_factory=dict)
    properties_schema: JsonObject | None = None

    def __post_init__(self) -> None:
        _check_metrics(self.metrics)
        # Before the size is taken, which recurses as deep as the documents go.
        check_storable(self.maintenance, "maintenance")
        check_storable(self.shadow_schema, "shadow_schema")
        check_storable(self.properties_schema, "properties_schema")
        check_capabilities(self.capabilities)
        if size_of(self.members()) > MAX_DEFINITION_BYTES:
            raise DeviceTypeTooLargeError(MAX_DEFINITION_BYTES)
        if self.shadow_schema is not None:
            check_shadow_schema(self.shadow_schema, "shadow_schema")
        if self.properties_schema is not None:
            check_properties_schema(self.properties_schema)

    def members(self) -> JsonObject:
        """Give all that is said, by name."""
        return {member: getattr(self, member) for member in MEMBERS}


MEMBERS = tuple(member.name for member in fields(DeviceTypeDefinition))
"""What is said of a device type, by name."""


@dataclass(frozen=True, slots=True)
class DeviceType:
    """A kind of device, by the name that devices give as their ``device_type``.

    ``is_shipped`` tells that it came with the platform and is as it came. One that ``is_removed`` says nothing any
    more: it is kept for its version, so that none is ever given to two definitions of a name.
    """

    organisation_id: OrganisationId
    name: str
    metrics: list[JsonObject]
    capabilities: list[JsonObject]
    shadow_schema: JsonObject | None
    maintenance: JsonObject
    created_at: datetime
    updated_at: datetime
    version: int = 1
    properties_schema: JsonObject | None = None
    is_shipped: bool = False
    is_removed: bool = False

    @property
    def is_new(self) -> bool:
        """Tell whether it is as it was first defined: a change is always later."""
        return self.created_at == self.updated_at

    @classmethod
    def define(
        cls,
        organisation_id: OrganisationId,
        name: str,
        definition: DeviceTypeDefinition,
        *,
        defined_at: datetime,
        version: int = 1,
    ) -> Self:
        """:raises RuleViolationError: no device type can have that name."""
        check_type_name(name)
        return cls(
            organisation_id=organisation_id,
            name=name,
            **definition.members(),
            created_at=defined_at,
            updated_at=defined_at,
            version=version,
        )

    def redefine(self, definition: DeviceTypeDefinition, *, changed_at: datetime) -> Self:
        """Replace all that is said; the version rises by 1, also when nothing else changes."""
        return replace(
            self, **definition.members(), updated_at=changed_at, version=self.version + 1, is_shipped=False
        )


def check_type_name(name: str) -> None:
    """:raises RuleViolationError: no device type can have that name."""
    if not ASSET_TYPE.fullmatch(name):
        raise refusal("name", "Small letters, digits and hyphens after a letter, 63 characters at most.")


def name_behind(cursor: str) -> str:
    """Give the name of the last device type that was shown.

    :raises CursorMalformedError: the cursor is none of a list of device types.
    """
    (name,) = decode_cursor(cursor, tuple[str])
    if not ASSET_TYPE.fullmatch(name):
        raise CursorMalformedError
    return name


def _check_metrics(metrics: list[JsonObject]) -> None:
    if len(metrics) > MAX_METRICS:
        raise refusal("metrics", f"No more than {MAX_METRICS}.")
    names: set[str] = set()
    for index, metric in enumerate(metrics):
        path = f"metrics.{index}"
        check_storable(metric, path)
        if not METRIC_NAME.fullmatch(metric["name"]):
            raise refusal(f"{path}.name", "A letter or '_', then up to 127 letters, digits and any of '_.:-'.")
        if metric["name"] in names:
            raise refusal(f"{path}.name", "Is the name of an earlier metric.")
        names.add(metric["name"])
        _check_range(metric, path)


def _check_range(metric: JsonObject, path: str) -> None:
    bounds: dict[str, Any] = {bound: metric[bound] for bound in ("min", "max") if bound in metric}
    for bound in bounds:
        if metric["type"] != "number":
            raise refusal(f"{path}.{bound}", "Only a number has one.")
    if len(bounds) == len(("min", "max")) and bounds["min"] > bounds["max"]:
        raise refusal(f"{path}.max", "Is less than min.")
