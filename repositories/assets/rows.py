"""An asset as a row of its table, and back."""

from collections.abc import Iterable, Iterator
from typing import Any

import sqlalchemy as sa

from iotsphere.assets.documents import size_of
from iotsphere.assets.model import Asset
from iotsphere.kernel.identifiers import AssetId, DeviceId, OrganisationId

DOCUMENTS = ("properties", "capabilities")
# Of one statement: with all its values and indexes a busy server writes that well within the statement's time-out.
MAX_STATEMENT_BYTES = 64 * 1024
# What an asset costs that says nothing.
ROW_BYTES = 256


def portions_of(assets: Iterable[Asset]) -> Iterator[list[Asset]]:
    """Part assets into as many as one statement may write, in their order."""
    portion: list[Asset] = []
    room = MAX_STATEMENT_BYTES
    for asset in assets:
        size = ROW_BYTES + size_of(asset.properties) + size_of(asset.capabilities)
        if portion and size > room:
            yield portion
            portion, room = [], MAX_STATEMENT_BYTES
        portion.append(asset)
        room -= size
    if portion:
        yield portion


def asset_to_row(asset: Asset) -> dict[str, Any]:
    return {
        "id": asset.id,
        "organisation_id": asset.organisation_id,
        "device_id": asset.device_id,
        "asset_type": asset.asset_type,
        "name": asset.name,
        "properties": asset.properties,
        "capabilities": asset.capabilities,
        "created_at": asset.created_at,
        "updated_at": asset.updated_at,
        "version": asset.version,
        "parent_id": asset.parent_id,
    }


def row_to_asset(row: sa.Row[Any]) -> Asset:
    return Asset(
        id=AssetId(row.id),
        organisation_id=OrganisationId(row.organisation_id),
        device_id=DeviceId(row.device_id) if row.device_id else None,
        asset_type=row.asset_type,
        name=row.name,
        properties=row.properties,
        capabilities=row.capabilities,
        created_at=row.created_at,
        updated_at=row.updated_at,
        version=row.version,
        parent_id=AssetId(row.parent_id) if row.parent_id else None,
    )
