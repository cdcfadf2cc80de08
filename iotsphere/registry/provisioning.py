"""Provisioning keys, with which devices that nobody has registered make themselves known."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from iotsphere.kernel.audit import Attempt
from iotsphere.kernel.clock import Clock
from iotsphere.kernel.errors import PreconditionFailedError
from iotsphere.kernel.identifiers import CredentialId, IdSource, OrganisationId, ProvisioningKeyId
from iotsphere.kernel.pagination import Page
from iotsphere.registry.credentials import with_key
from iotsphere.registry.errors import ProvisioningKeyNotFoundError, ProvisioningKeyRevokedError
from iotsphere.registry.model import (
    Credential,
    DeviceDraft,
    IssuedProvisioningKey,
    ProvisionedDevice,
    ProvisioningKey,
    require_future,
)
from iotsphere.registry.ports import (
    KeyMaker,
    ProvisioningKeyMaker,
    RegistryUnitOfWork,
    RegistryUnitOfWorkFactory,
)
from iotsphere.registry.service import make_device


class ProvisioningKeyService:
    """Gives out provisioning keys, and takes them back."""

    def __init__(
        self,
        *,
        unit_of_work: RegistryUnitOfWorkFactory,
        clock: Clock,
        new_id: IdSource,
        make_key: ProvisioningKeyMaker,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._new_id = new_id
        self._make_key = make_key

    async def issue_key(
        self, *, attempt: Attempt, device_type: str, max_devices: int, expires_at: datetime
    ) -> IssuedProvisioningKey:
        """Issue a key. Its text is in the answer, this once, and kept as a hash alone.

        :raises ExpiryPastError: it would have expired already.
        """
        now = self._clock()
        require_future(expires_at, now=now)
        key_id = ProvisioningKeyId(self._new_id())
        text, secret_hash = self._make_key(key_id)
        key = ProvisioningKey(
            id=key_id,
            organisation_id=attempt.organisation_id,
            device_type=device_type,
            max_devices=max_devices,
            secret_hash=secret_hash,
            created_at=now,
            expires_at=expires_at,
        )
        async with self._unit_of_work() as uow:
            await uow.provisioning_keys.add(key)
            details: dict[str, Any] = {
                "device_type": device_type,
                "max_devices": max_devices,
                "expires_at": expires_at.isoformat(),
            }
            await uow.audit.add(attempt.done(f"provisioning_key:{key_id}", at=now, **details))
            await uow.commit()
        return IssuedProvisioningKey(key=key, text=text)

    async def get_key(self, *, organisation_id: OrganisationId, key_id: ProvisioningKeyId) -> ProvisioningKey:
        """:raises ProvisioningKeyNotFoundError: the organisation has none, or it is revoked."""
        async with self._unit_of_work() as uow:
            return await uow.provisioning_keys.get(organisation_id, key_id)

    async def list_keys(
        self, *, organisation_id: OrganisationId, limit: int, cursor: str | None
    ) -> Page[ProvisioningKey]:
        """List those that are not revoked; spent and expired ones are among them."""
        async with self._unit_of_work() as uow:
            return await uow.provisioning_keys.list(organisation_id, limit=limit, cursor=cursor)

    async def revoke_key(self, *, attempt: Attempt, key_id: ProvisioningKeyId, expected_version: int | None) -> None:
        """Refuse the key from the next request on. The devices that it made stay.

        :raises ProvisioningKeyNotFoundError: the organisation has none, or it is revoked already.
        :raises PreconditionFailedError: it has another version than the expected one.
        """
        async with self._unit_of_work() as uow:
            key = await uow.provisioning_keys.get(attempt.organisation_id, key_id, for_update=True)
            if expected_version not in {None, key.version}:
                raise PreconditionFailedError(f"The provisioning key is at version {key.version}.")
            now = self._clock()
            await uow.provisioning_keys.save(replace(key, revoked_at=now))
            await uow.audit.add(attempt.done(f"provisioning_key:{key_id}", at=now))
            await uow.commit()


class ProvisioningService:
    """Lets devices in that hold a provisioning key."""

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

    async def provision_device(
        self,
        *,
        attempt: Attempt,
        key_id: ProvisioningKeyId,
        serial_number: str,
        name: str | None,
        asset: dict[str, Any],
    ) -> ProvisionedDevice:
        """Make a device with its first credential, and count it, in one transaction: all of it happens or nothing.

        :raises ProvisioningKeyExpiredError: the key's time is over.
        :raises ProvisioningKeySpentError: the key has made all that it may make.
        :raises ProvisioningKeyRevokedError: the key has been revoked since it was recognised.
        :raises SerialNumberTakenError: another device of the organisation has the serial number; no use is spent.
        """
        async with self._unit_of_work() as uow:
            # Whoever uses the same key waits here, and then finds this use counted.
            key = await _take(uow, attempt.organisation_id, key_id)
            now = self._clock()
            await uow.provisioning_keys.save(key.use(now=now))
            draft = DeviceDraft(serial_number, key.device_type, name, asset=asset)
            device, event = make_device(attempt, draft, now=now, new_id=self._new_id)
            issued = with_key(
                Credential(CredentialId(self._new_id()), device.id, None, b"", created_at=now), self._make_key
            )
            await uow.devices.add(device)
            await uow.credentials.add(issued.credential)
            await uow.outbox.add(event)
            details: dict[str, Any] = {"serial_number": serial_number, "credential": str(issued.credential.id)}
            await uow.audit.add(attempt.done(f"device:{device.id}", at=now, **details))
            await uow.commit()
        return ProvisionedDevice(device=device, api_key=issued.api_key, event=event)


async def _take(
    uow: RegistryUnitOfWork, organisation_id: OrganisationId, key_id: ProvisioningKeyId
) -> ProvisioningKey:
    try:
        return await uow.provisioning_keys.get(organisation_id, key_id, for_update=True)
    except ProvisioningKeyNotFoundError as error:
        raise ProvisioningKeyRevokedError from error
