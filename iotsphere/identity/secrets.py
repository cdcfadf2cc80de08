"""How secrets are made, shown and compared. None is ever stored as it is."""

import asyncio
import base64
import hashlib
import hmac
import re
import secrets
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar, ParamSpec, Self, TypeVar
from uuid import UUID

import argon2
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from iotsphere.identity.errors import CredentialInvalidError, PasswordsBusyError

P = ParamSpec("P")
T = TypeVar("T")

SECRET = re.compile(r"[A-Za-z0-9_-]{43}")
KEY = re.compile(r"(iotp?)_([0-9a-f]{32})_([A-Za-z0-9_-]+)")


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


class CipherTextLostError(Exception):
    """It was encrypted under a secret that the platform no longer has, or it is damaged."""


class PlatformCipher:
    """Encrypts what the platform keeps to itself, under its secret key, for one purpose.

    What was encrypted under an earlier secret key can be read for as long as that key is among the previous ones.
    """

    def __init__(self, purpose: str, secret_key: str, previous_secret_keys: Sequence[str] = ()) -> None:
        keys = (secret_key, *previous_secret_keys)
        self._fernet = MultiFernet([Fernet(_derive(purpose, key)) for key in keys])

    def encrypt(self, text: bytes) -> bytes:
        return self._fernet.encrypt(text)

    def decrypt(self, encrypted: bytes) -> bytes:
        """:raises CipherTextLostError: none of the secret keys opens it."""
        try:
            return self._fernet.decrypt(encrypted)
        except InvalidToken as error:
            raise CipherTextLostError from error


def _derive(purpose: str, secret_key: str) -> bytes:
    """Make a key of its own for each purpose: what leaks of one tells nothing of another."""
    return base64.urlsafe_b64encode(hashlib.sha256(f"{purpose}:{secret_key}".encode()).digest())


@dataclass(frozen=True, slots=True)
class ApiKey:
    """``iot_<credential id>_<secret>``: the id finds the row, the secret proves the right to it."""

    PREFIX: ClassVar[str] = "iot"
    NAME: ClassVar[str] = "API key"

    credential_id: UUID
    secret: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """:raises CredentialInvalidError: it is not written as such a key is."""
        written = KEY.fullmatch(text)
        if written is None or written[1] != cls.PREFIX:
            raise CredentialInvalidError(f"The {cls.NAME} is not valid.")
        return cls(UUID(hex=written[2]), written[3])

    def __str__(self) -> str:
        return f"{self.PREFIX}_{self.credential_id.hex}_{self.secret}"


class ProvisioningKeyText(ApiKey):
    """``iotp_<key id>_<secret>``: so written that nobody takes it for a device's or an integration's."""

    PREFIX: ClassVar[str] = "iotp"
    NAME: ClassVar[str] = "provisioning key"


def make_up_hash(hasher: argon2.PasswordHasher) -> str:
    """Make up what could be the hash of a password, so that no process has to work one out before it can start.

    To compare with it is the same work as with any.
    """
    salt, digest = (
        base64.b64encode(secrets.token_bytes(size)).decode().rstrip("=")
        for size in (hasher.salt_len, hasher.hash_len)
    )
    kind = f"argon2{hasher.type.name.lower()}$v={argon2.low_level.ARGON2_VERSION}"
    return f"${kind}$m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}${salt}${digest}"


class Argon2Passwords:
    """Slow hashes for what people can remember.

    A hash takes 64 MiB, unless it is set otherwise, and a tenth of a second, so they have threads of their own,
    ``at_once`` of them. No more than ``waiting`` wait for one: whoever comes then is told so, rather than kept
    waiting for longer than anybody would.
    """

    def __init__(self, hasher: argon2.PasswordHasher, *, at_once: int = 2, waiting: int = 32) -> None:
        self._hasher = hasher
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="passwords")
        self._places = threading.BoundedSemaphore(at_once + waiting)
        self._nobodys_hash = make_up_hash(self._hasher)

    async def hash(self, password: str) -> str:
        return await self._work(self._hasher.hash, password)

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Compare; without an account the same work is done, so that the time does not tell."""
        matches = await self._work(self._matches, password_hash or self._nobodys_hash, password)
        return matches and password_hash is not None

    async def _work(self, act: Callable[P, T], *given: P.args, **options: P.kwargs) -> T:
        """:raises PasswordsBusyError: too many wait already."""
        if not self._places.acquire(blocking=False):
            raise PasswordsBusyError("Too many are logging in. Try again shortly.", retry_after_seconds=1)
        work = self._threads.submit(act, *given, **options)
        # When the work is done, not when nobody waits for it any more: a thread that has begun goes on.
        work.add_done_callback(lambda _: self._places.release())
        return await asyncio.wrap_future(work)

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except argon2.exceptions.VerifyMismatchError:
            return False
