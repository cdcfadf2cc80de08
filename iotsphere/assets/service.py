"""The asset database: what the things of an organisation are, whether or not they report."""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from iotsphere.assets.change import change_of
from iotsphere.assets.documents import JsonObject
from iotsphere.assets.errors import (
    AssetBoundToDeviceError,
    AssetDeviceTakenError,
    AssetNotFoundError,
    AssetParentUnknownError,
    AssetTooDeepError,
    TreeBusyError,
)
from iotsphere.assets.model import Asset, AssetDescription, AssetPatch
from iotsphere.assets.place import MANY, MAX_LEVELS, Place, check_move
from iotsphere.assets.ports import AssetsUnitOfWork, AssetsUnitOfWorkFactory
from iotsphere.assets.properties_schema import PropertiesSchema
from iotsphere.assets.turns import Turns
from iotsphere.kernel.clock import Clock
from iotsphere.kernel.errors import PreconditionFailedError, RuleViolationError
from iotsphere.kernel.identifiers import AssetId, DeviceId, IdSource, OrganisationId
from iotsphere.kernel.pagination import Page


class AssetService:
    """What changes assets. ``moving`` is a unit of work with time for what a request usually cannot wait for."""

    def __init__(
        self,
        *,
        unit_of_work: AssetsUnitOfWorkFactory,
        moving: AssetsUnitOfWorkFactory,
        clock: Clock,
        new_id: IdSource,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._moving = moving
        self._clock = clock
        self._new_id = new_id
        self._turns = Turns(TreeBusyError)

    async def add_asset(
        self,
        *,
        organisation_id: OrganisationId,
        added_by: str,
        asset_type: str,
        name: str,
        device_id: DeviceId | None = None,
        parent_id: AssetId | None = None,
        properties: JsonObject | None = None,
        capabilities: list[JsonObject] | None = None,
    ) -> Asset:
        """Add an asset; ``device_id`` makes it the asset of that device, which the caller has seen to exist.

        ``added_by`` is who does so, in one word, as the history keeps it.

        :raises RuleViolationError: the description breaks a rule, there is no such parent in this organisation, or
            it is too deep in the tree; ``errors`` names the field.
        :raises AssetTooLargeError: the description is over a limit.
        :raises AssetDeviceTakenError: the device has an asset already.
        :raises TreeBusyError: others of the organisation are at its trees.
        """
        description = AssetDescription(asset_type, name, properties or {}, capabilities or [], parent_id)
        asset = self._make(organisation_id, device_id, description)
        async with self._to_add(organisation_id, description) as uow:
            if parent_id is not None:
                await _get_parent(uow, organisation_id, parent_id)
            await uow.assets.add(asset)
            await uow.changes.add(change_of(None, asset, actor=added_by))
            await uow.commit()
        return asset

    async def find_refused_parents(
        self, *, organisation_id: OrganisationId, parent_ids: Collection[AssetId]
    ) -> dict[AssetId, RuleViolationError]:
        """Tell below which of these nothing can be put, and why."""
        async with self._unit_of_work() as uow:
            places = await uow.places.find(organisation_id, parent_ids)
        refused: dict[AssetId, RuleViolationError] = {
            parent_id: AssetParentUnknownError() for parent_id in parent_ids if parent_id not in places
        }
        return refused | {
            parent_id: AssetTooDeepError(MAX_LEVELS)
            for parent_id, place in places.items()
            if len(place) == MAX_LEVELS
        }

    async def describe_device(
        self,
        *,
        organisation_id: OrganisationId,
        device_id: DeviceId,
        described_by: str,
        description: AssetDescription,
    ) -> Asset:
        """Make the asset of a newly registered device; if it has one already, that one stays as it is.

        May be called again, and at the same time: one asset results, and every call gives it.

        :raises AssetParentUnknownError: what it would be part of is not there, or not in this organisation.
        :raises AssetTooDeepError: it would be too deep in the tree.
        :raises TreeBusyError: it would be part of something, and others of the organisation are at its trees.
        """
        async with self._to_add(organisation_id, description) as uow:
            found = await uow.assets.find_for_device(organisation_id, device_id)
            if found is not None:
                return found
            if description.parent_id is not None:
                await _get_parent(uow, organisation_id, description.parent_id)
            asset = self._make(organisation_id, device_id, description)
            try:
                await uow.assets.add(asset)
            except AssetDeviceTakenError:
                # Somebody else described the device since we looked.
                return _existing(await uow.assets.find_for_device(organisation_id, device_id))
            await uow.changes.add(change_of(None, asset, actor=described_by))
            await uow.commit()
        return asset

    async def describe_devices(
        self,
        *,
        organisation_id: OrganisationId,
        described_by: str,
        descriptions: Mapping[DeviceId, AssetDescription],
    ) -> None:
        """Make the assets of newly registered devices; where one has an asset already, that one stays as it is.

        Raises what ``describe_device`` does, and then has made none.
        """
        assets = [self._make(organisation_id, device_id, made) for device_id, made in descriptions.items()]
        async with self._to_add(organisation_id, *descriptions.values()) as uow:
            parent_ids = {asset.parent_id for asset in assets if asset.parent_id is not None}
            if len(await uow.places.find(organisation_id, parent_ids)) < len(parent_ids):
                raise AssetParentUnknownError
            await uow.assets.add_missing(assets)
            # What was not added, since the device had an asset, has no history.
            await uow.changes.add(*(change_of(None, asset, actor=described_by) for asset in assets))
            await uow.commit()

    async def get_asset(self, *, organisation_id: OrganisationId, asset_id: AssetId) -> Asset:
        """:raises AssetNotFoundError: there is none, or not in this organisation."""
        async with self._unit_of_work() as uow:
            return await uow.assets.get(organisation_id, asset_id)

    async def get_device_asset(self, *, organisation_id: OrganisationId, device_id: DeviceId) -> Asset:
        """:raises AssetNotFoundError: the device has none, or not in this organisation."""
        async with self._unit_of_work() as uow:
            return _existing(await uow.assets.find_for_device(organisation_id, device_id))

    async def list_ancestors(
        self, *, organisation_id: OrganisationId, asset_id: AssetId, limit: int, cursor: str | None
    ) -> Page[Asset]:
        """List what an asset is part of, from the root down to its parent.

        :raises AssetNotFoundError: there is no such asset, or not in this organisation.
        """
        async with self._unit_of_work() as uow:
            return await uow.places.list_ancestors(organisation_id, asset_id, limit=limit, cursor=cursor)

    async def list_descendants(
        self, *, organisation_id: OrganisationId, asset_id: AssetId, depth: int, limit: int, cursor: str | None
    ) -> Page[Asset]:
        """List what is below an asset, down to ``depth`` levels, each before what is below it.

        What moves between two pages may be met twice or not at all; nothing else is.

        :raises AssetNotFoundError: there is no such asset, or not in this organisation.
        """
        async with self._unit_of_work() as uow:
            await uow.places.get(organisation_id, asset_id)
            return await uow.places.list_descendants(
                organisation_id, asset_id, depth=depth, limit=limit, cursor=cursor
            )

    async def change_asset(
        self,
        *,
        organisation_id: OrganisationId,
        asset_id: AssetId,
        changed_by: str,
        patch: AssetPatch,
        expected_version: int | None,
        properties_schema: PropertiesSchema | None = None,
    ) -> Asset:
        """Apply a merge patch. Changes made at the same time are applied one after the other.

        ``properties_schema`` is what the type of the asset's device says of properties.

        :raises AssetNotFoundError: there is none, or not in this organisation.
        :raises PreconditionFailedError: it has another version than the expected one.
        :raises RuleViolationError: what results breaks a rule, there is no such parent in this organisation, or the
            tree would be too deep; ``errors`` names the field.
        :raises AssetTooLargeError: what results is over a limit.
        :raises AssetCycleError: the parent is the asset itself, or below it.
        :raises TreeBusyError: it would move, and others of the organisation are at its trees.
        """
        while True:
            may_move = "parent_id" in patch and not await self._is_below(
                organisation_id, asset_id, patch["parent_id"]
            )
            async with self._to_change(organisation_id, asset_id, may_move=may_move) as uow:
                asset = await uow.assets.get(organisation_id, asset_id, for_update=True)
                _check_version(asset, expected_version)
                changed = asset.change(patch, changed_at=self._clock())
                if properties_schema is not None:
                    properties_schema.check(changed.properties)
                if changed.parent_id != asset.parent_id:
                    if not may_move:
                        # Somebody else has moved it since we looked.
                        continue
                    await _move(uow, changed)
                await uow.assets.save(changed)
                await uow.changes.add(change_of(asset, changed, actor=changed_by))
                await uow.commit()
            return changed

    async def _is_below(self, organisation_id: OrganisationId, asset_id: AssetId, parent_id: AssetId | None) -> bool:
        async with self._unit_of_work() as uow:
            return (await uow.assets.get(organisation_id, asset_id)).parent_id == parent_id

    def _to_change(
        self, organisation_id: OrganisationId, asset_id: AssetId, *, may_move: bool
    ) -> AbstractAsyncContextManager[AssetsUnitOfWork]:
        return self._to_move(organisation_id, asset_id) if may_move else self._unit_of_work()

    def _to_add(
        self, organisation_id: OrganisationId, *descriptions: AssetDescription
    ) -> AbstractAsyncContextManager[AssetsUnitOfWork]:
        """Hold the organisation's trees with others, if something is to be part of something."""
        if all(description.parent_id is None for description in descriptions):
            return self._unit_of_work()
        return self._holding(organisation_id, alone=False)

    @asynccontextmanager
    async def _to_move(self, organisation_id: OrganisationId, asset_id: AssetId) -> AsyncIterator[AssetsUnitOfWork]:
        """Hold the organisation's trees alone, for as long as to move the asset may take."""
        is_large = await self._is_large(organisation_id, asset_id)
        async with self._holding(organisation_id, alone=True, takes_long=is_large) as uow:
            yield uow

    @asynccontextmanager
    async def _holding(
        self, organisation_id: OrganisationId, *, alone: bool, takes_long: bool = False
    ) -> AsyncIterator[AssetsUnitOfWork]:
        """Hold the organisation's trees, when it is our turn.

        :raises TreeBusyError: that did not come in time.
        """
        unit_of_work = self._moving if takes_long else self._unit_of_work
        async with self._turns.turn(organisation_id), unit_of_work() as uow:
            await uow.places.hold(organisation_id, alone=alone)
            yield uow

    async def _is_large(self, organisation_id: OrganisationId, asset_id: AssetId) -> bool:
        """Tell whether so much is below an asset that to move it takes long."""
        async with self._unit_of_work() as uow:
            place = await uow.places.get(organisation_id, asset_id)
            return await uow.places.count(place, at_most=MANY + 1) > MANY

    async def remove_asset(
        self, *, organisation_id: OrganisationId, asset_id: AssetId, expected_version: int | None
    ) -> None:
        """Remove an asset that is not a device's, its relationships and its history.

        :raises AssetNotFoundError: there is none, or not in this organisation.
        :raises PreconditionFailedError: it has another version than the expected one.
        :raises AssetBoundToDeviceError: it is the asset of a device.
        :raises AssetHasChildrenError: others are below it.
        :raises TreeBusyError: others of the organisation are at its trees.
        """
        async with self._holding(organisation_id, alone=False) as uow:
            asset = await uow.assets.get(organisation_id, asset_id, for_update=True)
            _check_version(asset, expected_version)
            if asset.device_id is not None:
                raise AssetBoundToDeviceError
            await uow.assets.remove(asset)
            await uow.commit()

    def _make(
        self, organisation_id: OrganisationId, device_id: DeviceId | None, description: AssetDescription
    ) -> Asset:
        now = self._clock()
        return Asset(
            id=AssetId(self._new_id()),
            organisation_id=organisation_id,
            device_id=device_id,
            asset_type=description.asset_type,
            name=description.name,
            properties=description.properties,
            capabilities=description.capabilities,
            created_at=now,
            updated_at=now,
            parent_id=description.parent_id,
        )


async def _move(uow: AssetsUnitOfWork, asset: Asset) -> None:
    """Put an asset, with all below it, where its parent says, while nobody else changes the tree."""
    moved = await uow.places.get(asset.organisation_id, asset.id)
    target: Place = ()
    if asset.parent_id is not None:
        target = await _get_parent(uow, asset.organisation_id, asset.parent_id)
        check_move(moved, target)
    await uow.places.save(moved, below=target)


async def _get_parent(uow: AssetsUnitOfWork, organisation_id: OrganisationId, parent_id: AssetId) -> Place:
    try:
        return await uow.places.get(organisation_id, parent_id)
    except AssetNotFoundError as error:
        raise AssetParentUnknownError from error


def _existing(asset: Asset | None) -> Asset:
    if asset is None:
        raise AssetNotFoundError
    return asset


def _check_version(asset: Asset, expected_version: int | None) -> None:
    if expected_version not in {None, asset.version}:
        raise PreconditionFailedError(f"The asset is at version {asset.version}.")
