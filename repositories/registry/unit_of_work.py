from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.audit.ports import AuditTrailRepository
from iotsphere.identity.ports import (
    ApiKeyRepository,
    IdempotencyRepository,
    KeyRepository,
    OrganisationRepository,
    SessionRepository,
    SigningKeyRepository,
    UserRepository,
)
from iotsphere.kernel.audit import AuditTrail
from iotsphere.registry.ports import (
    CredentialRepository,
    DeviceRepository,
    OutboxRepository,
    ProvisioningKeyRepository,
)
from repositories.registry.accounts import (
    SqlAlchemyOrganisationRepository,
    SqlAlchemySessionRepository,
    SqlAlchemyUserRepository,
)
from repositories.registry.api_keys import SqlAlchemyApiKeyRepository
from repositories.registry.audit import SqlAlchemyAuditTrail
from repositories.registry.devices import SqlAlchemyCredentialRepository, SqlAlchemyDeviceRepository
from repositories.registry.idempotency import SqlAlchemyIdempotencyRepository
from repositories.registry.keys import SqlAlchemyKeyRepository
from repositories.registry.outbox import SqlAlchemyOutboxRepository
from repositories.registry.provisioning import SqlAlchemyProvisioningKeyRepository
from repositories.registry.signing_keys import SqlAlchemySigningKeyRepository
from repositories.sql import SqlAlchemyUnitOfWork


class SqlAlchemyRegistryUnitOfWork(SqlAlchemyUnitOfWork):
    """A transaction on the registry database, for all contexts that are kept there."""

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

    def _bind(self, connection: AsyncConnection) -> None:
        self.organisations = SqlAlchemyOrganisationRepository(connection)
        self.users = SqlAlchemyUserRepository(connection)
        self.sessions = SqlAlchemySessionRepository(connection)
        self.api_keys = SqlAlchemyApiKeyRepository(connection)
        self.devices = SqlAlchemyDeviceRepository(connection)
        self.credentials = SqlAlchemyCredentialRepository(connection)
        self.provisioning_keys = SqlAlchemyProvisioningKeyRepository(connection)
        self.keys = SqlAlchemyKeyRepository(connection)
        self.signing_keys = SqlAlchemySigningKeyRepository(connection)
        self.idempotency = SqlAlchemyIdempotencyRepository(connection)
        self.outbox = SqlAlchemyOutboxRepository(connection)
        self.audit = self.trail = SqlAlchemyAuditTrail(connection)
