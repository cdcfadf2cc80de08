"""The credentials with which devices speak: issued, rotated, revoked."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from iotsphere.kernel.audit import Attempt
from iotsphere.kernel.clock import Clock
from iotsphere.kernel.errors import PreconditionFailedError
from iotsphere.kernel.identifiers import CredentialId, DeviceId, IdSource
from iotsphere.kernel.pagination import Page
from iotsphere.registry.errors import CredentialNotFoundError, TooManyCredentialsError
from iotsphere.registry.model import MAX_LIVE_CREDENTIALS, Credential, IssuedCredential, require_future
from iotsphere.registry.ports import KeyMaker, RegistryUnitOfWork, RegistryUnitOfWorkFactory


class CredentialService:
    """Issues, rotates and revokes the API keys of devices."""

    def __init__(
        self,
        *,
        unit_of_work: RegistryUnitOfWorkFactory,
        clock: Clock,
        new_id: IdSource,
        make_key: KeyMaker,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._new_id = new_id
        self._make_key = make_key

    async def issue_credential(
        self, *, attempt: Attempt, device_id: DeviceId, label: str | None, expires_at: datetime | None
    ) -> IssuedCredential:
        """Issue an API key. It is in the answer, this once, and kept as a hash alone.

        :raises ExpiryPastError: it would have expired already.
        :raises TooManyCredentialsError: the device has 20 live ones.
        """
        now = self._clock()
        require_future(expires_at, now=now)
        issued = self._issue(device_id, label=label, expires_at=expires_at, now=now)
        async with self._unit_of_work() as uow:
            # Issuers of one device's keys take turns, or each would count without the others' keys.
            await uow.devices.get(attempt.organisation_id, device_id, for_update=True)
            await _add(uow, issued.credential)
            await uow.audit.add(attempt.done(f"device:{device_id}", at=now, credential=str(issued.credential.id)))
            await uow.commit()
        return issued

    async def rotate_credential(
        self,
        *,
        attempt: Attempt,
        device_id: DeviceId,
        credential_id: CredentialId,
        grace: timedelta,
        expected_version: int | None,
    ) -> IssuedCredential:
        """Issue a key in the place of another, which works on until the grace ends.

        The new key has the label of the old one, and its end: a rotation does not lengthen what was granted.

        :raises CredentialNotFoundError: the device has no such live credential.
        :raises PreconditionFailedError: it has another version than the expected one.
        :raises CredentialRotatedError: another key took its place already.
        :raises TooManyCredentialsError: with the old key in its grace, more than 20 would be live.
        """
        async with self._unit_of_work() as uow:
            await uow.devices.get(attempt.organisation_id, device_id, for_update=True)
            now = self._clock()
            old = await _get_live(uow, device_id, credential_id, now=now, expected_version=expected_version)
            await uow.credentials.save(old.rotate(at=now, grace=grace))
            issued = self._issue(device_id, label=old.label, expires_at=old.expires_at, now=now)
            await _add(uow, issued.credential)
            details: dict[str, Any] = {
                "credential": str(credential_id),
                "replaced_by": str(issued.credential.id),
                "grace_seconds": int(grace.total_seconds()),
            }
            await uow.audit.add(attempt.done(f"device:{device_id}", at=now, **details))
            await uow.commit()
        return issued

    async def get_credential(self, *, device_id: DeviceId, credential_id: CredentialId) -> Credential:
        """:raises CredentialNotFoundError: the device has no such live credential."""
        async with self._unit_of_work() as uow:
            credential = await uow.credentials.get(device_id, credential_id)
        if not credential.is_live(now=self._clock()):
            raise CredentialNotFoundError
        return credential

    async def list_credentials(self, *, device_id: DeviceId, limit: int, cursor: str | None) -> Page[Credential]:
        """List the live ones: those that are neither revoked nor expired."""
        async with self._unit_of_work() as uow:
            return await uow.credentials.list(device_id, now=self._clock(), limit=limit, cursor=cursor)

    async def revoke_credential(
        self, *, attempt: Attempt, device_id: DeviceId, credential_id: CredentialId, expected_version: int | None
    ) -> None:
        """Refuse the key from the next request on.

        :raises CredentialNotFoundError: the device has no such live credential.
        :raises PreconditionFailedError: it has another version than the expected one.
        """
        async with self._unit_of_work() as uow:
            now = self._clock()
            credential = await _get_live(uow, device_id, credential_id, now=now, expected_version=expected_version)
            await uow.credentials.save(replace(credential, revoked_at=now))
            await uow.audit.add(attempt.done(f"device:{device_id}", at=now, credential=str(credential_id)))
            await uow.commit()

    def _issue(
        self, device_id: DeviceId, *, label: str | None, expires_at: datetime | None, now: datetime
    ) -> IssuedCredential:
        blank = Credential(CredentialId(self._new_id()), device_id, label, b"", created_at=now, expires_at=expires_at)
        return with_key(blank, self._make_key)


def with_key(blank: Credential, make_key: KeyMaker) -> IssuedCredential:
    """Give a credential its key."""
    api_key, secret_hash = make_key(blank.id)
    return IssuedCredential(credential=replace(blank, secret_hash=secret_hash), api_key=api_key)


async def _add(uow: RegistryUnitOfWork, credential: Credential) -> None:
    live = await uow.credentials.list(
        credential.device_id, now=credential.created_at, limit=MAX_LIVE_CREDENTIALS, cursor=None
    )
    if len(live.items) == MAX_LIVE_CREDENTIALS:
        raise TooManyCredentialsError(MAX_LIVE_CREDENTIALS)
    await uow.credentials.add(credential)


async def _get_live(
    uow: RegistryUnitOfWork,
    device_id: DeviceId,
    credential_id: CredentialId,
    *,
    now: datetime,
    expected_version: int | None,
) -> Credential:
    credential = await uow.credentials.get(device_id, credential_id, for_update=True)
    if not credential.is_live(now=now):
        raise CredentialNotFoundError
    if expected_version not in {None, credential.version}:
        raise PreconditionFailedError(f"The credential is at version {credential.version}.")
    return credential
