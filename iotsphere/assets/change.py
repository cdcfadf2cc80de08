"""What the history of an asset is made of: who made each version of it, when, and how it differs from the one before.

Beside the difference, a merge patch, all that the asset was is kept of some versions, so that the others are made
again of no more patches than lie between two of those.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

import msgspec

from iotsphere.assets.documents import JsonObject, find_patch, merge
from iotsphere.assets.model import Asset
from iotsphere.kernel.identifiers import AssetId, OrganisationId
from iotsphere.kernel.pagination import decode_cursor

Version = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
UNKNOWN = "unknown"
"""Stands for whoever changed an asset before there was a history, or past the platform."""
KEPT_EVERY = 20
"""Of so many versions in a row one is kept whole, once there is a later one: the last is the asset itself."""
KEPT_VERSIONS = 10_000
"""The history goes back as many versions at the least, and fewer than KEPT_EVERY more."""


class AssetChangeKind(StrEnum):
    """How a version came about; FOUND, if nobody has told: it was there already."""

    ADDED = "added"
    CHANGED = "changed"
    FOUND = "found"


@dataclass(frozen=True, slots=True)
class AssetChange:
    """A version of an asset, and how it came about.

    ``patch`` makes it of the version before, and is None where no patch does: of the first one, and of one that was
    found. Then, and of every so many, ``whole`` is all that the asset was, unless it is so still.
    """

    organisation_id: OrganisationId
    asset_id: AssetId
    version: int
    at: datetime
    actor: str
    patch: JsonObject | None = None
    whole: JsonObject | None = None

    @property
    def kind(self) -> AssetChangeKind:
        if self.patch is not None:
            return AssetChangeKind.CHANGED
        is_told = self.version == 1 and self.actor != UNKNOWN
        return AssetChangeKind.ADDED if is_told else AssetChangeKind.FOUND

    @property
    def content(self) -> JsonObject:
        """The patch; where there is none all that the asset was, which is the patch of nothing."""
        return self.whole or {} if self.patch is None else self.patch


def change_behind(cursor: str | None) -> tuple[datetime, int] | None:
    """Give the time and the version of the last change that was shown.

    :raises CursorMalformedError: this is not a cursor of a list of changes.
    """
    return None if cursor is None else decode_cursor(cursor, tuple[datetime, Version])


def change_of(before: Asset | None, after: Asset, *, actor: str) -> AssetChange:
    """Tell how an asset has become what it is; before it was added it was nothing."""
    patch = None if before is None else find_patch(describe(before), describe(after))
    return AssetChange(after.organisation_id, after.id, after.version, after.updated_at, actor, patch)


def describe(asset: Asset) -> JsonObject:
    """Give all of an asset that may change, as JSON."""
    described: JsonObject = {
        "asset_type": asset.asset_type,
        "name": asset.name,
        "properties": asset.properties,
        "capabilities": asset.capabilities,
    }
    return described if asset.parent_id is None else described | {"parent_id": str(asset.parent_id)}


def as_it_was(asset: Asset, changes: Sequence[AssetChange]) -> Asset:
    """Make an earlier version of an asset again, of one that is kept whole and of those that followed."""
    described: JsonObject = {"parent_id": None} | (changes[0].whole or {})
    for change in changes[1:]:
        described = merge(described, change.patch)
    parent_id = described.pop("parent_id", None)
    return replace(
        asset,
        **described,
        parent_id=None if parent_id is None else AssetId(UUID(parent_id)),
        updated_at=changes[-1].at,
        version=changes[-1].version,
    )
