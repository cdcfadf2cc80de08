import re
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self, TypedDict

from iotsphere.assets.documents import JsonObject, check_storable, count_values, merge, refusal, size_of
from iotsphere.assets.errors import AssetTooLargeError
from iotsphere.kernel.identifiers import AssetId, DeviceId, OrganisationId

ASSET_TYPE = re.compile(r"[a-z][a-z0-9-]{0,62}")
MAX_NAME_LENGTH = 256
MAX_CAPABILITIES = 200
MAX_PROPERTIES_BYTES = 256 * 1024
# The database keeps them one by one: a busy one takes in so many within the time-out of a statement.
MAX_VALUES = 5_000
MAX_CAPABILITIES_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class AssetDescription:
    """What is said of a thing: its kind, its name, what it is made of, what it can do and what it is part of.

    A description that breaks a rule cannot be made. ``properties`` is any JSON object; a capability is one with a
    ``name`` and whatever else describes it.

    :raises RuleViolationError: ``errors`` names the field.
    :raises AssetTooLargeError: ``properties`` or ``capabilities`` are over 256 KiB.
    """

    asset_type: str
    name: str
    properties: JsonObject = field(default_factory=dict)
    capabilities: list[JsonObject] = field(default_factory=list)
    parent_id: AssetId | None = None

    def __post_init__(self) -> None:
        if not ASSET_TYPE.fullmatch(self.asset_type):
            raise refusal("asset_type", "Small letters, digits and hyphens after a letter, 63 characters at most.")
        _check_name(self.name, "name")
        check_storable(self.properties, "properties")
        if size_of(self.properties) > MAX_PROPERTIES_BYTES:
            raise AssetTooLargeError("properties", MAX_PROPERTIES_BYTES)
        if count_values(self.properties) > MAX_VALUES:
            raise refusal("properties", f"Hold more than {MAX_VALUES} values. Series of figures belong in telemetry.")
        check_capabilities(self.capabilities)


def _check_name(name: Any, path: str) -> None:
    if not isinstance(name, str) or not 1 <= len(name) <= MAX_NAME_LENGTH:
        raise refusal(path, f"A text of 1 to {MAX_NAME_LENGTH} characters is needed.")
    check_storable(name, path)


def check_capabilities(capabilities: list[JsonObject]) -> None:
    if len(capabilities) > MAX_CAPABILITIES:
        raise refusal("capabilities", f"No more than {MAX_CAPABILITIES}.")
    for index, capability in enumerate(capabilities):
        _check_name(capability.get("name"), f"capabilities.{index}.name")
        check_storable(capability, f"capabilities.{index}")
    if size_of(capabilities) > MAX_CAPABILITIES_BYTES:
        raise AssetTooLargeError("capabilities", MAX_CAPABILITIES_BYTES)


class AssetPatch(TypedDict, total=False):
    """An RFC 7396 merge patch. None takes a member back to being empty; capabilities are replaced as a whole.

    Another ``parent_id`` moves the asset with all that is below it; None makes it a root.
    """

    asset_type: str
    name: str
    parent_id: AssetId | None
    properties: JsonObject | None
    capabilities: list[JsonObject] | None


_DESCRIBED = frozenset({"asset_type", "name", "properties", "capabilities"})


@dataclass(frozen=True, slots=True)
class Asset:
    """A thing that the organisation owns, described; the asset of a device has its ``device_id``.

    With a ``parent_id`` it is part of another thing, and without one the root of a tree.
    """

    id: AssetId
    organisation_id: OrganisationId
    device_id: DeviceId | None
    asset_type: str
    name: str
    properties: JsonObject
    capabilities: list[JsonObject]
    created_at: datetime
    updated_at: datetime
    version: int = 1
    parent_id: AssetId | None = None

    def change(self, patch: AssetPatch, *, changed_at: datetime) -> Self:
        """Apply a merge patch; the version rises by 1, also when nothing else changes.

        Whether the tree has room for a new ``parent_id`` is not known here.

        :raises RuleViolationError: what results breaks a rule; ``errors`` names the field.
        :raises AssetTooLargeError: what results is over a limit.
        """
        # Before the merge, which recurses as deep as the patch goes.
        check_storable(patch.get("properties"), "properties")
        said = {member: value for member, value in patch.items() if member in _DESCRIBED}
        named = merge({member: getattr(self, member) for member in said}, said)
        # What the patch does not name stays, also where it was kept before rules that it would break.
        description = AssetDescription(**{"asset_type": self.asset_type, "name": self.name} | named)
        return replace(
            self,
            **{member: getattr(description, member) for member in said},
            # Of two processes one's clock may be behind. What comes later is later.
            updated_at=max(changed_at, self.updated_at),
            version=self.version + 1,
            parent_id=patch.get("parent_id", self.parent_id),
        )
