"""Recognises a caller: identity knows the key, and the registry notes that a device was heard of."""

from iotsphere.identity.model import BrowserLogIn
from iotsphere.identity.service import KeyService, SessionService
from iotsphere.kernel.actor import Actor
from iotsphere.kernel.audit import Attempt
from iotsphere.kernel.clock import Clock
from iotsphere.registry.errors import DeviceSuspendedError
from iotsphere.registry.model import DeviceStatus, is_contact_due
from iotsphere.registry.service import DeviceRegistryService


class AuthenticationWorkflow:
    def __init__(
        self, *, sessions: SessionService, keys: KeyService, devices: DeviceRegistryService, clock: Clock
    ) -> None:
        self._sessions = sessions
        self._keys = keys
        self._devices = devices
        self._clock = clock

    async def authenticate_user(self, *, access_token: str) -> Actor:
        """:raises CredentialInvalidError: not issued here, expired, or its session is over."""
        return await self._sessions.authenticate(access_token=access_token)

    async def authenticate_browser(self, *, secret: str) -> Actor:
        """:raises CredentialInvalidError: not given out here, or its session is over."""
        return await self._sessions.authenticate_browser(secret=secret)

    async def log_in_browser(self, *, email: str, password: str, remember: bool, attempt: Attempt) -> BrowserLogIn:
        """:raises LoginRefusedError: the address or the password is wrong; which, is not said."""
        return await self._sessions.log_in_browser(email=email, password=password, remember=remember, attempt=attempt)

    async def authenticate_device(self, *, api_key: str) -> Actor:
        """Recognise a device by its key; its first contact makes it active.

        :raises CredentialInvalidError: wrong, expired or revoked, or the device is retired.
        :raises DeviceSuspendedError: the key is right, and the device is suspended.
        """
        holder = await self._keys.authenticate(api_key=api_key)
        if holder.device_status == DeviceStatus.SUSPENDED:
            raise DeviceSuspendedError
        if is_contact_due(holder.device_status, holder.device_last_seen_at, now=self._clock()):
            await self._devices.record_contact(device_id=holder.device_id)
        return holder.as_actor()
