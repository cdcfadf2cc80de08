"""The one way to reach a SQL store: an engine with hard time-outs, and a unit of work around one transaction.

The time-outs bound what a frozen server can cost a request: at most half a second for a pooled connection,
a second to open one, two for a statement (ADR 0006).
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar
from uuid import UUID

import asyncpg
import msgspec
from sqlalchemy import Select, Table, event, exc, literal, text, tuple_
from sqlalchemy.engine import AdaptedConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from iotsphere.kernel.pagination import Page, decode_cursor, encode_cursor
from repositories.availability import StoreGate

POOL_WAIT_SECONDS = 0.5
CONNECT_SECONDS = 1.0
COMMAND_SECONDS = 2.0
# The server gives up before we do. So what was too much for a server that works can be told from a server that does
# not answer, and nothing goes on, or keeps its locks, that nobody waits for.
SERVER_SETTINGS = {
    "lock_timeout": "1800ms",
    "idle_in_transaction_session_timeout": "10s",
    # Others than TimescaleDB take no notice. There, whoever changes compressed readings is stopped by the time-outs
    # alone, and not by how many lie beside them, which is told as if the server had run out of something.
    "timescaledb.max_tuples_decompressed_per_dml_transaction": "0",
}

NO_SETTINGS: Mapping[str, str] = {}

CONSTRAINT_NAMES = {
    "pk": "pk_%(table_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
}
"""The naming convention of every SQL store's metadata."""

OUTAGES = (
    OSError,
    TimeoutError,
    exc.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    # What is asked of a connection whose server has said farewell, in the moment before it hangs up.
    asyncpg.InternalClientError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InsufficientResourcesError,
    # What a store looks like that is not set up yet, or set up for somebody else, or only a standby.
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
    # A database that takes no connections for now, as while it is restored.
    asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
)
DRIVER_ERRORS = (
    OSError,
    exc.SQLAlchemyError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
# No connection or no lock was to be had in time, or the statement was too much: to others the store is well.
BUSY = (
    exc.TimeoutError,
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.QueryCanceledError,
)


async def open_connection(
    dsn: str, *, command_seconds: float = COMMAND_SECONDS, settings: Mapping[str, str] = NO_SETTINGS
) -> Any:
    """Connect to a store by a libpq URL (``postgresql://user:password@host/database?sslmode=...``)."""
    given = {**SERVER_SETTINGS, "statement_timeout": f"{command_seconds * 950:.0f}ms", **settings}
    return await asyncpg.connect(dsn, timeout=CONNECT_SECONDS, command_timeout=command_seconds, server_settings=given)


def create_store_engine(
    dsn: str,
    *,
    pool_size: int = 10,
    command_seconds: float = COMMAND_SECONDS,
    settings: Mapping[str, str] = NO_SETTINGS,
) -> AsyncEngine:
    """Make the engine of one store from a libpq URL.

    :param command_seconds: more than a request can wait is for work that no request waits for.
    :param settings: what the server is told for every statement, which costs none of them a word.
    """
    engine = create_async_engine(
        "postgresql+asyncpg://",
        # The driver reads the URL itself, and so knows all that may stand in it.
        async_creator=partial(open_connection, dsn, command_seconds=command_seconds, settings=settings),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_WAIT_SECONDS,
        # Errors are logged, and what a statement carries may be a hash or somebody's name.
        hide_parameters=True,
        json_serializer=lambda value: msgspec.json.encode(value, enc_hook=_encode_uuid).decode(),
        json_deserializer=msgspec.json.decode,
    )
    event.listen(engine.sync_engine, "close", _hang_up)
    return engine


def _hang_up(connection: AdaptedConnection, _: object) -> None:
    """Drop a connection without a farewell, for which a frozen server would make us wait."""
    connection.driver_connection.terminate()


def _encode_uuid(value: Any) -> str:
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")


def is_outage(error: BaseException | None) -> bool:
    """Tell a store that does not answer from a statement that it refused."""
    return not is_full(error) and any(
        isinstance(cause, OUTAGES) or (isinstance(cause, exc.DBAPIError) and cause.connection_invalidated)
        for cause in _causes(error)
    )


def is_full(error: BaseException | None) -> bool:
    """Tell a store that has no room for what is written, and still gives what it has."""
    return any(isinstance(cause, asyncpg.DiskFullError) for cause in _causes(error))


def is_busy(error: BaseException | None) -> bool:
    """Tell a store that answers others, and had no connection or lock left for us in time."""
    return any(isinstance(cause, BUSY) for cause in _causes(error))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Give an error and what caused it: SQLAlchemy wraps the driver's in one of its own, and that once more."""
    while error is not None:
        yield error
        error = error.__cause__


def violated_constraint(error: exc.IntegrityError) -> str | None:
    """Give the name of the constraint that refused a statement; adapters look the domain error up by it."""
    driver_error = error.orig.__cause__ if error.orig else None
    return getattr(driver_error, "constraint_name", None)


QUERY_CANCELED = "57014"
"""As which the server refuses a statement that takes longer than it may."""


def sqlstate(error: exc.DBAPIError) -> str:
    """Give PostgreSQL's code of why a statement was refused, empty where it was not the server who did."""
    return getattr(error.orig, "sqlstate", None) or ""


class Listed(Protocol):
    """What a list in the order of creation sorts by."""

    @property
    def created_at(self) -> datetime: ...

    @property
    def id(self) -> UUID: ...


L = TypeVar("L", bound=Listed)


def after_cursor(query: Select[Any], table: Table, limit: int, cursor: str | None) -> Select[Any]:
    """Order by creation, start behind the cursor, and ask for one row too many: it tells of a next page.

    :raises CursorMalformedError: the cursor is not one that ``page_of`` made.
    """
    key = (table.c.created_at, table.c.id)
    if cursor is not None:
        last = decode_cursor(cursor, tuple[datetime, UUID])
        values = (literal(value, column.type) for value, column in zip(last, key, strict=True))
        query = query.where(tuple_(*key) > tuple_(*values))
    return query.order_by(*key).limit(limit + 1)


def page_of(found: list[L], limit: int) -> Page[L]:
    """Make a page of what ``after_cursor`` found."""
    last = found[limit - 1] if len(found) > limit else None
    return Page(found[:limit], encode_cursor(last.created_at, last.id) if last else None)


class SqlAlchemyUnitOfWork:
    """One transaction on one store; leaving without ``commit`` rolls back.

    Subclasses give their repositories the connection in ``_bind``.
    """

    _heeds_gate = True

    def __init__(self, engine: AsyncEngine, gate: StoreGate) -> None:
        self._engine = engine
        self._gate = gate

    async def __aenter__(self) -> Self:
        if self._heeds_gate:
            self._gate.enter()
        try:
            self._connection = await self._engine.connect()
        except DRIVER_ERRORS as error:
            self._raise_if_unavailable(error)
            raise
        self._bind(self._connection)
        return self

    def _bind(self, connection: AsyncConnection) -> None:
        raise NotImplementedError

    async def commit(self) -> None:
        await self._connection.commit()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._leave(error)
        except DRIVER_ERRORS as failure:
            self._raise_if_unavailable(failure)
            raise
        self._raise_if_unavailable(error)

    async def _leave(self, error: BaseException | None) -> None:
        """Give the connection back, or drop it where waiting for a rollback would be in vain or for nobody."""
        if is_outage(error) or not isinstance(error, Exception | None):
            await self._connection.invalidate()
        elif error is None or self._connection.in_transaction():
            # Whoever failed before asking anything has learnt nothing about the store.
            self._gate.succeeded()
        await self._connection.close()

    def _raise_if_unavailable(self, error: BaseException | None) -> None:
        if is_full(error):
            raise self._gate.full() from error
        if is_busy(error):
            raise self._gate.busy() from error
        if is_outage(error):
            raise self._gate.failed(_advice(error)) from error


def _advice(error: BaseException | None) -> str | None:
    if any(isinstance(cause, asyncpg.InsufficientPrivilegeError) for cause in _causes(error)):
        return "Its role lacks rights on its own tables: 'iotsphere migrate' must run as the role that the DSN names."
    if isinstance(error, exc.ProgrammingError):
        return "Its schema is missing or of another version: run 'iotsphere migrate'."
    return None


class _ProbeUnitOfWork(SqlAlchemyUnitOfWork):
    """Goes past the gate: a store that is back must be seen to be back."""

    _heeds_gate = False

    def _bind(self, connection: AsyncConnection) -> None:
        self.connection = connection


class SqlAlchemyStoreProbe:
    """Asks a plain PostgreSQL store what it is."""

    def __init__(self, engine: AsyncEngine, gate: StoreGate) -> None:
        self._engine = engine
        self._gate = gate

    async def probe(self) -> str:
        """:raises UnavailableError: the store does not answer, or its schema is not there."""
        async with _ProbeUnitOfWork(self._engine, self._gate) as uow:
            await uow.connection.execute(text("SELECT FROM alembic_version"))
            return await self._engine_of(uow.connection)

    async def find_remark(self) -> str | None:
        """Tell if there was no room for what this process wanted to write."""
        return self._gate.find_remark()

    @asynccontextmanager
    async def reach(self) -> AsyncIterator[AsyncConnection]:
        """Give a connection past the gate, for looking only: nothing is committed.

        :raises UnavailableError: the store does not answer.
        """
        async with _ProbeUnitOfWork(self._engine, self._gate) as uow:
            yield uow.connection

    async def _engine_of(self, connection: AsyncConnection) -> str:
        version: str = await connection.scalar(text("SHOW server_version"))
        return f"postgresql {version.split(maxsplit=1)[0]}"
