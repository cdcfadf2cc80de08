"""How secrets are made, shown and compared. None is ever stored as it is."""

import asyncio
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from uuid import UUID

import argon2

from iotsphere.identity.errors import CredentialInvalidError

API_KEY_PREFIX = "iot"


def make_secret() -> str:
    """Make 256 random bits: enough that a plain hash, without salt or slowness, protects them."""
    return secrets.token_urlsafe(32)


def hash_secret(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def secret_matches(secret: str, secret_hash: bytes) -> bool:
    return hmac.compare_digest(hash_secret(secret), secret_hash)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """``iot_<credential id>_<secret>``: the id finds the row, the secret proves the right to it."""

    credential_id: UUID
    secret: str

    @classmethod
    def parse(cls, text: str) -> "ApiKey":
        prefix, _, rest = text.partition("_")
        credential_id, _, secret = rest.partition("_")
        try:
            key = cls(UUID(hex=credential_id), secret)
        except ValueError as error:
            raise CredentialInvalidError("The API key is not valid.") from error
        if prefix != API_KEY_PREFIX or not secret or not text.isascii():
            raise CredentialInvalidError("The API key is not valid.")
        return key

    def __str__(self) -> str:
        return f"{API_KEY_PREFIX}_{self.credential_id.hex}_{self.secret}"


class Argon2Passwords:
    """Slow hashes for what people can remember.

    A hash takes 64 MiB and a tenth of a second, so they run in threads, no more than ``at_once`` together.
    """

    def __init__(self, *, at_once: int = 2) -> None:
        self._hasher = argon2.PasswordHasher()
        self._places = asyncio.Semaphore(at_once)
        self._nobodys_hash: str | None = None

    async def hash(self, password: str) -> str:
        async with self._places:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Compare; without an account the same work is done, so that the time does not tell."""
        if password_hash is None:
            self._nobodys_hash = self._nobodys_hash or await self.hash(make_secret())
        async with self._places:
            matches = await asyncio.to_thread(self._matches, password_hash or self._nobodys_hash or "", password)
        return matches and password_hash is not None

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except argon2.exceptions.VerifyMismatchError:
            return False
