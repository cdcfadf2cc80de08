"""Reads with a limit of their own: a costly query is refused to whoever asks it, and is no outage to the others."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from iotsphere.telemetry.errors import FigureOverflowError, QueryTooCostlyError
from repositories.sql import COMMAND_SECONDS, create_store_engine, sqlstate

REFUSALS = {"57014": QueryTooCostlyError, "22003": FigureOverflowError}


def create_telemetry_engine(
    dsn: str, *, pool_size: int = 10, command_seconds: float = COMMAND_SECONDS
) -> AsyncEngine:
    """Make the engine for what requests ask of the telemetry database."""
    settings = {
        # The server gives up well before the client does: so a query that was too much for a working server can be
        # told from a server that does not answer. And before that it tells who waits for others from who is slow.
        "statement_timeout": f"{command_seconds * 900:.0f}ms",
        "lock_timeout": f"{command_seconds * 850:.0f}ms",
        # It is told to expect its data in memory or on a fast disk, for by default it would rather read and sort
        # everything than follow an index to the few points that are wanted.
        "random_page_cost": "1.1",
    }
    return create_store_engine(dsn, pool_size=pool_size, command_seconds=command_seconds, settings=settings)


async def read(
    connection: AsyncConnection, statement: sa.Executable, parameters: Mapping[str, Any]
) -> Sequence[sa.Row[Any]]:
    """Give all rows of a query.

    :raises QueryTooCostlyError: the server was at it for too long.
    :raises FigureOverflowError: a number came out larger than a double can be.
    """
    try:
        return (await connection.execute(statement, parameters)).all()
    except DBAPIError as error:
        refusal = REFUSALS.get(sqlstate(error))
        if refusal is None:
            raise
        # Without its cause, which the unit of work would take for an outage.
        raise refusal from None
