"""Reads with a limit of their own: a costly query is refused to whoever asks it, and is no outage to the others."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.telemetry.errors import FigureOverflowError, QueryTooCostlyError
from repositories.sql import COMMAND_SECONDS

# The server gives up before the client does. So a query that was too much for a working server can be told from a
# server that does not answer.
LIMIT_TIME = sa.text(f"SET LOCAL statement_timeout = {COMMAND_SECONDS * 900:.0f}")

REFUSALS = {"57014": QueryTooCostlyError, "22003": FigureOverflowError}


async def read(
    connection: AsyncConnection, statement: sa.Executable, parameters: Mapping[str, Any]
) -> Sequence[sa.Row[Any]]:
    """Give all rows of a query.

    :raises QueryTooCostlyError: the server was at it for too long.
    :raises FigureOverflowError: a number came out larger than a double can be.
    """
    try:
        await connection.execute(LIMIT_TIME)
        return (await connection.execute(statement, parameters)).all()
    except DBAPIError as error:
        refusal = REFUSALS.get(sqlstate(error))
        if refusal is None:
            raise
        # Without its cause, which the unit of work would take for an outage.
        raise refusal from None


def sqlstate(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""
