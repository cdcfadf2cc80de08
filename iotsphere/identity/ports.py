import builtins
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self
from uuid import UUID

from iotsphere.identity.model import (
    IdempotencyRecord,
    IntegrationKey,
    KeyHolder,
    Organisation,
    RefreshToken,
    Session,
    SessionHolder,
    StoredSigningKey,
    User,
)
from iotsphere.kernel.audit import AuditTrail
from iotsphere.kernel.identifiers import CredentialId, OrganisationId, SigningKeyId, UserId
from iotsphere.kernel.pagination import Page


class OrganisationRepository(Protocol):
    async def add(self, organisation: Organisation) -> None:
        """:raises OrganisationNameTakenError: another one has this name."""

    async def get(self, organisation_id: OrganisationId, *, for_update: bool = False) -> Organisation:
        """:raises OrganisationNotFoundError: there is none."""

    async def list(self, *, limit: int, cursor: str | None) -> Page[Organisation]: ...

    async def save(self, organisation: Organisation) -> None:
        """:raises OrganisationNameTakenError: another one has this name."""

    async def is_empty(self) -> bool:
        """Tell whether there is no organisation yet: the platform has never been started."""


class UserRepository(Protocol):
    async def add(self, user: User) -> None:
        """:raises EmailTakenError: somebody, in whatever organisation, has this address."""

    async def get(self, organisation_id: OrganisationId, user_id: UserId, *, for_update: bool = False) -> User:
        """:raises UserNotFoundError: there is none, or not in this organisation."""

    async def save(self, user: User) -> None: ...

    async def remove(self, user_id: UserId) -> None:
        """Remove a user with their sessions and with the integration keys that they made."""

    async def list_administrators(self, organisation_id: OrganisationId) -> builtins.list[User]:
        """List the organisation's administrators and the platform's, and lock them.

        Whoever takes an administrator away asks this before anything else is locked: so they take turns, and the
        second one sees what the first has done.
        """

    async def find_by_email(self, email: str) -> User | None: ...

    async def find_by_session(self, session_id: UUID, *, now: datetime) -> SessionHolder | None:
        """Find whose session this is, as long as it is neither expired nor revoked."""

    async def find_by_session_secret(self, secret_hash: bytes, *, now: datetime) -> SessionHolder | None:
        """Find whose browser shows this secret, as long as its session is neither expired nor revoked."""

    async def list(self, organisation_id: OrganisationId, *, limit: int, cursor: str | None) -> Page[User]: ...


class SessionRepository(Protocol):
    async def add(self, session: Session) -> None: ...

    async def revoke(self, session_id: UUID, *, now: datetime) -> None: ...

    async def revoke_all(self, user_id: UserId, *, but: UUID | None, now: datetime) -> None:
        """Revoke all of a user's sessions but one, if one is named."""

    async def remove_ended(self, *, now: datetime, limit: int) -> int:
        """Remove expired ones, at most so many, and give how many those were.

        Revoked ones stay until they expire, to be told from those that never were.
        """

    async def add_refresh_token(self, token_hash: bytes, session_id: UUID) -> None: ...

    async def find_refresh_token(self, token_hash: bytes, *, now: datetime) -> RefreshToken | None:
        """Find a token of a live session and lock it, so that of two who show it at once one comes second."""

    async def mark_used(self, token_hash: bytes, *, now: datetime) -> None: ...


class ApiKeyRepository(Protocol):
    """Integration keys; those that are revoked are as good as absent."""

    async def add(self, key: IntegrationKey) -> None: ...

    async def get(
        self, organisation_id: OrganisationId, key_id: CredentialId, *, for_update: bool = False
    ) -> IntegrationKey:
        """:raises ApiKeyNotFoundError: there is none, or not in this organisation."""

    async def list(
        self, organisation_id: OrganisationId, *, limit: int, cursor: str | None
    ) -> Page[IntegrationKey]: ...

    async def revoke(self, organisation_id: OrganisationId, key_id: CredentialId, *, now: datetime) -> None:
        """:raises ApiKeyNotFoundError: there is none, or not in this organisation."""


class KeyRepository(Protocol):
    async def find(self, key_id: UUID) -> KeyHolder | None:
        """Find who holds an API key that is not revoked: a device that is not retired, or an integration.

        An integration has the role of its key, or that of the user whose key it is now where this is lower.
        """

    async def find_provisioner(self, key_id: UUID) -> KeyHolder | None:
        """Find a provisioning key that is not revoked; whether it is spent or expired, its use tells."""


CatchUp = Callable[[], Awaitable[object]]
"""Returns when there was word of every change that was committed before it was called."""


class ChangeFeed(Protocol):
    def listen(self, tell: Callable[[UUID], None]) -> AbstractAsyncContextManager[CatchUp]:
        """Tell ids from now on: of every key and session that is changed, or whose holder is, and of devices that go.

        :raises UnavailableError: on entering, or from within: the registry does not answer, and words may be missed.
        """


class SigningKeyRepository(Protocol):
    async def add(self, key: StoredSigningKey) -> None: ...

    async def list(self, *, for_update: bool = False) -> builtins.list[StoredSigningKey]:
        """List all, the oldest first; for an update, nobody else adds or removes one until it is committed."""

    async def remove(self, key_id: SigningKeyId) -> None: ...


class IdempotencyRepository(Protocol):
    async def claim(
        self,
        actor: str,
        key: str,
        fingerprint: bytes,
        *,
        now: datetime,
        forget_before: datetime,
        abandon_before: datetime,
    ) -> IdempotencyRecord | None:
        """Begin a request under a key, or find the one that has it.

        A record begun before ``forget_before``, and one without an answer begun before ``abandon_before``, count
        for nothing: the key is free again.

        :returns: None when the key is now the caller's.
        """

    async def save_answer(self, actor: str, key: str, answer: bytes, *, started_at: datetime) -> None:
        """Keep the answer of the request that claimed the key at ``started_at``, if the key is still its own."""

    async def remove(self, actor: str, key: str, *, started_at: datetime) -> None:
        """Free the key for the others, if it is still that of the request that claimed it at ``started_at``."""

    async def remove_before(self, moment: datetime, *, limit: int) -> int:
        """Remove records begun before the moment, at most so many, and give how many those were."""


class IdentityUnitOfWork(Protocol):
    organisations: OrganisationRepository
    users: UserRepository
    sessions: SessionRepository
    api_keys: ApiKeyRepository
    keys: KeyRepository
    signing_keys: SigningKeyRepository
    idempotency: IdempotencyRepository
    audit: AuditTrail

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    async def commit(self) -> None: ...


IdentityUnitOfWorkFactory = Callable[[], IdentityUnitOfWork]


class PasswordHasher(Protocol):
    """Every method raises PasswordsBusyError when too many wait for it already."""

    async def hash(self, password: str) -> str: ...

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Compare a password; with no hash to compare with, take the same time and say no."""
