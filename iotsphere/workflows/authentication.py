"""Recognises a caller: identity knows the key, and the registry notes that a device was heard of.

The throttle stands before what can be guessed.
"""

from dataclasses import replace

from iotsphere.identity.keys import KeyService
from iotsphere.identity.model import BrowserLogIn, KeyHolder, TokenPair
from iotsphere.identity.service import SessionService
from iotsphere.kernel.actor import Actor
from iotsphere.kernel.audit import Attempt
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.registry.contacts import ContactService
from iotsphere.registry.errors import DeviceSuspendedError
from iotsphere.registry.model import DeviceStatus
from iotsphere.registry.service import DeviceRegistryService
from iotsphere.throttling.service import Throttle


class AuthenticationWorkflow:
    def __init__(
        self,
        *,
        sessions: SessionService,
        keys: KeyService,
        devices: DeviceRegistryService,
        contacts: ContactService,
        throttle: Throttle,
    ) -> None:
        self._sessions = sessions
        self._keys = keys
        self._devices = devices
        self._contacts = contacts
        self._throttle = throttle

    async def log_in(self, *, email: str, password: str, attempt: Attempt) -> TokenPair:
        """Open a session.

        :raises LoginRefusedError: the address or the password is wrong; which, is not said.
        :raises GuessesExceededError: too many were wrong, for this account or from where the attempt comes.
        """
        async with self._throttle.guessing(account=email, address=attempt.address):
            return await self._sessions.log_in(email=email, password=password, attempt=attempt)

    async def authenticate_user(self, *, access_token: str) -> Actor:
        """:raises CredentialInvalidError: not issued here, expired, or its session is over."""
        return await self._sessions.authenticate(access_token=access_token)

    async def authenticate_browser(self, *, secret: str) -> Actor:
        """:raises CredentialInvalidError: not given out here, or its session is over."""
        return await self._sessions.authenticate_browser(secret=secret)

    async def log_in_browser(self, *, email: str, password: str, remember: bool, attempt: Attempt) -> BrowserLogIn:
        """Do what ``log_in`` does, for a session that a cookie carries."""
        async with self._throttle.guessing(account=email, address=attempt.address):
            return await self._sessions.log_in_browser(
                email=email, password=password, remember=remember, attempt=attempt
            )

    async def authenticate_key(self, *, api_key: str, attempt: Attempt) -> Actor:
        """Recognise a device or an integration by its key; a device's first contact makes it active.

        :raises CredentialInvalidError: wrong, expired or revoked, or the device is retired.
        :raises GuessesExceededError: too many keys were wrong that came from the address.
        :raises DeviceSuspendedError: the key is right, and the device is suspended.
        :raises RateLimitedError: likewise, and it has asked too often.
        """
        holder = self._keys.recall(api_key=api_key) or await self._look_up(api_key, attempt.address)
        if holder.device_status == DeviceStatus.SUSPENDED:
            # Counted like the request of one that is let in: who is turned away may ask again and again.
            await self._throttle.admit(holder.actor)
            raise _suspended(holder.actor)
        if holder.actor.device_id is not None:
            await self._receive_device(
                holder.actor.device_id, holder.device_status, replace(attempt, actor=holder.actor)
            )
        return holder.actor

    async def authenticate_provisioner(self, *, provisioning_key: str, address: str) -> Actor:
        """Recognise whoever holds a provisioning key, which may be spent or expired: that is told when it is used.

        :raises CredentialInvalidError: wrong or revoked.
        :raises GuessesExceededError: too many keys were wrong that came from the address.
        """
        async with self._throttle.showing_key(key=provisioning_key, address=address):
            return await self._keys.look_up_provisioner(provisioning_key=provisioning_key)

    async def _look_up(self, api_key: str, address: str) -> KeyHolder:
        async with self._throttle.showing_key(key=api_key, address=address):
            return await self._keys.look_up(api_key=api_key)

    async def _receive_device(self, device_id: DeviceId, status: str | None, attempt: Attempt) -> None:
        if status == DeviceStatus.PROVISIONED:
            # At once: when its request is answered, the device is active.
            await self._devices.record_contact(attempt=attempt, device_id=device_id)
        else:
            self._contacts.note_contact(device_id=device_id)


def _suspended(device: Actor) -> DeviceSuspendedError:
    """Make the refusal; the trail is told whose device it was, for nobody has been let in who could be named."""
    error = DeviceSuspendedError()
    error.target, error.organisation_id = device.name, device.organisation_id
    return error
