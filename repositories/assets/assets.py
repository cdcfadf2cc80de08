"""Assets in PostgreSQL, their properties as JSONB."""

import builtins
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.assets.errors import (
    AssetDeviceTakenError,
    AssetHasChildrenError,
    AssetNotFoundError,
    AssetParentUnknownError,
    AssetTooDeepError,
)
from iotsphere.assets.model import Asset
from iotsphere.assets.place import MAX_LEVELS
from iotsphere.kernel.identifiers import AssetId, DeviceId, OrganisationId
from repositories.assets.places import LENGTH
from repositories.assets.rows import asset_to_row, portions_of, row_to_asset
from repositories.assets.tables import assets
from repositories.sql import violated_constraint

PARENT = "fk_assets_parent_id"


class SqlAlchemyAssetRepository:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, asset: Asset) -> None:
        # Not a violation to be caught: that would end the transaction, in which the other asset is then looked up.
        statement = insert(assets).values(asset_to_row(asset))
        with _refusals_of_tree():
            added = await self._connection.execute(
                statement.on_conflict_do_nothing(constraint="uq_assets_device_id").returning(assets.c.id)
            )
        if added.first() is None:
            raise AssetDeviceTakenError

    async def add_missing(self, described: builtins.list[Asset]) -> None:
        # Always in the same order: of two who add the same ones at once, neither then waits for the other.
        in_order = sorted(described, key=lambda asset: str(asset.device_id))
        statement = insert(assets).on_conflict_do_nothing(constraint="uq_assets_device_id")
        with _refusals_of_tree():
            for portion in portions_of(in_order):
                await self._connection.execute(statement, [asset_to_row(asset) for asset in portion])

    async def get(self, organisation_id: OrganisationId, asset_id: AssetId, *, for_update: bool = False) -> Asset:
        query = sa.select(assets).where(assets.c.id == asset_id, assets.c.organisation_id == organisation_id)
        # Others may go on adding below it, and relating it to others, for which its id alone has to stay.
        locked = query.with_for_update(key_share=True) if for_update else query
        row = (await self._connection.execute(locked)).first()
        if row is None:
            raise AssetNotFoundError
        return row_to_asset(row)

    async def find_names(self, organisation_id: OrganisationId, asset_ids: Collection[AssetId]) -> dict[AssetId, str]:
        wanted = sa.literal([*asset_ids], sa.ARRAY(sa.Uuid))
        query = sa.select(assets.c.id, assets.c.name).where(assets.c.id == sa.any_(wanted))
        owned = query.where(assets.c.organisation_id == organisation_id)
        return {AssetId(row.id): row.name for row in await self._connection.execute(owned)}

    async def find_for_device(self, organisation_id: OrganisationId, device_id: DeviceId) -> Asset | None:
        query = sa.select(assets).where(assets.c.device_id == device_id, assets.c.organisation_id == organisation_id)
        row = (await self._connection.execute(query)).first()
        return row_to_asset(row) if row else None

    async def save(self, asset: Asset) -> None:
        await self._connection.execute(sa.update(assets).where(_is(asset)).values(asset_to_row(asset)))

    async def remove(self, asset: Asset) -> None:
        try:
            await self._connection.execute(sa.delete(assets).where(_is(asset)))
        except IntegrityError as error:
            if violated_constraint(error) == PARENT:
                raise AssetHasChildrenError from error
            raise


@contextmanager
def _refusals_of_tree() -> Iterator[None]:
    """Say in our words that the tree has no room for what is added."""
    try:
        yield
    except IntegrityError as error:
        if violated_constraint(error) == PARENT:
            raise AssetParentUnknownError from error
        if violated_constraint(error) == LENGTH:
            raise AssetTooDeepError(MAX_LEVELS) from error
        raise


def _is(asset: Asset) -> sa.ColumnElement[bool]:
    return sa.and_(assets.c.id == asset.id, assets.c.organisation_id == asset.organisation_id)
