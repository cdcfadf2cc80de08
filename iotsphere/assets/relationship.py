import enum
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Self
from uuid import UUID

from iotsphere.assets.documents import JsonObject, check_storable, refusal, size_of
from iotsphere.assets.errors import RelationshipToItselfError, RelationshipTooLargeError
from iotsphere.assets.model import ASSET_TYPE
from iotsphere.kernel.identifiers import AssetId, OrganisationId
from iotsphere.kernel.pagination import CursorMalformedError, decode_cursor

MAX_PROPERTIES_BYTES = 16 * 1024
INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Link:
    """What tells one relationship from all others: which asset it leads from and to, and its type."""

    organisation_id: OrganisationId
    asset_id: AssetId
    type: str
    other_id: AssetId


@dataclass(frozen=True, slots=True)
class Relationship:
    """That an asset has to do with another one in some way. Relationships may go in circles, as water does.

    :raises RuleViolationError: no relationship can have that type, or ``properties`` cannot be kept; ``errors`` names
        the place.
    :raises RelationshipToItselfError: it leads back to where it comes from.
    :raises RelationshipTooLargeError: ``properties`` are over 16 KiB.
    """

    link: Link
    properties: JsonObject
    created_at: datetime
    updated_at: datetime
    version: int = 1

    def __post_init__(self) -> None:
        if not ASSET_TYPE.fullmatch(self.link.type):
            raise refusal("type", "Small letters, digits and hyphens after a letter, 63 characters at most.")
        if self.link.asset_id == self.link.other_id:
            raise RelationshipToItselfError
        check_storable(self.properties, "properties")
        if size_of(self.properties) > MAX_PROPERTIES_BYTES:
            raise RelationshipTooLargeError(MAX_PROPERTIES_BYTES)

    @property
    def is_new(self) -> bool:
        """Tell whether it is as it was first made: a change is always later."""
        return self.created_at == self.updated_at

    def describe(self, properties: JsonObject, *, changed_at: datetime) -> Self:
        """Replace the properties."""
        # Of two processes one's clock may be behind. What comes later is later.
        later = max(changed_at, self.updated_at + INSTANT)
        return replace(self, properties=properties, updated_at=later, version=self.version + 1)


class Direction(enum.StrEnum):
    OUT = "out"
    IN = "in"


@dataclass(frozen=True, slots=True)
class RelationshipFilter:
    """Which relationships are listed: those that lead from an asset, or to it, all or of one type."""

    asset_id: AssetId
    direction: Direction = Direction.OUT
    type: str | None = None


def last_behind(cursor: str) -> tuple[str, UUID]:
    """Give type and other asset of the last relationship shown.

    :raises CursorMalformedError: this is not a cursor of such a list.
    """
    last = decode_cursor(cursor, tuple[str, UUID])
    if not ASSET_TYPE.fullmatch(last[0]):
        raise CursorMalformedError
    return last
