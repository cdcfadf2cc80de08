"""Access tokens: signed, short-lived, and tied to a session that can be ended."""

import hashlib
from datetime import datetime
from uuid import UUID

import jwt
from jwt.types import Options

from iotsphere.identity.errors import CredentialInvalidError
from iotsphere.identity.model import ACCESS_TOKEN_LIFE

ALGORITHM = "HS256"
ISSUER = "iotsphere"
# The time is the caller's: the library would ask the machine, and refuse what a machine a second ahead has issued.
OPTIONS: Options = {"require": ["exp", "sid"], "verify_exp": False, "verify_iat": False}
REFUSED = "The access token is not valid or has expired. Log in again."


class AccessTokens:
    """Signs and reads access tokens with a key derived from the platform's secret."""

    def __init__(self, secret_key: str) -> None:
        self._key = hashlib.sha256(b"access-token:" + secret_key.encode()).digest()

    def issue(self, *, session_id: UUID, issued_at: datetime) -> str:
        claims = {"iss": ISSUER, "sid": str(session_id), "iat": issued_at, "exp": issued_at + ACCESS_TOKEN_LIFE}
        return jwt.encode(claims, self._key, algorithm=ALGORITHM)

    def read(self, token: str, *, now: datetime) -> UUID:
        """Give the session that the token belongs to.

        :raises CredentialInvalidError: the token was not issued here, or it has expired.
        """
        try:
            claims = jwt.decode(token, self._key, algorithms=[ALGORITHM], issuer=ISSUER, options=OPTIONS)
            session_id = UUID(claims["sid"])
        except (jwt.InvalidTokenError, ValueError) as error:
            raise CredentialInvalidError(REFUSED) from error
        if claims["exp"] <= now.timestamp():
            raise CredentialInvalidError(REFUSED)
        return session_id
