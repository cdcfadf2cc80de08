"""The keys that sign access tokens: kept in the registry, encrypted, and replaced while everything runs."""

import asyncio
import secrets
from datetime import datetime, timedelta

from iotsphere.identity.errors import SigningKeysUnreadableError
from iotsphere.identity.model import ACCESS_TOKEN_LIFE, SigningKey, StoredSigningKey
from iotsphere.identity.ports import IdentityUnitOfWork, IdentityUnitOfWorkFactory
from iotsphere.identity.secrets import CipherTextLostError, PlatformCipher
from iotsphere.kernel.audit import Attempt
from iotsphere.kernel.clock import Clock
from iotsphere.kernel.identifiers import IdSource, SigningKeyId

SIGNING_KEY_LIFE = timedelta(days=30)
# Every process looks this often, so it knows a new key before anybody signs with it.
LOOK_AGAIN_AFTER = timedelta(seconds=2)
SIGNS_AFTER = timedelta(seconds=5)
# A key that nobody knows may be a new platform's first: that is looked up, but no stranger's every invention.
UNKNOWN_AGAIN_AFTER = timedelta(seconds=1)
# What a clock of another machine may be ahead or behind when a key that signs no more is removed.
LEEWAY = timedelta(minutes=1)


class SigningKeyRing:
    """Knows the keys that have signed tokens which may still be shown, and which of them signs now."""

    def __init__(
        self, *, unit_of_work: IdentityUnitOfWorkFactory, cipher: PlatformCipher, clock: Clock, new_id: IdSource
    ) -> None:
        self._unit_of_work = unit_of_work
        self._cipher = cipher
        self._clock = clock
        self._new_id = new_id
        self._keys: dict[SigningKeyId, SigningKey] = {}
        self._looked_at: datetime | None = None
        self._looking = asyncio.Lock()

    async def signing_key(self) -> SigningKey:
        """Give the key that signs now; where there is none that this process can read, one is made."""
        await self._look(LOOK_AGAIN_AFTER)
        if not self._keys:
            await self._add_key(_local_attempt(), older_than=SIGNING_KEY_LIFE)
        now = self._clock()
        keys = sorted(self._keys.values(), key=lambda key: key.created_at)
        return next((key for key in reversed(keys) if key.created_at + SIGNS_AFTER <= now), keys[0])

    async def find(self, key_id: SigningKeyId) -> SigningKey | None:
        await self._look(LOOK_AGAIN_AFTER if key_id in self._keys else UNKNOWN_AGAIN_AFTER)
        return self._keys.get(key_id)

    async def rotate_key(self) -> SigningKey:
        """Make a key that signs from a moment later on. Tokens that older keys have signed stay good.

        :raises SigningKeysUnreadableError: there are keys, and this process can read none: nor could others read its.
        """
        return await self._add_key(_local_attempt(), older_than=None)

    async def is_newest_readable(self) -> bool | None:
        """Tell whether this process has the secret to read the newest key; None where there is no key yet."""
        async with self._unit_of_work() as uow:
            stored = await uow.signing_keys.list()
        self._learn(stored)
        return stored[-1].id in self._keys if stored else None

    async def keep_keys(self) -> None:
        """Replace the key that has signed for thirty days, and remove those whose tokens have all expired."""
        await self._add_key(_local_attempt(), older_than=SIGNING_KEY_LIFE)
        async with self._unit_of_work() as uow:
            stored = await uow.signing_keys.list(for_update=True)
            self._learn(stored)
            # What cannot be read has replaced nothing: the keys before it sign on.
            long_ago = self._clock() - SIGNS_AFTER - ACCESS_TOKEN_LIFE - LEEWAY
            settled = [key.created_at for key in self._keys.values() if key.created_at <= long_ago]
            for key in stored:
                if settled and key.created_at < max(settled):
                    await uow.signing_keys.remove(key.id)
            await uow.commit()

    async def _add_key(self, attempt: Attempt, *, older_than: timedelta | None) -> SigningKey:
        """Make a key, unless the newest is younger than this; of several processes at once, one makes it."""
        async with self._unit_of_work() as uow:
            stored = await uow.signing_keys.list(for_update=True)
            self._learn(stored)
            now = self._clock()
            if older_than is None and stored and not self._keys:
                raise SigningKeysUnreadableError
            newest = max(self._keys.values(), key=lambda key: key.created_at, default=None)
            if newest is not None and older_than is not None and newest.created_at + older_than > now:
                return newest
            # Never older than another, whatever the clock says: the newest is the one that signs.
            created_at = max([now, *(key.created_at + timedelta(microseconds=1) for key in stored)])
            key = SigningKey(SigningKeyId(self._new_id()), secrets.token_bytes(32), created_at)
            await self._store(uow, key, attempt)
        self._keys[key.id] = key
        return key

    async def _store(self, uow: IdentityUnitOfWork, key: SigningKey, attempt: Attempt) -> None:
        await uow.signing_keys.add(StoredSigningKey(key.id, self._cipher.encrypt(key.secret), key.created_at))
        await uow.audit.add(attempt.done(f"signing_key:{key.id}", at=self._clock()))
        await uow.commit()

    async def _look(self, after: timedelta) -> None:
        if self._has_looked_within(after):
            return
        async with self._looking:
            if not self._has_looked_within(after):
                async with self._unit_of_work() as uow:
                    self._learn(await uow.signing_keys.list())

    def _has_looked_within(self, duration: timedelta) -> bool:
        # A clock that was set back has not looked.
        return self._looked_at is not None and timedelta(0) <= self._clock() - self._looked_at < duration

    def _learn(self, stored: list[StoredSigningKey]) -> None:
        """Take over what is stored, but for what this process has no secret to read: that is as good as absent."""
        self._keys = {}
        for key in stored:
            try:
                secret = self._cipher.decrypt(key.secret)
            except CipherTextLostError:
                continue
            self._keys[key.id] = SigningKey(key.id, secret, key.created_at)
        self._looked_at = self._clock()


def _local_attempt() -> Attempt:
    """Say that it is the platform itself, or who operates it, that acts."""
    return Attempt(None, "rotate_signing_key", "local", "rotate_signing_key")
