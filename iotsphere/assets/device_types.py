"""Device types: what is said of devices of one kind. None is needed for a device to name it.

Some come with the platform and are there in every organisation, until it says something else in their place.
"""

from iotsphere.assets.device_type import DeviceType, DeviceTypeDefinition, check_type_name
from iotsphere.assets.errors import DeviceTypeNotFoundError, DeviceTypeShippedError
from iotsphere.assets.known_types import KnownTypes
from iotsphere.assets.model import ASSET_TYPE
from iotsphere.assets.ports import AssetsUnitOfWorkFactory
from iotsphere.assets.shipped_types import ShippedTypes
from iotsphere.kernel.clock import Clock
from iotsphere.kernel.errors import PreconditionFailedError
from iotsphere.kernel.identifiers import OrganisationId
from iotsphere.kernel.pagination import Page


class DeviceTypeService:
    def __init__(
        self, *, unit_of_work: AssetsUnitOfWorkFactory, shipped: ShippedTypes, clock: Clock, known_types: KnownTypes
    ) -> None:
        self._unit_of_work = unit_of_work
        self._shipped = shipped
        self._clock = clock
        self._known_types = known_types

    async def define_device_type(
        self,
        *,
        organisation_id: OrganisationId,
        name: str,
        definition: DeviceTypeDefinition,
        expected_version: int | None = None,
    ) -> DeviceType:
        """Define a device type, or replace all that was said of it, here or by the platform.

        Of two who define the same one at the same time, one comes after the other.

        :raises RuleViolationError: no device type can have that name.
        :raises PreconditionFailedError: it has another version than the expected one, or there is none.
        """
        check_type_name(name)

        def defined_after(kept: DeviceType | None) -> DeviceType:
            present = self._shipped.present(organisation_id, name, kept)
            _check_version(present, expected_version)
            if present is not None:
                return present.redefine(definition, changed_at=now)
            version = 1 if kept is None else kept.version + 1
            return DeviceType.define(organisation_id, name, definition, defined_at=now, version=version)

        now = self._clock()
        async with self._unit_of_work() as uow:
            kept = await uow.device_types.find(organisation_id, name, for_update=True)
            defined = defined_after(kept)
            if kept is not None:
                await uow.device_types.save(defined)
            elif not await uow.device_types.add(defined):
                # Somebody else was faster; what is kept once stays.
                defined = defined_after(await uow.device_types.find(organisation_id, name, for_update=True))
                await uow.device_types.save(defined)
            await uow.commit()
        self._known_types.forget(organisation_id, name)
        return defined

    async def remove_device_type(
        self, *, organisation_id: OrganisationId, name: str, expected_version: int | None
    ) -> None:
        """Take back what the organisation says of a type: then there is none, or the one that is shipped.

        :raises DeviceTypeNotFoundError: there is none, or not in this organisation.
        :raises PreconditionFailedError: it has another version than the expected one.
        :raises DeviceTypeShippedError: the organisation says nothing of it; it is as it was shipped.
        """
        if not ASSET_TYPE.fullmatch(name):
            raise DeviceTypeNotFoundError
        async with self._unit_of_work() as uow:
            kept = await uow.device_types.find(organisation_id, name, for_update=True)
            present = _existing(self._shipped.present(organisation_id, name, kept))
            _check_version(present, expected_version)
            if present.is_shipped:
                raise DeviceTypeShippedError
            emptied = present.redefine(DeviceTypeDefinition(), changed_at=self._clock())
            await uow.device_types.save(self._shipped.removed(emptied))
            await uow.commit()
        self._known_types.forget(organisation_id, name)

    async def get_device_type(self, *, organisation_id: OrganisationId, name: str) -> DeviceType:
        """:raises DeviceTypeNotFoundError: there is none, or not in this organisation."""
        if not ASSET_TYPE.fullmatch(name):
            raise DeviceTypeNotFoundError
        async with self._unit_of_work() as uow:
            kept = await uow.device_types.find(organisation_id, name)
        return _existing(self._shipped.present(organisation_id, name, kept))

    async def list_device_types(
        self, *, organisation_id: OrganisationId, limit: int, cursor: str | None
    ) -> Page[DeviceType]:
        """List the device types of an organisation, shipped ones among them, by name."""
        async with self._unit_of_work() as uow:
            kept = await uow.device_types.list(
                organisation_id, even_removed=self._shipped.names, limit=limit, cursor=cursor
            )
        return self._shipped.listed(organisation_id, kept, limit=limit, cursor=cursor)


def _existing(device_type: DeviceType | None) -> DeviceType:
    if device_type is None:
        raise DeviceTypeNotFoundError
    return device_type


def _check_version(present: DeviceType | None, expected_version: int | None) -> None:
    if expected_version is None:
        return
    if present is None:
        raise PreconditionFailedError("There is no device type of that name yet.")
    if present.version != expected_version:
        raise PreconditionFailedError(f"The device type is at version {present.version}.")
