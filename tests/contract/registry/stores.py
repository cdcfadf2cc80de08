"""A registry database with the little that the contract suites put into it beforehand."""

from collections.abc import Callable
from typing import Any

from iotsphere.identity.model import IntegrationKey, Organisation, User
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.registry.model import Credential, Device, DeviceFilter, OutboxEvent
from repositories.registry.unit_of_work import SqlAlchemyRegistryUnitOfWork
from tests.factories.identity import build_integration_key, build_organisation, build_user
from tests.factories.registry import build_credential, build_device
from tests.fakes.registry import InMemoryRegistryUnitOfWork

ANYTHING = DeviceFilter()
RegistryUnit = InMemoryRegistryUnitOfWork | SqlAlchemyRegistryUnitOfWork


class RegistryStore:
    def __init__(self, unit_of_work: Callable[[], RegistryUnit]) -> None:
        self.unit_of_work = unit_of_work

    async def add_organisation(self, **given: Any) -> Organisation:
        organisation = build_organisation(**given)
        async with self.unit_of_work() as uow:
            await uow.organisations.add(organisation)
            await uow.commit()
        return organisation

    async def add_user(self, organisation: Organisation, **given: Any) -> User:
        user = build_user(organisation_id=organisation.id, **given)
        async with self.unit_of_work() as uow:
            await uow.users.add(user)
            await uow.commit()
        return user

    async def add_api_key(self, maker: User, **given: Any) -> IntegrationKey:
        key = build_integration_key(organisation_id=maker.organisation_id, made_by=maker.id, **given)
        async with self.unit_of_work() as uow:
            await uow.api_keys.add(key)
            await uow.commit()
        return key

    async def add_device(self, organisation: Organisation, **given: Any) -> Device:
        device = build_device(organisation_id=organisation.id, **given)
        async with self.unit_of_work() as uow:
            await uow.devices.add(device)
            await uow.commit()
        return device

    async def add_credential(self, device: Device, **given: Any) -> Credential:
        credential = build_credential(device_id=device.id, **given)
        async with self.unit_of_work() as uow:
            await uow.credentials.add(credential)
            await uow.commit()
        return credential

    async def add_events(self, *events: OutboxEvent) -> None:
        async with self.unit_of_work() as uow:
            for event in events:
                await uow.outbox.add(event)
            await uow.commit()

    async def save(self, device: Device) -> None:
        async with self.unit_of_work() as uow:
            await uow.devices.save(device)
            await uow.commit()

    async def get_device(self, organisation: Organisation, device_id: DeviceId) -> Device:
        async with self.unit_of_work() as uow:
            return await uow.devices.get(organisation.id, device_id)

    async def devices(self, organisation: Organisation, narrowed_to: DeviceFilter = ANYTHING) -> list[Device]:
        async with self.unit_of_work() as uow:
            page = await uow.devices.list(organisation.id, narrowed_to, limit=500, cursor=None)
        assert page.next_cursor is None
        return page.items
