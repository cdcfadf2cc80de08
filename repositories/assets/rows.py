"""An asset as a row of its table, and back."""

from typing import Any

import sqlalchemy as sa

from iotsphere.assets.model import Asset
from iotsphere.kernel.identifiers import AssetId, DeviceId, OrganisationId


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
