"""The one way to reach a SQL store: an engine with hard time-outs, and a unit of work around one transaction.

The time-outs bound what a frozen server can cost a request: at most half a second for a pooled connection,
a second to open one, two for a statement (ADR 0006).
"""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import asyncpg
import msgspec
from sqlalchemy import exc
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from repositories.availability import StoreGate

POOL_WAIT_SECONDS = 0.5
CONNECT_SECONDS = 1.0
COMMAND_SECONDS = 2.0

OUTAGES = (
    OSError,
    TimeoutError,
    exc.TimeoutError,
    exc.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InsufficientResourcesError,
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
)


def create_store_engine(dsn: str, *, pool_size: int = 10) -> AsyncEngine:
    """Make the engine of one store from a libpq URL (``postgresql://user:password@host/database``)."""
    return create_async_engine(
        make_url(dsn).set(drivername="postgresql+asyncpg"),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_WAIT_SECONDS,
        connect_args={"timeout": CONNECT_SECONDS, "command_timeout": COMMAND_SECONDS},
        json_serializer=lambda value: msgspec.json.encode(value, enc_hook=_encode_uuid).decode(),
        json_deserializer=msgspec.json.decode,
    )


def _encode_uuid(value: Any) -> str:
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")


def is_outage(error: BaseException | None) -> bool:
    """Tell a store that does not answer from a statement that it refused."""
    if isinstance(error, exc.DBAPIError):
        # SQLAlchemy wraps the driver's error twice: its own, then a DBAPI-shaped one around asyncpg's.
        return error.connection_invalidated or is_outage(error.__cause__) or is_outage(error.orig)
    if isinstance(error, OUTAGES):
        return True
    return error is not None and error.__cause__ is not None and is_outage(error.__cause__)


class SqlAlchemyUnitOfWork:
    """One transaction on one store; leaving without ``commit`` rolls back.

    Subclasses give their repositories the connection in ``_bind``.
    """

    def __init__(self, engine: AsyncEngine, gate: StoreGate) -> None:
        self._engine = engine
        self._gate = gate

    async def __aenter__(self) -> Self:
        self._gate.enter()
        try:
            self._connection = await self._engine.connect()
        except (OSError, exc.SQLAlchemyError, asyncpg.PostgresError) as error:
            if is_outage(error):
                raise self._gate.failed() from error
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
        if is_outage(error):
            await _abandon(self._connection)
            raise self._gate.failed() from error
        self._gate.succeeded()
        await self._connection.close()


async def _abandon(connection: AsyncConnection) -> None:
    """Drop a connection without a farewell, for which a frozen server would make us wait."""
    if not connection.invalidated:
        raw = await connection.get_raw_connection()
        if raw.driver_connection is not None:
            raw.driver_connection.terminate()
        await connection.invalidate()
    await connection.close()


UnitOfWorkFactory = Callable[[], SqlAlchemyUnitOfWork]
