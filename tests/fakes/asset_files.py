"""Files of assets in memory, next to what ``tests.fakes.assets`` keeps."""

import builtins
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from iotsphere.assets.asset_line import KnownAsset
from iotsphere.assets.documents import size_of
from iotsphere.assets.errors import AssetNotFoundError
from iotsphere.assets.model import Asset
from iotsphere.assets.place import Place
from iotsphere.assets.ports import AssetRepository
from iotsphere.assets.search import AssetFilter
from iotsphere.kernel.identifiers import AssetId, DeviceId, OrganisationId
from iotsphere.kernel.pagination import Page, decode_cursor, encode_cursor
from tests.fakes.pages import documents_of, within_room

PlaceOf = Callable[[Mapping[AssetId, Asset], AssetId], Place]
IsWanted = Callable[[Asset, AssetFilter], bool]


class InMemoryAssetFileRepository:
    def __init__(
        self, stored: Mapping[AssetId, Asset], assets: AssetRepository, place_of: PlaceOf, is_wanted: IsWanted
    ) -> None:
        self.stored = stored
        self.assets = assets
        self.place_of = place_of
        self.is_wanted = is_wanted

    async def find_known(
        self, organisation_id: OrganisationId, *, asset_ids: Collection[AssetId], device_ids: Collection[DeviceId]
    ) -> builtins.list[KnownAsset]:
        parents = {asset.parent_id for asset in self.stored.values()}
        return [
            KnownAsset(
                asset.id,
                asset.device_id,
                asset.parent_id,
                is_parent=asset.id in parents,
                size=size_of(asset.properties) + size_of(asset.capabilities),
            )
            for asset in self._owned(organisation_id)
            if asset.id in asset_ids or asset.device_id in device_ids
        ]

    async def find(self, organisation_id: OrganisationId, asset_ids: Collection[AssetId]) -> builtins.list[Asset]:
        return [asset for asset in self._owned(organisation_id) if asset.id in asset_ids]

    async def find_places(
        self, organisation_id: OrganisationId, asset_ids: Collection[AssetId]
    ) -> dict[AssetId, Place]:
        return {
            asset.id: self.place_of(self.stored, asset.id)
            for asset in self._owned(organisation_id)
            if asset.id in asset_ids
        }

    async def add(self, drafted: Sequence[Asset]) -> set[AssetId]:
        added = [asset for asset in drafted if asset.id not in self.stored]
        for asset in added:
            await self.assets.add(asset)
        return {asset.id for asset in added}

    async def save(self, changed: Sequence[Asset]) -> None:
        for asset in changed:
            await self.assets.save(asset)

    async def save_places(self, moved: Sequence[Place]) -> None:
        """Knows no places but those that the parents say."""

    async def list(
        self, organisation_id: OrganisationId, narrowed_to: AssetFilter, *, limit: int, cursor: str | None
    ) -> Page[Asset]:
        owned, top = self._owned(organisation_id), narrowed_to.ancestor
        if not {*narrowed_to.named} <= {asset.id for asset in owned}:
            raise AssetNotFoundError
        there = [asset for asset in owned if top is None or self._is_at_or_below(asset, top)]
        keys = sorted((*self._key_of(asset, top), asset.id) for asset in there)
        if cursor is not None:
            last = decode_cursor(cursor, tuple[datetime, UUID, tuple[int, ...]])
            keys = [key for key in keys if key[:3] > last]
        walked = keys[:limit]
        passed = [self.stored[asset_id] for *_, asset_id in walked]
        wanted = [asset for asset in passed if self.is_wanted(asset, replace(narrowed_to, ancestor=None))]
        page = within_room(wanted, limit, documents_of)
        if len(page) < len(wanted):
            return Page(page, encode_cursor(*self._key_of(page[-1], top)))
        return Page(page, encode_cursor(*walked[-1][:3]) if len(walked) == limit else None)

    def _owned(self, organisation_id: OrganisationId) -> builtins.list[Asset]:
        return [asset for asset in self.stored.values() if asset.organisation_id == organisation_id]

    def _is_at_or_below(self, asset: Asset, top: AssetId) -> bool:
        above = self.place_of(self.stored, top)
        return self.place_of(self.stored, asset.id)[: len(above)] == above

    def _key_of(self, asset: Asset, top: AssetId | None) -> tuple[datetime, UUID, Place]:
        """Give what tells the tree that an asset is in from others, and where in it the asset stands."""
        place = self.place_of(self.stored, asset.id)
        while asset.parent_id is not None and asset.id != top:
            asset = self.stored[asset.parent_id]
        return asset.created_at, asset.id, place[len(self.place_of(self.stored, asset.id)) :]
