"""The registry database in memory; the contract suite holds it to what PostgreSQL does."""

import builtins
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from types import TracebackType
from typing import Self
from uuid import UUID

from iotsphere.audit.model import ChainHead
from iotsphere.audit.ports import AuditTrailRepository
from iotsphere.identity.model import IntegrationKey, KeyHolder, Organisation, StoredSigningKey, User
from iotsphere.identity.ports import (
    ApiKeyRepository,
    IdempotencyRepository,
    KeyRepository,
    OrganisationRepository,
    SessionRepository,
    SigningKeyRepository,
    UserRepository,
)
from iotsphere.kernel.actor import Actor, ActorKind
from iotsphere.kernel.audit import AuditEntry, AuditTrail
from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import (
    CredentialId,
    DeviceId,
    EventId,
    OrganisationId,
    ProvisioningKeyId,
    SigningKeyId,
    UserId,
)
from iotsphere.kernel.pagination import Page
from iotsphere.registry.errors import (
    CredentialNotFoundError,
    DeviceNotFoundError,
    ProvisioningKeyNotFoundError,
    SerialNumberTakenError,
)
from iotsphere.registry.model import Credential, Device, DeviceFilter, DeviceStatus, OutboxEvent, ProvisioningKey
from iotsphere.registry.ports import (
    CredentialRepository,
    DeviceRepository,
    OutboxRepository,
    ProvisioningKeyRepository,
)
from tests.fakes.audit import InMemoryAuditTrail
from tests.fakes.identity import (
    InMemoryApiKeyRepository,
    InMemoryIdempotencyRepository,
    InMemoryOrganisationRepository,
    InMemorySessionRepository,
    InMemorySigningKeyRepository,
    InMemoryUserRepository,
    KeptIdempotencyRecord,
    KeptRefreshToken,
    KeptSession,
    page_of,
)


@dataclass
class RegistryTables:
    organisations: dict[OrganisationId, Organisation] = field(default_factory=dict)
    users: dict[UserId, User] = field(default_factory=dict)
    sessions: dict[UUID, KeptSession] = field(default_factory=dict)
    refresh_tokens: dict[bytes, KeptRefreshToken] = field(default_factory=dict)
    api_keys: dict[CredentialId, IntegrationKey] = field(default_factory=dict)
    signing_keys: dict[SigningKeyId, StoredSigningKey] = field(default_factory=dict)
    devices: dict[DeviceId, Device] = field(default_factory=dict)
    credentials: dict[CredentialId, Credential] = field(default_factory=dict)
    provisioning_keys: dict[ProvisioningKeyId, ProvisioningKey] = field(default_factory=dict)
    outbox: dict[EventId, OutboxEvent] = field(default_factory=dict)
    idempotency: dict[tuple[str, str], KeptIdempotencyRecord] = field(default_factory=dict)
    # A refusal changes nothing but this.
    audit: dict[UUID, AuditEntry] = field(default_factory=dict, compare=False)
    places: dict[UUID, ChainHead] = field(default_factory=dict, compare=False)

    def copy(self) -> "RegistryTables":
        return RegistryTables(**{table.name: dict(getattr(self, table.name)) for table in fields(self)})


class InMemoryDeviceRepository:
    def __init__(self, stored: dict[DeviceId, Device]) -> None:
        self._stored = stored

    async def add(self, device: Device) -> None:
        if any(
            (other.organisation_id, other.serial_number) == (device.organisation_id, device.serial_number)
            for other in _present(self._stored)
        ):
            raise SerialNumberTakenError(device.serial_number)
        self._stored[device.id] = device

    async def add_untaken(self, drafted: builtins.list[Device]) -> set[DeviceId]:
        added = set()
        for device in drafted:
            with suppress(SerialNumberTakenError):
                await self.add(device)
                added.add(device.id)
        return added

    async def get(self, organisation_id: OrganisationId, device_id: DeviceId, *, for_update: bool = False) -> Device:
        device = self._stored.get(device_id)
        if device is None or device not in _present(self._stored) or device.organisation_id != organisation_id:
            raise DeviceNotFoundError
        return device

    async def find(self, device_id: DeviceId) -> Device | None:
        device = self._stored.get(device_id)
        return device if device in _present(self._stored) else None

    async def find_statuses(
        self, organisation_id: OrganisationId, device_ids: Collection[DeviceId]
    ) -> dict[DeviceId, DeviceStatus]:
        return {
            device.id: device.status
            for device in _present(self._stored)
            if device.id in device_ids and device.organisation_id == organisation_id
        }

    async def find_types(
        self, organisation_id: OrganisationId, device_ids: Collection[DeviceId]
    ) -> dict[DeviceId, str]:
        return {
            device.id: device.device_type
            for device in _present(self._stored)
            if device.id in device_ids and device.organisation_id == organisation_id
        }

    async def find_serial_numbers(
        self, organisation_id: OrganisationId, device_ids: Collection[DeviceId]
    ) -> dict[DeviceId, str]:
        return {
            device.id: device.serial_number
            for device in _present(self._stored)
            if device.id in device_ids and device.organisation_id == organisation_id
        }

    async def find_ids(self, organisation_id: OrganisationId, serial_numbers: Collection[str]) -> dict[str, DeviceId]:
        return {
            device.serial_number: device.id
            for device in _present(self._stored)
            if device.serial_number in serial_numbers and device.organisation_id == organisation_id
        }

    async def save(self, device: Device) -> None:
        if device.id in self._stored:
            self._stored[device.id] = device

    async def save_contact(self, device_id: DeviceId, *, seen_at: datetime) -> bool:
        device = self._stored.get(device_id)
        if device is None:
            return False
        self._stored[device_id] = _contacted(device, seen_at)
        return device.status is DeviceStatus.PROVISIONED

    async def save_contacts(self, contacts: Mapping[DeviceId, datetime]) -> None:
        for device_id, seen_at in contacts.items():
            device = self._stored.get(device_id)
            if device is not None:
                self._stored[device_id] = replace(device, last_seen_at=max(seen_at, device.last_seen_at or seen_at))

    async def list(
        self, organisation_id: OrganisationId, narrowed_to: DeviceFilter, *, limit: int, cursor: str | None
    ) -> Page[Device]:
        found = (
            device
            for device in _present(self._stored)
            if device.organisation_id == organisation_id and _is_within(device, narrowed_to)
        )
        return page_of(found, limit, cursor)


def _present(stored: dict[DeviceId, Device]) -> list[Device]:
    return [device for device in stored.values() if device.status is not DeviceStatus.RETIRED]


def _contacted(device: Device, seen_at: datetime) -> Device:
    latest = max(seen_at, device.last_seen_at or seen_at)
    if device.status is not DeviceStatus.PROVISIONED:
        return replace(device, last_seen_at=latest)
    return replace(
        device,
        last_seen_at=latest,
        status=DeviceStatus.ACTIVE,
        updated_at=seen_at,
        version=device.version + 1,
    )


def _is_within(device: Device, narrowed_to: DeviceFilter) -> bool:
    return (
        narrowed_to.device_type in {None, device.device_type}
        and narrowed_to.status in {None, device.status}
        and (not narrowed_to.any_label or not device.labels.items().isdisjoint(narrowed_to.any_label))
        and any((narrowed_to.q or "").lower() in text.lower() for text in (device.serial_number, device.name))
    )


class InMemoryCredentialRepository:
    def __init__(self, stored: dict[CredentialId, Credential]) -> None:
        self._stored = stored

    async def add(self, credential: Credential) -> None:
        self._stored[credential.id] = credential

    async def get(self, device_id: DeviceId, credential_id: CredentialId, *, for_update: bool = False) -> Credential:
        credential = self._stored.get(credential_id)
        if credential is None or credential.device_id != device_id or credential.revoked_at is not None:
            raise CredentialNotFoundError
        return credential

    async def save(self, credential: Credential) -> None:
        if credential.id in self._stored:
            self._stored[credential.id] = credential

    async def list(self, device_id: DeviceId, *, now: datetime, limit: int, cursor: str | None) -> Page[Credential]:
        found = (
            credential
            for credential in self._stored.values()
            if credential.device_id == device_id and credential.is_live(now=now)
        )
        return page_of(found, limit, cursor)


class InMemoryKeyRepository:
    def __init__(self, tables: RegistryTables) -> None:
        self._tables = tables

    async def find(self, key_id: UUID) -> KeyHolder | None:
        credential = self._tables.credentials.get(CredentialId(key_id))
        if credential is not None and credential.revoked_at is None:
            return self._held_by_device(credential)
        key = self._tables.api_keys.get(CredentialId(key_id))
        return self._held_by_integration(key) if key is not None else None

    async def find_provisioner(self, key_id: UUID) -> KeyHolder | None:
        key = self._tables.provisioning_keys.get(ProvisioningKeyId(key_id))
        if key is None or key.revoked_at is not None:
            return None
        actor = Actor(ActorKind.PROVISIONING_KEY, key.id, key.organisation_id)
        return KeyHolder(key.id, key.secret_hash, None, actor)

    def _held_by_device(self, credential: Credential) -> KeyHolder | None:
        device = self._tables.devices[credential.device_id]
        if device.status is DeviceStatus.RETIRED:
            return None
        actor = Actor(ActorKind.DEVICE, device.id, device.organisation_id, device_id=device.id)
        return KeyHolder(credential.id, credential.secret_hash, credential.expires_at, actor, device.status)

    def _held_by_integration(self, key: IntegrationKey) -> KeyHolder:
        role = min(key.role, self._tables.users[key.made_by].role)
        actor = Actor(ActorKind.INTEGRATION, key.id, key.organisation_id, role=role)
        return KeyHolder(key.id, key.secret_hash, key.expires_at, actor)


class InMemoryProvisioningKeyRepository:
    def __init__(self, stored: dict[ProvisioningKeyId, ProvisioningKey]) -> None:
        self._stored = stored

    async def add(self, key: ProvisioningKey) -> None:
        self._stored[key.id] = key

    async def get(
        self, organisation_id: OrganisationId, key_id: ProvisioningKeyId, *, for_update: bool = False
    ) -> ProvisioningKey:
        key = self._stored.get(key_id)
        if key is None or key.organisation_id != organisation_id or key.revoked_at is not None:
            raise ProvisioningKeyNotFoundError
        return key

    async def save(self, key: ProvisioningKey) -> None:
        if key.id in self._stored:
            self._stored[key.id] = key

    async def list(self, organisation_id: OrganisationId, *, limit: int, cursor: str | None) -> Page[ProvisioningKey]:
        found = (
            key for key in self._stored.values() if key.organisation_id == organisation_id and key.revoked_at is None
        )
        return page_of(found, limit, cursor)


class InMemoryOutboxRepository:
    def __init__(self, stored: dict[EventId, OutboxEvent]) -> None:
        self._stored = stored

    async def add(self, *events: OutboxEvent) -> None:
        self._stored.update({event.id: event for event in events})

    async def claim_due(self, *, now: datetime, until: datetime, limit: int) -> builtins.list[OutboxEvent]:
        due = sorted(
            (event for event in self._stored.values() if event.due_at <= now), key=lambda event: event.due_at
        )
        claimed = [replace(event, due_at=until) for event in due[:limit]]
        self._stored.update({event.id: event for event in claimed})
        return sorted(claimed, key=lambda event: event.created_at)

    async def postpone(self, *event_ids: EventId, due_at: datetime) -> None:
        for event_id in self._stored.keys() & set(event_ids):
            event = self._stored[event_id]
            self._stored[event_id] = replace(event, due_at=due_at, attempts=event.attempts + 1)

    async def remove(self, *event_ids: EventId) -> None:
        for event_id in event_ids:
            self._stored.pop(event_id, None)


class InMemoryRegistryUnitOfWork:
    """A transaction on ``committed``, which unit after unit shares."""

    organisations: OrganisationRepository
    users: UserRepository
    sessions: SessionRepository
    api_keys: ApiKeyRepository
    keys: KeyRepository
    signing_keys: SigningKeyRepository
    idempotency: IdempotencyRepository
    devices: DeviceRepository
    credentials: CredentialRepository
    provisioning_keys: ProvisioningKeyRepository
    outbox: OutboxRepository
    audit: AuditTrail
    trail: AuditTrailRepository

    def __init__(self, committed: RegistryTables) -> None:
        self._committed = committed

    async def __aenter__(self) -> Self:
        tables = self._tables = self._committed.copy()
        self.organisations = InMemoryOrganisationRepository(tables.organisations)
        self.users = InMemoryUserRepository(tables.users, tables.sessions, tables.api_keys)
        self.sessions = InMemorySessionRepository(tables.sessions, tables.refresh_tokens)
        self.api_keys = InMemoryApiKeyRepository(tables.api_keys)
        self.keys = InMemoryKeyRepository(tables)
        self.signing_keys = InMemorySigningKeyRepository(tables.signing_keys)
        self.idempotency = InMemoryIdempotencyRepository(tables.idempotency)
        self.devices = InMemoryDeviceRepository(tables.devices)
        self.credentials = InMemoryCredentialRepository(tables.credentials)
        self.provisioning_keys = InMemoryProvisioningKeyRepository(tables.provisioning_keys)
        self.outbox = InMemoryOutboxRepository(tables.outbox)
        self.audit = self.trail = InMemoryAuditTrail(tables.audit, tables.places)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    async def commit(self) -> None:
        for table in fields(self._tables):
            # Whoever holds a table of the committed ones sees what is committed.
            stored = getattr(self._committed, table.name)
            stored.clear()
            stored.update(getattr(self._tables, table.name))


class UnreachableUnitOfWork(InMemoryRegistryUnitOfWork):
    """A registry that does not answer."""

    async def __aenter__(self) -> Self:
        raise UnavailableError("registry", "The registry store does not answer. Try again shortly.")
