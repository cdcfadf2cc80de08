"""Organisations, users and their sessions in PostgreSQL."""

import builtins
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.identity.errors import (
    EmailTakenError,
    OrganisationNameTakenError,
    OrganisationNotFoundError,
    UserNotFoundError,
)
from iotsphere.identity.model import Organisation, RefreshToken, Session, SessionHolder, User
from iotsphere.kernel.actor import Role
from iotsphere.kernel.identifiers import OrganisationId, UserId
from iotsphere.kernel.pagination import Page
from repositories.registry.tables import organisations, refresh_tokens, sessions, users
from repositories.sql import after_cursor, page_of, violated_constraint


class SqlAlchemyOrganisationRepository:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, organisation: Organisation) -> None:
        await self._execute(sa.insert(organisations), organisation)

    async def get(self, organisation_id: OrganisationId, *, for_update: bool = False) -> Organisation:
        query = sa.select(organisations).where(organisations.c.id == organisation_id)
        row = (await self._connection.execute(_locking(query) if for_update else query)).first()
        if row is None:
            raise OrganisationNotFoundError
        return _row_to_organisation(row)

    async def list(self, *, limit: int, cursor: str | None) -> Page[Organisation]:
        found = await self._connection.execute(after_cursor(sa.select(organisations), organisations, limit, cursor))
        return page_of([_row_to_organisation(row) for row in found], limit)

    async def save(self, organisation: Organisation) -> None:
        await self._execute(sa.update(organisations).where(organisations.c.id == organisation.id), organisation)

    async def is_empty(self) -> bool:
        return not await self._connection.scalar(sa.select(sa.exists(sa.select(organisations.c.id))))

    async def _execute(self, statement: sa.Insert | sa.Update, organisation: Organisation) -> None:
        row = {
            "id": organisation.id,
            "name": organisation.name,
            "created_at": organisation.created_at,
            "version": organisation.version,
        }
        try:
            await self._connection.execute(statement.values(row))
        except IntegrityError as error:
            if violated_constraint(error) == "uq_organisations_name":
                raise OrganisationNameTakenError(f"There is an organisation named {organisation.name!r}.") from error
            raise


class SqlAlchemyUserRepository:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, user: User) -> None:
        try:
            await self._connection.execute(sa.insert(users).values(_user_to_row(user)))
        except IntegrityError as error:
            if violated_constraint(error) == "uq_users_email":
                raise EmailTakenError(f"The e-mail address {user.email!r} is in use.") from error
            raise

    async def get(self, organisation_id: OrganisationId, user_id: UserId, *, for_update: bool = False) -> User:
        query = sa.select(users).where(users.c.organisation_id == organisation_id, users.c.id == user_id)
        row = (await self._connection.execute(_locking(query) if for_update else query)).first()
        if row is None:
            raise UserNotFoundError("There is no such user in the organisation.")
        return _row_to_user(row)

    async def save(self, user: User) -> None:
        await self._connection.execute(sa.update(users).where(users.c.id == user.id).values(_user_to_row(user)))

    async def remove(self, user_id: UserId) -> None:
        await self._connection.execute(sa.delete(users).where(users.c.id == user_id))

    async def list_administrators(self, organisation_id: OrganisationId) -> builtins.list[User]:
        are_ours = (users.c.organisation_id == organisation_id) & (users.c.role == Role.ADMIN.value)
        # In one order, so that two who lock them never wait for each other.
        query = sa.select(users).where(are_ours | users.c.is_platform_administrator).order_by(users.c.id)
        return [_row_to_user(row) for row in await self._connection.execute(_locking(query))]

    async def find_by_email(self, email: str) -> User | None:
        query = sa.select(users).where(sa.func.lower(users.c.email) == sa.func.lower(email))
        row = (await self._connection.execute(query)).first()
        return _row_to_user(row) if row else None

    async def find_by_session(self, session_id: UUID, *, now: datetime) -> SessionHolder | None:
        return await self._find_holder(sessions.c.id == session_id, now=now)

    async def find_by_session_secret(self, secret_hash: bytes, *, now: datetime) -> SessionHolder | None:
        return await self._find_holder(sessions.c.secret_hash == secret_hash, now=now)

    async def _find_holder(self, is_it: sa.ColumnElement[bool], *, now: datetime) -> SessionHolder | None:
        query = (
            sa.select(users, sessions.c.id.label("session_id"), sessions.c.expires_at)
            .join(sessions, sessions.c.user_id == users.c.id)
            .where(is_it, sessions.c.revoked_at.is_(None), sessions.c.expires_at > now)
        )
        row = (await self._connection.execute(query)).first()
        return SessionHolder(row.session_id, _row_to_user(row), row.expires_at) if row else None

    async def list(self, organisation_id: OrganisationId, *, limit: int, cursor: str | None) -> Page[User]:
        query = sa.select(users).where(users.c.organisation_id == organisation_id)
        found = await self._connection.execute(after_cursor(query, users, limit, cursor))
        return page_of([_row_to_user(row) for row in found], limit)


class SqlAlchemySessionRepository:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, session: Session) -> None:
        await self._connection.execute(
            sa.insert(sessions).values(
                id=session.id,
                user_id=session.user_id,
                created_at=session.created_at,
                expires_at=session.expires_at,
                secret_hash=session.secret_hash,
            )
        )

    async def revoke(self, session_id: UUID, *, now: datetime) -> None:
        await self._connection.execute(
            sa.update(sessions)
            .where(sessions.c.id == session_id, sessions.c.revoked_at.is_(None))
            .values(revoked_at=now)
        )

    async def revoke_all(self, user_id: UserId, *, but: UUID | None, now: datetime) -> None:
        await self._connection.execute(
            sa.update(sessions)
            .where(
                sessions.c.user_id == user_id,
                sessions.c.revoked_at.is_(None),
                sessions.c.id.is_distinct_from(but),
            )
            .values(revoked_at=now)
        )

    async def remove_ended(self, *, now: datetime, limit: int) -> int:
        ended = sa.select(sessions.c.id).where(sessions.c.expires_at <= now).limit(limit)
        return (await self._connection.execute(sa.delete(sessions).where(sessions.c.id.in_(ended)))).rowcount

    async def add_refresh_token(self, token_hash: bytes, session_id: UUID) -> None:
        await self._connection.execute(sa.insert(refresh_tokens).values(token_hash=token_hash, session_id=session_id))

    async def find_refresh_token(self, token_hash: bytes, *, now: datetime) -> RefreshToken | None:
        query = (
            sa.select(refresh_tokens.c.used_at, sessions)
            .join(sessions, sessions.c.id == refresh_tokens.c.session_id)
            .where(
                refresh_tokens.c.token_hash == token_hash,
                sessions.c.revoked_at.is_(None),
                sessions.c.expires_at > now,
            )
            .with_for_update(of=refresh_tokens)
        )
        row = (await self._connection.execute(query)).first()
        if row is None:
            return None
        session = Session(
            id=row.id, user_id=UserId(row.user_id), created_at=row.created_at, expires_at=row.expires_at
        )
        return RefreshToken(token_hash=token_hash, session=session, used_at=row.used_at)

    async def mark_used(self, token_hash: bytes, *, now: datetime) -> None:
        await self._connection.execute(
            sa.update(refresh_tokens).where(refresh_tokens.c.token_hash == token_hash).values(used_at=now)
        )


def _locking(query: sa.Select[Any]) -> sa.Select[Any]:
    """Lock what is found, yet let others add what refers to it."""
    return query.with_for_update(key_share=True)


def _row_to_organisation(row: sa.Row[Any]) -> Organisation:
    return Organisation(id=OrganisationId(row.id), name=row.name, created_at=row.created_at, version=row.version)


def _user_to_row(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "organisation_id": user.organisation_id,
        "email": user.email,
        "name": user.name,
        "role": user.role.value,
        "password_hash": user.password_hash,
        "is_platform_administrator": user.is_platform_administrator,
        "created_at": user.created_at,
        "version": user.version,
    }


def _row_to_user(row: sa.Row[Any]) -> User:
    return User(
        id=UserId(row.id),
        organisation_id=OrganisationId(row.organisation_id),
        email=row.email,
        name=row.name,
        role=Role(row.role),
        password_hash=row.password_hash,
        created_at=row.created_at,
        is_platform_administrator=row.is_platform_administrator,
        version=row.version,
    )
