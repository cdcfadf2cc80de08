"""Access tokens: signed, short-lived, and tied to a session that can be ended."""

from datetime import datetime
from functools import lru_cache
from uuid import UUID

import jwt
from jwt.types import Options

from iotsphere.identity.errors import CredentialInvalidError
from iotsphere.identity.model import ACCESS_TOKEN_LIFE, SigningKey
from iotsphere.identity.signing import SigningKeyRing
from iotsphere.kernel.identifiers import SigningKeyId

ALGORITHM = "HS256"
ISSUER = "iotsphere"
# What a key says of a token never changes. Whether there still is the key, and what time it is, is asked each time.
MOST_REMEMBERED = 10_000
# The time is the caller's: the library would ask the machine, and refuse what a machine a second ahead has issued.
OPTIONS: Options = {"require": ["exp", "sid"], "verify_exp": False, "verify_iat": False}
REFUSED = "The access token is not valid or has expired. Log in again."


class AccessTokens:
    """Reads access tokens with the keys of the ring, and says which of them signs."""

    def __init__(self, ring: SigningKeyRing) -> None:
        self._ring = ring

    async def signing_key(self) -> SigningKey:
        """Give the key for ``sign_token``. It may have to be fetched, so ask before a transaction is open."""
        return await self._ring.signing_key()

    async def read(self, token: str, *, now: datetime) -> UUID:
        """Give the session that the token belongs to.

        :raises CredentialInvalidError: the token was not issued here, or it has expired.
        """
        key = await self._ring.find(_key_id(token))
        if key is None:
            raise CredentialInvalidError(REFUSED)
        return read_token(token, key, now=now)


def sign_token(key: SigningKey, *, session_id: UUID, issued_at: datetime) -> str:
    claims = {"iss": ISSUER, "sid": str(session_id), "iat": issued_at, "exp": issued_at + ACCESS_TOKEN_LIFE}
    return jwt.encode(claims, key.secret, algorithm=ALGORITHM, headers={"kid": str(key.id)})


def read_token(token: str, key: SigningKey, *, now: datetime) -> UUID:
    """Check a token with the key that it names, and give its session.

    :raises CredentialInvalidError: the key has not signed it, or it has expired.
    """
    session_id, expires_at = _verify(token, key)
    if expires_at <= now.timestamp():
        raise CredentialInvalidError(REFUSED)
    return session_id


@lru_cache(MOST_REMEMBERED)
def _verify(token: str, key: SigningKey) -> tuple[UUID, float]:
    """Give the session of a token and its end in seconds; a refusal is not remembered."""
    try:
        claims = jwt.decode(token, key.secret, algorithms=[ALGORITHM], issuer=ISSUER, options=OPTIONS)
        return UUID(claims["sid"]), claims["exp"]
    except (jwt.InvalidTokenError, ValueError) as error:
        raise CredentialInvalidError(REFUSED) from error


def _key_id(token: str) -> SigningKeyId:
    """Give the id of the key that a token says has signed it: a name to look up, and nothing to believe.

    :raises CredentialInvalidError: there is none, or it is not written as our ids are.
    """
    try:
        named = jwt.get_unverified_header(token).get("kid")
        key_id = UUID(named)
    except (jwt.InvalidTokenError, ValueError, TypeError, AttributeError) as error:
        raise CredentialInvalidError(REFUSED) from error
    if str(key_id) != named:
        raise CredentialInvalidError(REFUSED)
    return SigningKeyId(key_id)
