"""What is to be written for lines of a file that do not touch each other: one statement of a kind."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from iotsphere.assets.asset_line import AssetFile
from iotsphere.assets.change import change_of
from iotsphere.assets.documents import is_same
from iotsphere.assets.errors import (
    AssetNotFoundError,
    AssetParentUnknownError,
    AssetTooDeepError,
    TreeBusyError,
)
from iotsphere.assets.model import Asset, AssetDescription, AssetPatch
from iotsphere.assets.place import MAX_LEVELS, Place, check_move
from iotsphere.assets.portion import AssetDraft, ImportedAsset, ImportOutcome, ImportStatus
from iotsphere.assets.ports import AssetsUnitOfWork
from iotsphere.kernel.errors import DomainError
from iotsphere.kernel.identifiers import AssetId, OrganisationId


class MovesOthersError(TreeBusyError):
    """What others have put something below meanwhile moves by itself, and not among others."""


@dataclass
class LineSettlement:
    """What has been read of what the drafts name, and what becomes of it.

    ``actor`` is who says it, as the history keeps it, and ``parents`` those of the assets that say where they belong
    that have others below them.
    """

    organisation_id: OrganisationId
    actor: str
    now: datetime
    assets: Mapping[AssetId, Asset]
    places: Mapping[AssetId, Place]
    parents: Collection[AssetId]
    added: list[Asset] = field(default_factory=list)
    changed: list[Asset] = field(default_factory=list)
    moved: list[Place] = field(default_factory=list)

    def take(self, draft: AssetDraft) -> ImportOutcome:
        """Tell what becomes of a draft, and note what is to be written for it."""
        try:
            return self._add(draft) if draft.is_new else self._change(draft)
        except DomainError as error:
            return error

    def _add(self, draft: AssetDraft) -> ImportedAsset:
        patch = draft.patch
        description = AssetDescription(
            patch["asset_type"], patch["name"], patch.get("properties") or {}, patch.get("capabilities") or []
        )
        asset = Asset(
            id=draft.asset_id,
            organisation_id=self.organisation_id,
            device_id=None,
            asset_type=description.asset_type,
            name=description.name,
            properties=description.properties,
            capabilities=description.capabilities,
            created_at=self.now,
            updated_at=self.now,
            parent_id=patch.get("parent_id"),
        )
        self._find_target(asset.parent_id)
        self.added.append(asset)
        return imported(asset, ImportStatus.CREATED, draft)

    def _change(self, draft: AssetDraft) -> ImportedAsset:
        asset = self.assets.get(draft.asset_id)
        if asset is None:
            raise AssetNotFoundError
        patch = without_same_properties(draft.patch, asset)
        changed = asset.change(patch, changed_at=self.now)
        if draft.properties_schema is not None and "properties" in patch:
            draft.properties_schema.check(changed.properties)
        if changed.parent_id != asset.parent_id:
            self._move(changed)
        elif _is_same_asset(asset, changed):
            return imported(asset, ImportStatus.UNCHANGED, draft)
        self.changed.append(changed)
        return imported(changed, ImportStatus.UPDATED, draft)

    def _move(self, asset: Asset) -> None:
        place = self.places[asset.id]
        target = self._find_target(asset.parent_id)
        check_move(place, target)
        if asset.id in self.parents:
            # When it was looked at to tell how it moves, it had none.
            raise MovesOthersError
        self.moved.append((*target, place[-1]))

    def _find_target(self, parent_id: AssetId | None) -> Place:
        if parent_id is None:
            return ()
        target = self.places.get(parent_id)
        if target is None:
            raise AssetParentUnknownError
        if len(target) == MAX_LEVELS:
            raise AssetTooDeepError(MAX_LEVELS)
        return target

    async def keep(self, uow: AssetsUnitOfWork) -> None:
        if self.added:
            added = await uow.asset_files.add(self.added)
            await self._tell(uow, ((None, asset) for asset in self.added if asset.id in added))
        if self.changed:
            await uow.asset_files.save(self.changed)
            await self._tell(uow, ((self.assets[asset.id], asset) for asset in self.changed))
        if self.moved:
            await uow.asset_files.save_places(self.moved)

    async def _tell(self, uow: AssetsUnitOfWork, changed: Iterable[tuple[Asset | None, Asset]]) -> None:
        await uow.changes.add(*(change_of(before, after, actor=self.actor) for before, after in changed))


async def begin_settlement(
    uow: AssetsUnitOfWork, file: AssetFile, drafts: Sequence[AssetDraft], now: datetime
) -> LineSettlement:
    """Read what the drafts change and name, which stays as it is until the end of the transaction."""
    organisation_id = file.organisation_id
    there = {draft.asset_id for draft in drafts if not draft.is_new}
    moving = {draft.asset_id for draft in drafts if not draft.is_new and "parent_id" in draft.patch}
    named = moving | {parent_id for draft in drafts if (parent_id := draft.patch.get("parent_id"))}
    assets = await uow.asset_files.find(organisation_id, there) if there else []
    places = await uow.asset_files.find_places(organisation_id, named) if named else {}
    known = await uow.asset_files.find_known(organisation_id, asset_ids=moving, device_ids=()) if moving else []
    return LineSettlement(
        organisation_id,
        file.actor,
        now,
        assets={asset.id: asset for asset in assets},
        places=places,
        parents={asset.id for asset in known if asset.is_parent},
    )


def imported(asset: Asset, status: ImportStatus, draft: AssetDraft) -> ImportedAsset:
    return ImportedAsset(
        asset.id,
        asset.asset_type,
        asset.name,
        asset.parent_id,
        asset.version,
        status=status,
        said=tuple(sorted(draft.patch)),
    )


def without_same_properties(patch: AssetPatch, asset: Asset) -> AssetPatch:
    """Leave out properties that are there as they are said: in a patch, nulls among them would take members away."""
    if "properties" in patch and is_same(patch["properties"], asset.properties):
        patch = patch.copy()
        del patch["properties"]
    return patch


def _is_same_asset(one: Asset, other: Asset) -> bool:
    return (
        (one.asset_type, one.name) == (other.asset_type, other.name)
        and is_same(one.properties, other.properties)
        and is_same(one.capabilities, other.capabilities)
    )
