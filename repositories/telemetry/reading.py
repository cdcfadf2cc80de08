"""Reads with a limit of their own: a costly query is refused to whoever asks it, and is no outage to the others."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.telemetry.errors import FigureOverflowError, QueryTooCostlyError
from repositories.sql import COMMAND_SECONDS, sqlstate

# The server gives up before the client does: so a query that was too much for a working server can be told from a
# server that does not answer. And it is told to expect its data in memory or on a fast disk, for by default it would
# rather read and sort everything than follow an index to the few points that are wanted.
SETTINGS = sa.text("""
SELECT set_config('statement_timeout', :milliseconds, true), set_config('random_page_cost', '1.1', true)
""").bindparams(milliseconds=f"{COMMAND_SECONDS * 900:.0f}")

REFUSALS = {"57014": QueryTooCostlyError, "22003": FigureOverflowError}


async def read(
    connection: AsyncConnection, statement: sa.Executable, parameters: Mapping[str, Any]
) -> Sequence[sa.Row[Any]]:
    """Give all rows of a query.

    :raises QueryTooCostlyError: the server was at it for too long.
    :raises FigureOverflowError: a number came out larger than a double can be.
    """
    try:
        await connection.execute(SETTINGS)
        return (await connection.execute(statement, parameters)).all()
    except DBAPIError as error:
        refusal = REFUSALS.get(sqlstate(error))
        if refusal is None:
            raise
        # Without its cause, which the unit of work would take for an outage.
        raise refusal from None
