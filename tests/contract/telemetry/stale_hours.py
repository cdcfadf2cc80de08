"""Hours whose figures are still to be worked out, said outright, in the double and on the engines."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from iotsphere.telemetry.model import StaleHour
from tests.fakes.telemetry import TelemetryData

EMPTY = sa.text("DELETE FROM stale_hours")
ADD = sa.text("INSERT INTO stale_hours (source, hour) VALUES (1, :hour)")


async def make_stale(made_of: TelemetryData | AsyncEngine, *hours: datetime) -> None:
    """Let these hours of the first source, and no others of any, be stale."""
    if isinstance(made_of, TelemetryData):
        made_of.stale = {(1, hour): StaleHour(1, hour, 0) for hour in hours}
        return
    async with made_of.begin() as connection:
        await connection.execute(EMPTY)
        for hour in hours:
            await connection.execute(ADD, {"hour": hour})
