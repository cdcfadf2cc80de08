"""Says what things are, and of devices only what their types let them be.

The registry knows the type of a device, the asset database what the type says of properties.
"""

from typing import Any

from iotsphere.assets.known_types import KnownTypes
from iotsphere.assets.model import Asset, AssetDescription, AssetPatch
from iotsphere.assets.properties_schema import PropertiesSchema
from iotsphere.assets.service import AssetService
from iotsphere.kernel.errors import RuleViolationError
from iotsphere.kernel.identifiers import AssetId, DeviceId, OrganisationId
from iotsphere.registry.errors import DeviceNotFoundError
from iotsphere.registry.service import DeviceRegistryService
from iotsphere.workflows.device_kinds import DeviceKinds


class DescriptionWorkflow:
    """Adds and changes assets. What a type says later counts when properties are next said or changed."""

    def __init__(
        self, *, devices: DeviceRegistryService, kinds: DeviceKinds, types: KnownTypes, assets: AssetService
    ) -> None:
        self._devices = devices
        self._kinds = kinds
        self._types = types
        self._assets = assets

    async def add_asset(
        self, *, organisation_id: OrganisationId, device_id: DeviceId | None = None, **said: Any
    ) -> Asset:
        """Add an asset, of a device if it is named; ``said`` is what ``AssetService.add_asset`` takes.

        :raises RuleViolationError: the organisation has no such device, or what is said breaks a rule.
        :raises AssetTooLargeError: what is said is over a limit.
        :raises AssetDeviceTakenError: the device has an asset already.
        """
        if device_id is not None:
            await self._check_device(organisation_id, device_id)
        if said.get("properties"):
            schema = await self._find_schema(device_id)
            if schema is not None:
                # What no asset could have is refused first.
                members = said.keys() - {"added_by", "parent_id"}
                schema.check(AssetDescription(**{member: said[member] for member in members}).properties)
        return await self._assets.add_asset(organisation_id=organisation_id, device_id=device_id, **said)

    async def change_asset(
        self,
        *,
        organisation_id: OrganisationId,
        asset_id: AssetId,
        changed_by: str,
        patch: AssetPatch,
        expected_version: int | None,
    ) -> Asset:
        """Apply a merge patch; properties have to fit as they are after it, if it names any.

        :raises AssetNotFoundError: there is none, or not in this organisation.
        :raises PreconditionFailedError: it has another version than the expected one.
        :raises RuleViolationError: what results breaks a rule; ``errors`` names the field.
        :raises AssetTooLargeError: what results is over a limit.
        """
        schema = None
        if "properties" in patch:
            asset = await self._assets.get_asset(organisation_id=organisation_id, asset_id=asset_id)
            schema = await self._find_schema(asset.device_id)
        return await self._assets.change_asset(
            organisation_id=organisation_id,
            asset_id=asset_id,
            changed_by=changed_by,
            patch=patch,
            expected_version=expected_version,
            properties_schema=schema,
        )

    async def _check_device(self, organisation_id: OrganisationId, device_id: DeviceId) -> None:
        try:
            await self._devices.get_device(organisation_id=organisation_id, device_id=device_id)
        except DeviceNotFoundError as error:
            raise RuleViolationError(error.detail, {"device_id": [error.detail]}) from error

    async def _find_schema(self, device_id: DeviceId | None) -> PropertiesSchema | None:
        """Give what the device's type says of properties, None where it says nothing, or there is no device."""
        kind = None if device_id is None else await self._kinds.find_kind(device_id)
        return None if kind is None else await self._types.find_properties_schema(**kind._asdict())
