import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from repositories.sql import SqlAlchemyStoreProbe

# How the table is kept decides, not what is installed: an extension that came later changes nothing by itself.
FIND_HYPERTABLES = sa.text("""
SELECT extversion, current_setting('timescaledb.license')
FROM pg_extension
WHERE extname = 'timescaledb' AND (SELECT relkind <> 'p' FROM pg_class WHERE oid = to_regclass('readings'))
""")

# The licence under which TimescaleDB is used; it says what its columns may be used for.
COMMUNITY = "timescale"
NOT_COLUMNAR = "Readings are not compressed: this engine cannot."


async def is_columnar(connection: AsyncConnection) -> bool:
    """Tell whether chunks can be kept by column."""
    hypertables = (await connection.execute(FIND_HYPERTABLES)).first()
    return hypertables is not None and hypertables[1] == COMMUNITY


class SqlAlchemyTelemetryProbe(SqlAlchemyStoreProbe):
    """Asks the telemetry store what it is: ``timescaledb 2.19.3 (apache)`` or ``postgresql 18.6 (partitions)``."""

    async def find_remark(self) -> str | None:
        """Tell of a full disk before anything else, and whether old readings are compressed."""
        if remark := await super().find_remark():
            return remark
        async with self.reach() as connection:
            return None if await is_columnar(connection) else NOT_COLUMNAR

    async def _engine_of(self, connection: AsyncConnection) -> str:
        hypertables = (await connection.execute(FIND_HYPERTABLES)).first()
        if hypertables is None:
            return f"{await super()._engine_of(connection)} (partitions)"
        version, licence = hypertables
        return f"timescaledb {version} ({licence})"
