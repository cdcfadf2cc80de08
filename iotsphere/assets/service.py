"""The asset database: what the things of an organisation are, whether or not they report."""

from collections.abc import Mapping

from iotsphere.assets.documents import JsonObject
from iotsphere.assets.errors import AssetBoundToDeviceError, AssetDeviceTakenError, AssetNotFoundError
from iotsphere.assets.model import Asset, AssetDescription, AssetFilter, AssetPatch
from iotsphere.assets.ports import AssetsUnitOfWorkFactory
from iotsphere.assets.properties_schema import PropertiesSchema
from iotsphere.kernel.clock import Clock
from iotsphere.kernel.errors import PreconditionFailedError
from iotsphere.kernel.identifiers import AssetId, DeviceId, IdSource, OrganisationId
from iotsphere.kernel.pagination import Page


class AssetService:
    def __init__(self, *, unit_of_work: AssetsUnitOfWorkFactory, clock: Clock, new_id: IdSource) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._new_id = new_id

    async def add_asset(
        self,
        *,
        organisation_id: OrganisationId,
        asset_type: str,
        name: str,
        device_id: DeviceId | None = None,
        properties: JsonObject | None = None,
        capabilities: list[JsonObject] | None = None,
        properties_schema: PropertiesSchema | None = None,
    ) -> Asset:
        """Add an asset; ``device_id`` makes it the asset of that device, which the caller has seen to exist.

        ``properties_schema`` is what the device's type says of properties.

        :raises RuleViolationError: the description breaks a rule; ``errors`` names the field.
        :raises AssetTooLargeError: the description is over a limit.
        :raises AssetDeviceTakenError: the device has an asset already.
        """
        description = AssetDescription(asset_type, name, properties or {}, capabilities or [])
        if properties_schema is not None:
            properties_schema.check(description.properties)
        asset = self._make(organisation_id, device_id, description)
        async with self._unit_of_work() as uow:
            await uow.assets.add(asset)
            await uow.commit()
        return asset

    async def describe_device(
        self,
        *,
        organisation_id: OrganisationId,
        device_id: DeviceId,
        asset_type: str,
        name: str,
        properties: JsonObject | None = None,
        capabilities: list[JsonObject] | None = None,
    ) -> Asset:
        """Make the asset of a newly registered device; if it has one already, that one stays as it is.

        May be called again, and at the same time: one asset results, and every call gives it. Whoever cannot
        have a refusal here makes an ``AssetDescription`` beforehand.

        :raises RuleViolationError: the description breaks a rule; ``errors`` names the field.
        :raises AssetTooLargeError: the description is over a limit.
        """
        description = AssetDescription(asset_type, name, properties or {}, capabilities or [])
        async with self._unit_of_work() as uow:
            found = await uow.assets.find_for_device(organisation_id, device_id)
            if found is not None:
                return found
            asset = self._make(organisation_id, device_id, description)
            try:
                await uow.assets.add(asset)
            except AssetDeviceTakenError:
                # Somebody else described the device since we looked.
                return _existing(await uow.assets.find_for_device(organisation_id, device_id))
            await uow.commit()
        return asset

    async def describe_devices(
        self, *, organisation_id: OrganisationId, descriptions: Mapping[DeviceId, AssetDescription]
    ) -> None:
        """Make the assets of newly registered devices; where one has an asset already, that one stays as it is."""
        assets = [self._make(organisation_id, device_id, made) for device_id, made in descriptions.items()]
        async with self._unit_of_work() as uow:
            await uow.assets.add_missing(assets)
            await uow.commit()

    async def get_asset(self, *, organisation_id: OrganisationId, asset_id: AssetId) -> Asset:
        """:raises AssetNotFoundError: there is none, or not in this organisation."""
        async with self._unit_of_work() as uow:
            return await uow.assets.get(organisation_id, asset_id)

    async def get_device_asset(self, *, organisation_id: OrganisationId, device_id: DeviceId) -> Asset:
        """:raises AssetNotFoundError: the device has none, or not in this organisation."""
        async with self._unit_of_work() as uow:
            return _existing(await uow.assets.find_for_device(organisation_id, device_id))

    async def list_assets(
        self, *, organisation_id: OrganisationId, narrowed_to: AssetFilter, limit: int, cursor: str | None
    ) -> Page[Asset]:
        async with self._unit_of_work() as uow:
            return await uow.assets.list(organisation_id, narrowed_to, limit=limit, cursor=cursor)

    async def change_asset(
        self,
        *,
        organisation_id: OrganisationId,
        asset_id: AssetId,
        patch: AssetPatch,
        expected_version: int | None,
        properties_schema: PropertiesSchema | None = None,
    ) -> Asset:
        """Apply a merge patch. Changes made at the same time are applied one after the other.

        ``properties_schema`` is what the type of the asset's device says of properties.

        :raises AssetNotFoundError: there is none, or not in this organisation.
        :raises PreconditionFailedError: it has another version than the expected one.
        :raises RuleViolationError: what results breaks a rule; ``errors`` names the field.
        :raises AssetTooLargeError: what results is over a limit.
        """
        async with self._unit_of_work() as uow:
            asset = await uow.assets.get(organisation_id, asset_id, for_update=True)
            _check_version(asset, expected_version)
            changed = asset.change(patch, changed_at=self._clock())
            if properties_schema is not None:
                properties_schema.check(changed.properties)
            await uow.assets.save(changed)
            await uow.commit()
        return changed

    async def remove_asset(
        self, *, organisation_id: OrganisationId, asset_id: AssetId, expected_version: int | None
    ) -> None:
        """Remove an asset that is not a device's.

        :raises AssetNotFoundError: there is none, or not in this organisation.
        :raises PreconditionFailedError: it has another version than the expected one.
        :raises AssetBoundToDeviceError: it is the asset of a device.
        """
        async with self._unit_of_work() as uow:
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
        )


def _existing(asset: Asset | None) -> Asset:
    if asset is None:
        raise AssetNotFoundError
    return asset


def _check_version(asset: Asset, expected_version: int | None) -> None:
    if expected_version not in {None, asset.version}:
        raise PreconditionFailedError(f"The asset is at version {asset.version}.")
