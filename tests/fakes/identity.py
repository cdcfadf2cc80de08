"""Organisations, users and sessions in memory; the contract suite holds them to what PostgreSQL does."""

import builtins
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar
from uuid import UUID, uuid4

from iotsphere.identity.errors import (
    ApiKeyNotFoundError,
    EmailTakenError,
    OrganisationNameTakenError,
    OrganisationNotFoundError,
    UserNotFoundError,
)
from iotsphere.identity.model import (
    IdempotencyRecord,
    IntegrationKey,
    Organisation,
    RefreshToken,
    Session,
    SessionHolder,
    StoredSigningKey,
    User,
)
from iotsphere.identity.ports import IdentityUnitOfWorkFactory
from iotsphere.identity.secrets import PlatformCipher
from iotsphere.identity.signing import SigningKeyRing
from iotsphere.identity.tokens import AccessTokens
from iotsphere.kernel.actor import Role
from iotsphere.kernel.clock import Clock
from iotsphere.kernel.identifiers import CredentialId, OrganisationId, SigningKeyId, UserId
from iotsphere.kernel.pagination import Page, decode_cursor, encode_cursor


class Listed(Protocol):
    @property
    def created_at(self) -> datetime: ...

    @property
    def id(self) -> UUID: ...


L = TypeVar("L", bound=Listed)


def page_of(found: Iterable[L], limit: int, cursor: str | None) -> Page[L]:
    """Give a page in the order of creation."""
    ordered = sorted(found, key=lambda item: (item.created_at, item.id))
    if cursor is not None:
        last = decode_cursor(cursor, tuple[datetime, UUID])
        ordered = [item for item in ordered if (item.created_at, item.id) > last]
    shown = ordered[:limit]
    more = len(ordered) > limit
    return Page(shown, encode_cursor(shown[-1].created_at, shown[-1].id) if more else None)


class ManualClock:
    """Stands still until it is moved on."""

    def __init__(self, now: datetime = datetime(2026, 11, 20, 12, tzinfo=UTC)) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **duration: float) -> None:
        self.now += timedelta(**duration)


SECRET_KEY = "a secret of more than thirty-two characters"


def build_tokens(unit_of_work: IdentityUnitOfWorkFactory, clock: Clock) -> AccessTokens:
    """Make access tokens whose keys are kept in that unit of work, under a secret key that is none."""
    cipher = PlatformCipher("signing-key", SECRET_KEY)
    return AccessTokens(SigningKeyRing(unit_of_work=unit_of_work, cipher=cipher, clock=clock, new_id=uuid4))


class RecordingPasswords:
    """Hashes passwords legibly, and writes down what it was asked to compare."""

    def __init__(self) -> None:
        self.verified: list[tuple[str, str | None]] = []

    async def hash(self, password: str) -> str:
        return f"hash of {password}"

    async def verify(self, password: str, password_hash: str | None) -> bool:
        self.verified.append((password, password_hash))
        return password_hash == f"hash of {password}"


@dataclass(frozen=True)
class KeptSession:
    session: Session
    revoked_at: datetime | None = None

    def is_live(self, now: datetime) -> bool:
        return self.revoked_at is None and self.session.expires_at > now


@dataclass(frozen=True)
class KeptRefreshToken:
    session_id: UUID
    used_at: datetime | None = None


@dataclass(frozen=True)
class KeptIdempotencyRecord:
    fingerprint: bytes
    started_at: datetime
    answer: bytes | None = None


class InMemoryOrganisationRepository:
    def __init__(self, stored: dict[OrganisationId, Organisation]) -> None:
        self._stored = stored

    async def add(self, organisation: Organisation) -> None:
        if any(other.name == organisation.name for other in self._stored.values()):
            raise OrganisationNameTakenError("Taken.")
        self._stored[organisation.id] = organisation

    async def get(self, organisation_id: OrganisationId, *, for_update: bool = False) -> Organisation:
        if organisation_id not in self._stored:
            raise OrganisationNotFoundError
        return self._stored[organisation_id]

    async def list(self, *, limit: int, cursor: str | None) -> Page[Organisation]:
        return page_of(self._stored.values(), limit, cursor)

    async def save(self, organisation: Organisation) -> None:
        others = [other for other in self._stored.values() if other.id != organisation.id]
        if any(other.name == organisation.name for other in others):
            raise OrganisationNameTakenError("Taken.")
        if organisation.id in self._stored:
            self._stored[organisation.id] = organisation

    async def is_empty(self) -> bool:
        return not self._stored


class InMemoryUserRepository:
    def __init__(
        self,
        stored: dict[UserId, User],
        sessions: dict[UUID, KeptSession],
        api_keys: dict[CredentialId, IntegrationKey],
    ) -> None:
        self._stored = stored
        self._sessions = sessions
        self._api_keys = api_keys

    async def add(self, user: User) -> None:
        if await self.find_by_email(user.email) is not None:
            raise EmailTakenError("Taken.")
        self._stored[user.id] = user

    async def get(self, organisation_id: OrganisationId, user_id: UserId, *, for_update: bool = False) -> User:
        user = self._stored.get(user_id)
        if user is None or user.organisation_id != organisation_id:
            raise UserNotFoundError("None.")
        return user

    async def save(self, user: User) -> None:
        if user.id in self._stored:
            self._stored[user.id] = user

    async def remove(self, user_id: UserId) -> None:
        self._stored.pop(user_id, None)
        for session_id in [key for key, kept in self._sessions.items() if kept.session.user_id == user_id]:
            del self._sessions[session_id]
        for key_id in [key.id for key in self._api_keys.values() if key.made_by == user_id]:
            del self._api_keys[key_id]

    async def list_administrators(self, organisation_id: OrganisationId) -> builtins.list[User]:
        found = [
            user
            for user in self._stored.values()
            if user.is_platform_administrator or (user.role is Role.ADMIN and user.organisation_id == organisation_id)
        ]
        return sorted(found, key=lambda user: user.id)

    async def find_by_email(self, email: str) -> User | None:
        return next((user for user in self._stored.values() if user.email.lower() == email.lower()), None)

    async def find_by_session(self, session_id: UUID, *, now: datetime) -> SessionHolder | None:
        kept = self._sessions.get(session_id)
        return self._holder_of(kept.session) if kept and kept.is_live(now) else None

    async def find_by_session_secret(self, secret_hash: bytes, *, now: datetime) -> SessionHolder | None:
        for kept in self._sessions.values():
            if kept.session.secret_hash == secret_hash and kept.is_live(now):
                return self._holder_of(kept.session)
        return None

    def _holder_of(self, session: Session) -> SessionHolder:
        return SessionHolder(session.id, self._stored[session.user_id], session.expires_at)

    async def list(self, organisation_id: OrganisationId, *, limit: int, cursor: str | None) -> Page[User]:
        found = (user for user in self._stored.values() if user.organisation_id == organisation_id)
        return page_of(found, limit, cursor)


class InMemorySessionRepository:
    def __init__(self, stored: dict[UUID, KeptSession], tokens: dict[bytes, KeptRefreshToken]) -> None:
        self._stored = stored
        self._tokens = tokens

    async def add(self, session: Session) -> None:
        self._stored[session.id] = KeptSession(session)

    async def revoke(self, session_id: UUID, *, now: datetime) -> None:
        kept = self._stored.get(session_id)
        if kept is not None and kept.revoked_at is None:
            self._stored[session_id] = replace(kept, revoked_at=now)

    async def revoke_all(self, user_id: UserId, *, but: UUID | None, now: datetime) -> None:
        for session_id, kept in list(self._stored.items()):
            if kept.session.user_id == user_id and session_id != but:
                await self.revoke(session_id, now=now)

    async def remove_ended(self, *, now: datetime, limit: int) -> int:
        ended = [key for key, kept in self._stored.items() if kept.session.expires_at <= now][:limit]
        for session_id in ended:
            del self._stored[session_id]
        for token_hash in [key for key, token in self._tokens.items() if token.session_id not in self._stored]:
            del self._tokens[token_hash]
        return len(ended)

    async def add_refresh_token(self, token_hash: bytes, session_id: UUID) -> None:
        self._tokens[token_hash] = KeptRefreshToken(session_id)

    async def find_refresh_token(self, token_hash: bytes, *, now: datetime) -> RefreshToken | None:
        token = self._tokens.get(token_hash)
        if token is None or token.session_id not in self._stored or not self._stored[token.session_id].is_live(now):
            return None
        return RefreshToken(token_hash, self._stored[token.session_id].session, token.used_at)

    async def mark_used(self, token_hash: bytes, *, now: datetime) -> None:
        self._tokens[token_hash] = replace(self._tokens[token_hash], used_at=now)


class InMemoryApiKeyRepository:
    """Keeps the keys that are not revoked."""

    def __init__(self, stored: dict[CredentialId, IntegrationKey]) -> None:
        self._stored = stored

    async def add(self, key: IntegrationKey) -> None:
        self._stored[key.id] = key

    async def get(
        self, organisation_id: OrganisationId, key_id: CredentialId, *, for_update: bool = False
    ) -> IntegrationKey:
        key = self._stored.get(key_id)
        if key is None or key.organisation_id != organisation_id:
            raise ApiKeyNotFoundError
        return key

    async def list(self, organisation_id: OrganisationId, *, limit: int, cursor: str | None) -> Page[IntegrationKey]:
        return page_of(
            (key for key in self._stored.values() if key.organisation_id == organisation_id), limit, cursor
        )

    async def revoke(self, organisation_id: OrganisationId, key_id: CredentialId, *, now: datetime) -> None:
        await self.get(organisation_id, key_id)
        del self._stored[key_id]


class InMemorySigningKeyRepository:
    def __init__(self, stored: dict[SigningKeyId, StoredSigningKey]) -> None:
        self._stored = stored

    async def add(self, key: StoredSigningKey) -> None:
        self._stored[key.id] = key

    async def list(self, *, for_update: bool = False) -> builtins.list[StoredSigningKey]:
        return sorted(self._stored.values(), key=lambda key: (key.created_at, key.id))

    async def remove(self, key_id: SigningKeyId) -> None:
        self._stored.pop(key_id, None)


class InMemoryIdempotencyRepository:
    def __init__(self, stored: dict[tuple[str, str], KeptIdempotencyRecord]) -> None:
        self._stored = stored

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
        kept = self._stored.get((actor, key))
        if kept is not None and kept.started_at >= (abandon_before if kept.answer is None else forget_before):
            return IdempotencyRecord(kept.fingerprint, kept.answer)
        self._stored[actor, key] = KeptIdempotencyRecord(fingerprint, now)
        return None

    async def save_answer(self, actor: str, key: str, answer: bytes, *, started_at: datetime) -> None:
        if self._is_still_of(started_at, actor, key):
            self._stored[actor, key] = replace(self._stored[actor, key], answer=answer)

    async def remove(self, actor: str, key: str, *, started_at: datetime) -> None:
        if self._is_still_of(started_at, actor, key):
            del self._stored[actor, key]

    def _is_still_of(self, started_at: datetime, actor: str, key: str) -> bool:
        kept = self._stored.get((actor, key))
        return kept is not None and kept.started_at == started_at

    async def remove_before(self, moment: datetime, *, limit: int) -> int:
        old = [name for name, kept in self._stored.items() if kept.started_at < moment][:limit]
        for name in old:
            del self._stored[name]
        return len(old)
