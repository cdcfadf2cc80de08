import builtins
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self

from iotsphere.kernel.audit import AuditTrail
from iotsphere.kernel.identifiers import CredentialId, DeviceId, EventId, OrganisationId, ProvisioningKeyId
from iotsphere.kernel.pagination import Page
from iotsphere.registry.model import Credential, Device, DeviceFilter, DeviceStatus, OutboxEvent, ProvisioningKey


class DeviceRepository(Protocol):
    """Retired devices are not found by any of these."""

    async def add(self, device: Device) -> None:
        """:raises SerialNumberTakenError: another device of the organisation has the serial number."""

    async def add_untaken(self, drafted: builtins.list[Device]) -> set[DeviceId]:
        """Add those whose serial number is free, and give their ids; of two with the same one the first is added."""

    async def get(self, organisation_id: OrganisationId, device_id: DeviceId, *, for_update: bool = False) -> Device:
        """Give a device; ``for_update`` keeps others from changing it until the transaction ends.

        :raises DeviceNotFoundError: there is none, or not in this organisation.
        """

    async def find(self, device_id: DeviceId) -> Device | None:
        """Give a device, whichever organisation it is in."""

    async def find_statuses(
        self, organisation_id: OrganisationId, device_ids: Collection[DeviceId]
    ) -> dict[DeviceId, DeviceStatus]:
        """Give the status of each that is there in this organisation."""

    async def find_types(
        self, organisation_id: OrganisationId, device_ids: Collection[DeviceId]
    ) -> dict[DeviceId, str]:
        """Give the device type of each that is there in this organisation."""

    async def find_serial_numbers(
        self, organisation_id: OrganisationId, device_ids: Collection[DeviceId]
    ) -> dict[DeviceId, str]:
        """Give the serial number of each that is there in this organisation."""

    async def find_ids(self, organisation_id: OrganisationId, serial_numbers: Collection[str]) -> dict[str, DeviceId]:
        """Give the id of each that is there in this organisation, by its serial number."""

    async def save(self, device: Device) -> None: ...

    async def save_contact(self, device_id: DeviceId, *, seen_at: datetime) -> bool:
        """Move ``last_seen_at`` forward, never back, which is no change of the device and keeps its version.

        A provisioned device becomes active, which is one. Give whether it did: of contacts at once one is told so.
        """

    async def save_contacts(self, contacts: Mapping[DeviceId, datetime]) -> None:
        """Move ``last_seen_at`` of many devices forward, each to its moment, never back."""

    async def list(
        self, organisation_id: OrganisationId, narrowed_to: DeviceFilter, *, limit: int, cursor: str | None
    ) -> Page[Device]: ...


class CredentialRepository(Protocol):
    async def add(self, credential: Credential) -> None: ...

    async def get(self, device_id: DeviceId, credential_id: CredentialId, *, for_update: bool = False) -> Credential:
        """Give a credential, expired or not; ``for_update`` keeps others from changing it meanwhile.

        :raises CredentialNotFoundError: the device has none of that id that is not revoked.
        """

    async def save(self, credential: Credential) -> None: ...

    async def list(self, device_id: DeviceId, *, now: datetime, limit: int, cursor: str | None) -> Page[Credential]:
        """List those that are neither revoked nor expired."""


class ProvisioningKeyRepository(Protocol):
    """Those that are revoked are not found by any of these."""

    async def add(self, key: ProvisioningKey) -> None: ...

    async def get(
        self, organisation_id: OrganisationId, key_id: ProvisioningKeyId, *, for_update: bool = False
    ) -> ProvisioningKey:
        """Give a key; ``for_update`` keeps others from using or revoking it until the transaction ends.

        :raises ProvisioningKeyNotFoundError: there is none, or not in this organisation.
        """

    async def save(self, key: ProvisioningKey) -> None: ...

    async def list(
        self, organisation_id: OrganisationId, *, limit: int, cursor: str | None
    ) -> Page[ProvisioningKey]: ...


class OutboxRepository(Protocol):
    async def add(self, *events: OutboxEvent) -> None: ...

    async def claim_due(self, *, now: datetime, until: datetime, limit: int) -> builtins.list[OutboxEvent]:
        """Take events that are due, oldest first, and put them off until ``until``: nobody else takes them before."""

    async def postpone(self, *event_ids: EventId, due_at: datetime) -> None: ...

    async def remove(self, *event_ids: EventId) -> None: ...


class RegistryUnitOfWork(Protocol):
    devices: DeviceRepository
    credentials: CredentialRepository
    provisioning_keys: ProvisioningKeyRepository
    outbox: OutboxRepository
    audit: AuditTrail

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    async def commit(self) -> None: ...


RegistryUnitOfWorkFactory = Callable[[], RegistryUnitOfWork]
KeyMaker = Callable[[CredentialId], tuple[str, bytes]]
"""Makes the API key of a credential: the text to show once, and the hash to keep."""
ProvisioningKeyMaker = Callable[[ProvisioningKeyId], tuple[str, bytes]]
"""Likewise of a provisioning key."""
