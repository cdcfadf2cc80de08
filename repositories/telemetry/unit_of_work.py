from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.telemetry.ports import LedgerRepository, PointRepository
from repositories.sql import SqlAlchemyUnitOfWork
from repositories.telemetry.ledger import SqlAlchemyLedgerRepository
from repositories.telemetry.points import SqlAlchemyPointRepository


class SqlAlchemyTelemetryUnitOfWork(SqlAlchemyUnitOfWork):
    """A transaction on the telemetry database, on TimescaleDB and on native partitions alike."""

    points: PointRepository
    ledger: LedgerRepository

    def _bind(self, connection: AsyncConnection) -> None:
        self.points = SqlAlchemyPointRepository(connection)
        self.ledger = SqlAlchemyLedgerRepository(connection)
