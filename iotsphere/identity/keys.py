"""Recognises devices and integrations by their API keys, without a slow hash: the secrets are random and long."""

from iotsphere.identity.errors import CredentialInvalidError
from iotsphere.identity.model import KeyHolder
from iotsphere.identity.ports import IdentityUnitOfWorkFactory
from iotsphere.identity.secrets import ApiKey, ProvisioningKeyText, secret_matches
from iotsphere.kernel.actor import Actor
from iotsphere.kernel.clock import Clock
from iotsphere.kernel.lease import LeasedCache


class KeyService:
    """Tells who holds an API key."""

    def __init__(
        self, *, unit_of_work: IdentityUnitOfWorkFactory, cache: LeasedCache[KeyHolder], clock: Clock
    ) -> None:
        self._unit_of_work = unit_of_work
        self._cache = cache
        self._clock = clock

    def recall(self, *, api_key: str) -> KeyHolder | None:
        """Tell whose API key this is if that is remembered, which asks nobody; None says nothing against the key."""
        try:
            key = ApiKey.parse(api_key)
        except CredentialInvalidError:
            # To be refused, and counted, where keys are looked up.
            return None
        holder = self._cache.recall(key.credential_id)
        return holder if holder is not None and self._is_right(key, holder) else None

    async def look_up(self, *, api_key: str) -> KeyHolder:
        """Ask the registry whose API key this is, and remember it.

        :raises CredentialInvalidError: wrong, expired or revoked, or its device is retired.
        """
        key = ApiKey.parse(api_key)
        generation = self._cache.generation
        async with self._unit_of_work() as uow:
            holder = await uow.keys.find(key.credential_id)
        if holder is None or not self._is_right(key, holder):
            raise CredentialInvalidError("The API key is not valid.")
        self._cache.remember(holder.key_id, holder, generation=generation)
        return holder

    async def look_up_provisioner(self, *, provisioning_key: str) -> Actor:
        """Ask the registry whose provisioning key this is. It need be neither unspent nor unexpired.

        :raises CredentialInvalidError: wrong or revoked.
        """
        key = ProvisioningKeyText.parse(provisioning_key)
        async with self._unit_of_work() as uow:
            holder = await uow.keys.find_provisioner(key.credential_id)
        if holder is None or not self._is_right(key, holder):
            raise CredentialInvalidError("The provisioning key is not valid.")
        return holder.actor

    def _is_right(self, key: ApiKey, holder: KeyHolder) -> bool:
        is_valid = holder.expires_at is None or holder.expires_at > self._clock()
        return secret_matches(key.secret, holder.secret_hash) and is_valid
