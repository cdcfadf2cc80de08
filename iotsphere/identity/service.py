"""Who is this? Log-in and sessions."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from iotsphere.identity.errors import (
    CredentialInvalidError,
    LoginRefusedError,
    SessionMissingError,
    UserNotFoundError,
)
from iotsphere.identity.model import (
    ACCESS_TOKEN_LIFE,
    BROWSER_SESSION_LIFE,
    REMEMBERED_SESSION_LIFE,
    SESSION_LIFE,
    BrowserLogIn,
    LiveSession,
    Session,
    SigningKey,
    TokenPair,
    User,
)
from iotsphere.identity.ports import IdentityUnitOfWork, IdentityUnitOfWorkFactory, PasswordHasher
from iotsphere.identity.secrets import SECRET, hash_secret, make_secret
from iotsphere.identity.tokens import AccessTokens, sign_token
from iotsphere.kernel.actor import Actor
from iotsphere.kernel.audit import Attempt
from iotsphere.kernel.clock import Clock
from iotsphere.kernel.identifiers import IdSource
from iotsphere.kernel.lease import LeasedCache

# Each with its refresh tokens, which may be thousands; however much has piled up, a statement has to end in time.
FORGOTTEN_AT_ONCE = 50
SESSION_OVER = "The session is over. Log in again."


class SessionService:
    """Logs people in, keeps them in, and lets them out."""

    def __init__(
        self,
        *,
        unit_of_work: IdentityUnitOfWorkFactory,
        passwords: PasswordHasher,
        tokens: AccessTokens,
        cache: LeasedCache[LiveSession],
        clock: Clock,
        new_id: IdSource,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._passwords = passwords
        self._tokens = tokens
        self._cache = cache
        self._clock = clock
        self._new_id = new_id

    async def log_in(self, *, email: str, password: str, attempt: Attempt) -> TokenPair:
        """Open a session.

        :raises LoginRefusedError: the address or the password is wrong; which, is not said.
        """
        user = await self._recognise(email, password)
        session, key = self._session(user, SESSION_LIFE), await self._tokens.signing_key()
        async with self._unit_of_work() as uow:
            await _open(uow, session, user, attempt)
            return await self._issue(uow, session.id, key)

    async def log_in_browser(self, *, email: str, password: str, remember: bool, attempt: Attempt) -> BrowserLogIn:
        """Open a session for a browser, which shows a secret instead of tokens.

        Every log-in has a secret of its own, so nobody can have planted it beforehand.

        :raises LoginRefusedError: the address or the password is wrong; which, is not said.
        """
        user = await self._recognise(email, password)
        secret, life = make_secret(), REMEMBERED_SESSION_LIFE if remember else BROWSER_SESSION_LIFE
        session = replace(self._session(user, life), secret_hash=hash_secret(secret))
        async with self._unit_of_work() as uow:
            await _open(uow, session, user, attempt)
            await uow.commit()
        return BrowserLogIn(secret, int(life.total_seconds()))

    async def refresh(self, *, refresh_token: str, attempt: Attempt) -> TokenPair:
        """Trade a refresh token for a new pair. Shown a second time, it ends the session: one of two has stolen it.

        :raises CredentialInvalidError: the token is unknown, used, or its session is over.
        """
        token_hash, key = hash_secret(refresh_token), await self._tokens.signing_key()
        async with self._unit_of_work() as uow:
            found = await uow.sessions.find_refresh_token(token_hash, now=self._clock())
            if found is None:
                raise CredentialInvalidError(SESSION_OVER)
            if found.used_at is None:
                await uow.sessions.mark_used(token_hash, now=self._clock())
                return await self._issue(uow, found.session.id, key)
            now, session_id = self._clock(), found.session.id
            holder = await uow.users.find_by_session(session_id, now=now)
            owner = holder.user if holder else None
            await uow.sessions.revoke(session_id, now=now)
            by = owner.as_actor() if owner else None
            await uow.audit.add(attempt.done(f"session:{session_id}", at=now, by=by, has_reused_token=True))
            await uow.commit()
        # Other processes are told. In this one nobody is let in any more when it is answered.
        self._cache.forget(session_id)
        raise _stolen(owner)

    async def log_out(self, *, attempt: Attempt) -> None:
        """End the session: its refresh tokens and every access token of it are refused from now on.

        :raises SessionMissingError: the caller shows a key, which is no session.
        """
        now = self._clock()
        session_id = attempt.actor.session_id if attempt.actor else None
        if session_id is None:
            raise SessionMissingError("There is no session to end: a key is revoked instead.")
        async with self._unit_of_work() as uow:
            await uow.sessions.revoke(session_id, now=now)
            await uow.audit.add(attempt.done(f"session:{session_id}", at=now))
            await uow.commit()
        self._cache.forget(session_id)

    async def forget_ended(self) -> None:
        """Remove sessions that nobody can use any more, with their refresh tokens."""
        now, removed = self._clock(), FORGOTTEN_AT_ONCE
        while removed == FORGOTTEN_AT_ONCE:
            async with self._unit_of_work() as uow:
                removed = await uow.sessions.remove_ended(now=now, limit=FORGOTTEN_AT_ONCE)
                await uow.commit()

    async def authenticate(self, *, access_token: str) -> Actor:
        """Tell whose access token this is, with the role that they have now.

        :raises CredentialInvalidError: not issued here, expired, or its session is over.
        """
        session_id = await self._tokens.read(access_token, now=self._clock())
        session = self._cache.recall(session_id) or await self._look_up(session_id)
        if session.expires_at <= self._clock():
            raise CredentialInvalidError(SESSION_OVER)
        return session.actor

    async def authenticate_browser(self, *, secret: str) -> Actor:
        """Tell whose browser shows this secret, with the role that they have now.

        :raises CredentialInvalidError: not given out here, or its session is over.
        """
        if not SECRET.fullmatch(secret):
            raise CredentialInvalidError(SESSION_OVER)
        async with self._unit_of_work() as uow:
            holder = await uow.users.find_by_session_secret(hash_secret(secret), now=self._clock())
        if holder is None:
            raise CredentialInvalidError(SESSION_OVER)
        return holder.user.as_actor(session_id=holder.session_id)

    async def _look_up(self, session_id: UUID) -> LiveSession:
        generation = self._cache.generation
        async with self._unit_of_work() as uow:
            holder = await uow.users.find_by_session(session_id, now=self._clock())
        if holder is None:
            raise CredentialInvalidError(SESSION_OVER)
        session = LiveSession(holder.user.as_actor(session_id=session_id), holder.expires_at)
        self._cache.remember(session_id, session, generation=generation)
        return session

    async def _recognise(self, email: str, password: str) -> User:
        async with self._unit_of_work() as uow:
            user = await uow.users.find_by_email(email)
        if not await self._passwords.verify(password, user.password_hash if user else None) or user is None:
            raise _login_refused(user)
        return user

    def _session(self, user: User, life: timedelta) -> Session:
        now = self._clock()
        return Session(id=self._new_id(), user_id=user.id, created_at=now, expires_at=now + life)

    async def _issue(self, uow: IdentityUnitOfWork, session_id: UUID, key: SigningKey) -> TokenPair:
        refresh_token = make_secret()
        await uow.sessions.add_refresh_token(hash_secret(refresh_token), session_id)
        await uow.commit()
        return TokenPair(
            access_token=sign_token(key, session_id=session_id, issued_at=self._clock()),
            refresh_token=refresh_token,
            expires_in=int(ACCESS_TOKEN_LIFE.total_seconds()),
        )


async def _open(uow: IdentityUnitOfWork, session: Session, user: User, attempt: Attempt) -> None:
    """Add the session, unless the user is gone or has another password since the one shown was compared."""
    try:
        present = await uow.users.get(user.organisation_id, user.id, for_update=True)
    except UserNotFoundError as error:
        raise _login_refused(None) from error
    if present.password_hash != user.password_hash:
        raise _login_refused(user)
    await uow.sessions.add(session)
    await uow.audit.add(attempt.done(f"user:{user.id}", at=session.created_at, by=user.as_actor()))


def _stolen(owner: User | None) -> CredentialInvalidError:
    """Make the refusal of a used token; the trail alone is told whose session has ended."""
    error = CredentialInvalidError(SESSION_OVER)
    if owner is not None:
        error.target, error.organisation_id = f"user:{owner.id}", owner.organisation_id
    return error


def _login_refused(user: User | None) -> LoginRefusedError:
    """Make the refusal, which tells the caller nothing and the trail whose account it was."""
    error = LoginRefusedError("The e-mail address or the password is wrong.")
    if user is not None:
        error.target, error.organisation_id = f"user:{user.id}", user.organisation_id
    return error
