"""How secrets are made, shown and compared. None is ever stored as it is."""

import asyncio
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from uuid import UUID

import argon2

from iotsphere.identity.errors import CredentialInvalidError

SECRET = re.compile(r"[A-Za-z0-9_-]{43}")
API_KEY = re.compile(r"iot_([0-9a-f]{32})_([A-Za-z0-9_-]+)")


def make_secret() -> str:
    """Make 256 random bits: enough that a plain hash, without salt or slowness, protects them."""
    return secrets.token_urlsafe(32)


def hash_secret(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def secret_matches(secret: str, secret_hash: bytes) -> bool:
    return hmac.compare_digest(hash_secret(secret), secret_hash)


def make_csrf_token(session_secret: str) -> str:
    """Make the token that the pages of a browser's session carry.

    It follows from the secret in the cookie, so there is nothing to keep and nobody else can make it; the secret
    does not follow from it, so scripts may read it.
    """
    return hmac.digest(session_secret.encode(), b"csrf-token", "sha256").hex()


def csrf_token_matches(token: str, session_secret: str) -> bool:
    return hmac.compare_digest(token.encode(), make_csrf_token(session_secret).encode())


@dataclass(frozen=True, slots=True)
class ApiKey:
    """``iot_<credential id>_<secret>``: the id finds the row, the secret proves the right to it."""

    credential_id: UUID
    secret: str

    @classmethod
    def parse(cls, text: str) -> "ApiKey":
        """:raises CredentialInvalidError: it is not written as an API key is."""
        written = API_KEY.fullmatch(text)
        if written is None:
            raise CredentialInvalidError("The API key is not valid.")
        return cls(UUID(hex=written[1]), written[2])

    def __str__(self) -> str:
        return f"iot_{self.credential_id.hex}_{self.secret}"


class Argon2Passwords:
    """Slow hashes for what people can remember.

    A hash takes 64 MiB and a tenth of a second, so they run in threads, no more than ``at_once`` together.
    """

    def __init__(self, hasher: argon2.PasswordHasher | None = None, *, at_once: int = 2) -> None:
        self._hasher = hasher or argon2.PasswordHasher()
        self._places = asyncio.Semaphore(at_once)
        # Made beforehand: made at the first log-in without an account, it would double the time of that one.
        self._nobodys_hash = self._hasher.hash(make_secret())

    async def hash(self, password: str) -> str:
        async with self._places:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Compare; without an account the same work is done, so that the time does not tell."""
        async with self._places:
            matches = await asyncio.to_thread(self._matches, password_hash or self._nobodys_hash, password)
        return matches and password_hash is not None

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except argon2.exceptions.VerifyMismatchError:
            return False
