from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import ClassVar
from uuid import UUID

from iotsphere.kernel.actor import Actor, ActorKind, Role
from iotsphere.kernel.identifiers import CredentialId, OrganisationId, SigningKeyId, UserId

ACCESS_TOKEN_LIFE = timedelta(minutes=15)
SESSION_LIFE = timedelta(days=30)
BROWSER_SESSION_LIFE = timedelta(hours=1)
REMEMBERED_SESSION_LIFE = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Organisation:
    """Whoever owns devices; nothing of one organisation is visible to another."""

    id: OrganisationId
    name: str
    created_at: datetime
    version: int = 1


@dataclass(frozen=True, slots=True)
class PasswordChange:
    """The password that somebody has, to show that it is them, and the one that they want instead."""

    old: str
    new: str


@dataclass(frozen=True, slots=True)
class User:
    """A person of one organisation. E-mail addresses are unique on the platform, regardless of case."""

    id: UserId
    organisation_id: OrganisationId
    email: str
    name: str
    role: Role
    password_hash: str
    created_at: datetime
    is_platform_administrator: bool = False
    version: int = 1

    def change(
        self, *, name: str | None = None, role: Role | None = None, password_hash: str | None = None
    ) -> "User":
        """Apply what is given."""
        return replace(
            self,
            name=self.name if name is None else name,
            role=self.role if role is None else role,
            password_hash=self.password_hash if password_hash is None else password_hash,
            version=self.version + 1,
        )

    def is_indispensable(self, administrators: list["User"]) -> bool:
        """Tell whether nobody else administers the organisation, or the platform if the user does.

        ``administrators`` are those of the organisation and those of the platform.
        """
        if self.role is not Role.ADMIN:
            return False
        others = [other for other in administrators if other.id != self.id and other.role is Role.ADMIN]
        is_last = all(other.organisation_id != self.organisation_id for other in others)
        return is_last or (
            self.is_platform_administrator and not any(other.is_platform_administrator for other in others)
        )

    def as_actor(self, *, session_id: UUID | None = None) -> Actor:
        return Actor(
            kind=ActorKind.USER,
            id=self.id,
            organisation_id=self.organisation_id,
            role=self.role,
            is_platform_administrator=self.is_platform_administrator,
            session_id=session_id,
        )


@dataclass(frozen=True, slots=True)
class Session:
    """One log-in and all refresh tokens that came of it; revoking it ends them all and its access tokens.

    A browser's has no tokens but the secret in its cookie, kept as ``secret_hash``.
    """

    id: UUID
    user_id: UserId
    created_at: datetime
    expires_at: datetime
    secret_hash: bytes | None = None


@dataclass(frozen=True, slots=True)
class SessionHolder:
    """Whose session it is, as of when it was looked up."""

    session_id: UUID
    user: User
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class LiveSession:
    """What is remembered of a session: who acts through it, and until when they may."""

    actor: Actor
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class BrowserLogIn:
    """What a browser gets: the secret for its cookie, and how long both of them live."""

    secret: str
    life_seconds: int


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A single-use token, kept as a hash. ``used_at`` set and shown again means it was stolen."""

    token_hash: bytes
    session: Session
    used_at: datetime | None


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a log-in or a refresh gives: ``expires_in`` is the access token's life in seconds."""

    access_token: str
    refresh_token: str
    expires_in: int
    token_type: str = "Bearer"  # noqa: S105  # the name of a scheme


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """What the registry knows of the API key that was shown: who holds it, and whether it still counts.

    ``device_status`` is that of the device which the key is for, None for an integration's.
    """

    key_id: UUID
    secret_hash: bytes
    expires_at: datetime | None
    actor: Actor
    device_status: str | None = None


@dataclass(frozen=True, slots=True)
class IntegrationKey:
    """A program's right to act in the organisation with a role, which is never above that of who made the key.

    It is made and revoked, and in between never changes: so it has one version.
    """

    version: ClassVar[int] = 1

    id: CredentialId
    organisation_id: OrganisationId
    made_by: UserId
    label: str
    role: Role
    secret_hash: bytes
    created_at: datetime
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class IssuedIntegrationKey:
    """A new integration key with the text that its holder shows, which is told this once."""

    key: IntegrationKey
    api_key: str

    @property
    def version(self) -> int:
        return self.key.version


@dataclass(frozen=True, slots=True)
class StoredSigningKey:
    """A signing key as it is kept: ``secret`` is encrypted under the platform's."""

    id: SigningKeyId
    secret: bytes
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that signs access tokens; the id stands in every token that it has signed."""

    id: SigningKeyId
    secret: bytes = field(repr=False)
    created_at: datetime


@dataclass(frozen=True, slots=True)
class IdempotencyRecord:
    """A request that was made under an idempotency key; ``answer`` is None while it is still at work."""

    fingerprint: bytes
    answer: bytes | None
