import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from repositories.sql import SqlAlchemyStoreProbe

# How the table is kept decides, not what is installed: an extension that came later changes nothing by itself.
FIND_HYPERTABLES = sa.text("""
SELECT extversion, current_setting('timescaledb.license')
FROM pg_extension
WHERE extname = 'timescaledb' AND (SELECT relkind <> 'p' FROM pg_class WHERE oid = to_regclass('readings'))
""")


class SqlAlchemyTelemetryProbe(SqlAlchemyStoreProbe):
    """Asks the telemetry store what it is: ``timescaledb 2.19.3 (apache)`` or ``postgresql 18.6 (partitions)``."""

    async def _engine_of(self, connection: AsyncConnection) -> str:
        hypertables = (await connection.execute(FIND_HYPERTABLES)).first()
        if hypertables is None:
            return f"{await super()._engine_of(connection)} (partitions)"
        version, licence = hypertables
        return f"timescaledb {version} ({licence})"
