"""What assets were, and who changed them."""

from datetime import datetime

from iotsphere.assets.change import AssetChange, as_it_was
from iotsphere.assets.errors import AssetVersionNotFoundError
from iotsphere.assets.model import Asset
from iotsphere.assets.ports import AssetsUnitOfWork, AssetsUnitOfWorkFactory
from iotsphere.kernel.identifiers import AssetId, OrganisationId
from iotsphere.kernel.pagination import Page
from iotsphere.kernel.times import format_time


class AssetHistoryService:
    def __init__(self, *, unit_of_work: AssetsUnitOfWorkFactory) -> None:
        self._unit_of_work = unit_of_work

    async def list_changes(
        self,
        *,
        organisation_id: OrganisationId,
        asset_id: AssetId,
        start: datetime | None,
        end: datetime | None,
        limit: int,
        cursor: str | None,
    ) -> Page[AssetChange]:
        """List changes, the newest first, with ``start`` inclusive and ``end`` exclusive.

        :raises AssetNotFoundError: there is no such asset, or not in this organisation.
        :raises CursorMalformedError: the cursor is not one of this list.
        """
        async with self._unit_of_work() as uow:
            page = await uow.changes.list(organisation_id, asset_id, start=start, end=end, limit=limit, cursor=cursor)
            if not page.items:
                await uow.assets.get(organisation_id, asset_id)
            return page

    async def get_version(self, *, organisation_id: OrganisationId, asset_id: AssetId, version: int) -> Asset:
        """Give an asset as it was at a version.

        :raises AssetNotFoundError: there is no such asset, or not in this organisation.
        :raises AssetVersionNotFoundError: it has had no such version, or it is not known any more.
        """
        async with self._unit_of_work() as uow:
            asset = await uow.assets.get(organisation_id, asset_id)
            return await _get_version(uow, asset, version)

    async def get_at(self, *, organisation_id: OrganisationId, asset_id: AssetId, at: datetime) -> Asset:
        """Give an asset as it was at a time.

        :raises AssetNotFoundError: there is no such asset, or not in this organisation.
        :raises AssetVersionNotFoundError: it was not there yet, or what it was then is not known.
        """
        async with self._unit_of_work() as uow:
            # Before the asset: whatever version it has by then, it has had the one that is found.
            version = await uow.changes.find_version_at(organisation_id, asset_id, at)
            asset = await uow.assets.get(organisation_id, asset_id)
            if version is not None:
                return await _get_version(uow, asset, version)
            if at < asset.created_at:
                raise AssetVersionNotFoundError(
                    f"The asset was not there yet: it was added at {format_time(asset.created_at)}."
                )
            raise AssetVersionNotFoundError("The history of the asset does not go back to that time.")


async def _get_version(uow: AssetsUnitOfWork, asset: Asset, version: int) -> Asset:
    if version == asset.version:
        return asset
    if version > asset.version:
        raise AssetVersionNotFoundError(f"The asset has no version {version} yet: it is at {asset.version}.")
    changes = await uow.changes.list_since_whole(asset.organisation_id, asset.id, version=version)
    if not changes:
        raise AssetVersionNotFoundError(f"The history of the asset does not go back to version {version}.")
    return as_it_was(asset, changes)
