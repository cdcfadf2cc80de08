"""The keys with which programs act in an organisation."""

from datetime import datetime

from iotsphere.identity.acting import lock_acting_user
from iotsphere.identity.errors import RoleAboveMakerError
from iotsphere.identity.model import IntegrationKey, IssuedIntegrationKey
from iotsphere.identity.ports import IdentityUnitOfWorkFactory
from iotsphere.identity.secrets import ApiKey, hash_secret, make_secret
from iotsphere.kernel.actor import Role
from iotsphere.kernel.audit import Attempt
from iotsphere.kernel.clock import Clock
from iotsphere.kernel.errors import PreconditionFailedError
from iotsphere.kernel.identifiers import CredentialId, IdSource, OrganisationId
from iotsphere.kernel.pagination import Page


class ApiKeyService:
    """Gives integrations their keys, and takes them away."""

    def __init__(self, *, unit_of_work: IdentityUnitOfWorkFactory, clock: Clock, new_id: IdSource) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._new_id = new_id

    async def issue_key(
        self, *, attempt: Attempt, label: str, role: Role, expires_at: datetime | None
    ) -> IssuedIntegrationKey:
        """Issue a key. It is in the answer, this once, and kept as a hash alone.

        :raises RoleAboveMakerError: who makes the key may less than the key would.
        :raises CredentialInvalidError: who makes it has been taken away meanwhile.
        """
        actor = attempt.caller
        key_id, secret = CredentialId(self._new_id()), make_secret()
        async with self._unit_of_work() as uow:
            maker = await lock_acting_user(uow, actor)
            if not actor.may(role) or role > maker.role:
                raise RoleAboveMakerError("A key may have your own role at the most.")
            key = IntegrationKey(
                id=key_id,
                organisation_id=actor.organisation_id,
                made_by=maker.id,
                label=label,
                role=role,
                secret_hash=hash_secret(secret),
                created_at=self._clock(),
                expires_at=expires_at,
            )
            await uow.api_keys.add(key)
            await uow.audit.add(
                attempt.done(f"integration:{key_id}", at=key.created_at, label=label, role=role.name.lower())
            )
            await uow.commit()
        return IssuedIntegrationKey(key=key, api_key=str(ApiKey(key_id, secret)))

    async def get_key(self, *, organisation_id: OrganisationId, key_id: CredentialId) -> IntegrationKey:
        """:raises ApiKeyNotFoundError: the organisation has no such key, or it is revoked."""
        async with self._unit_of_work() as uow:
            return await uow.api_keys.get(organisation_id, key_id)

    async def list_keys(
        self, *, organisation_id: OrganisationId, limit: int, cursor: str | None
    ) -> Page[IntegrationKey]:
        """List those that are not revoked."""
        async with self._unit_of_work() as uow:
            return await uow.api_keys.list(organisation_id, limit=limit, cursor=cursor)

    async def revoke_key(self, *, attempt: Attempt, key_id: CredentialId, expected_version: int | None) -> None:
        """Refuse the key from now on.

        :raises ApiKeyNotFoundError: the organisation has no such key, or it is revoked already.
        :raises PreconditionFailedError: another version than the only one is expected.
        """
        now = self._clock()
        async with self._unit_of_work() as uow:
            await uow.api_keys.revoke(attempt.organisation_id, key_id, now=now)
            if expected_version not in {None, IntegrationKey.version}:
                raise PreconditionFailedError(f"The API key is at version {IntegrationKey.version}.")
            await uow.audit.add(attempt.done(f"integration:{key_id}", at=now))
            await uow.commit()
