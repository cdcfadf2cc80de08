"""Device types: what an organisation says of devices of one kind. None is needed for a device to name it."""

from iotsphere.assets.device_type import DeviceType, DeviceTypeDefinition
from iotsphere.assets.errors import DeviceTypeNotFoundError
from iotsphere.assets.known_types import KnownTypes
from iotsphere.assets.model import ASSET_TYPE
from iotsphere.assets.ports import AssetsUnitOfWork, AssetsUnitOfWorkFactory
from iotsphere.kernel.clock import Clock
from iotsphere.kernel.errors import PreconditionFailedError
from iotsphere.kernel.identifiers import OrganisationId
from iotsphere.kernel.pagination import Page


class DeviceTypeService:
    def __init__(self, *, unit_of_work: AssetsUnitOfWorkFactory, clock: Clock, known_types: KnownTypes) -> None:
        self._unit_of_work = unit_of_work
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
        """Define a device type, or replace all that was said of it; at version 1 it is new.

        Of two who define the same one at the same time, one comes after the other.

        :raises RuleViolationError: no device type can have that name.
        :raises PreconditionFailedError: it has another version than the expected one, or none.
        """
        now = self._clock()
        device_type = DeviceType.define(organisation_id, name, definition, defined_at=now)
        async with self._unit_of_work() as uow:
            if expected_version is None and await uow.device_types.add(device_type):
                defined = device_type
            else:
                present = await _get_expected(uow, device_type, expected_version)
                defined = present.redefine(definition, changed_at=now)
                await uow.device_types.save(defined)
            await uow.commit()
        self._known_types.forget(organisation_id, name)
        return defined

    async def get_device_type(self, *, organisation_id: OrganisationId, name: str) -> DeviceType:
        """:raises DeviceTypeNotFoundError: there is none, or not in this organisation."""
        if not ASSET_TYPE.fullmatch(name):
            raise DeviceTypeNotFoundError
        async with self._unit_of_work() as uow:
            return await uow.device_types.get(organisation_id, name)

    async def list_device_types(
        self, *, organisation_id: OrganisationId, limit: int, cursor: str | None
    ) -> Page[DeviceType]:
        """List the device types of an organisation by name."""
        async with self._unit_of_work() as uow:
            return await uow.device_types.list(organisation_id, limit=limit, cursor=cursor)


async def _get_expected(uow: AssetsUnitOfWork, wanted: DeviceType, expected_version: int | None) -> DeviceType:
    try:
        present = await uow.device_types.get(wanted.organisation_id, wanted.name, for_update=True)
    except DeviceTypeNotFoundError as error:
        raise PreconditionFailedError("There is no device type of that name yet.") from error
    if expected_version not in {None, present.version}:
        raise PreconditionFailedError(f"The device type is at version {present.version}.")
    return present
