from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.shadow.ports import ShadowJournal
from iotsphere.telemetry.ports import (
    EpochRepository,
    FleetRepository,
    LedgerRepository,
    PointRepository,
    RollupRepository,
)
from repositories.sql import SqlAlchemyUnitOfWork
from repositories.telemetry.epochs import SqlAlchemyEpochRepository
from repositories.telemetry.fleet import SqlAlchemyFleetRepository
from repositories.telemetry.journal import SqlAlchemyShadowJournal
from repositories.telemetry.ledger import SqlAlchemyLedgerRepository
from repositories.telemetry.points import SqlAlchemyPointRepository
from repositories.telemetry.rollups import SqlAlchemyRollupRepository


class SqlAlchemyTelemetryUnitOfWork(SqlAlchemyUnitOfWork):
    """A transaction on the telemetry database, on TimescaleDB and on native partitions alike."""

    points: PointRepository
    ledger: LedgerRepository
    fleet: FleetRepository
    epochs: EpochRepository

    def _bind(self, connection: AsyncConnection) -> None:
        self.points = SqlAlchemyPointRepository(connection)
        self.ledger = SqlAlchemyLedgerRepository(connection)
        self.fleet = SqlAlchemyFleetRepository(connection)
        self.epochs = SqlAlchemyEpochRepository(connection)


class SqlAlchemyRollupUnitOfWork(SqlAlchemyUnitOfWork):
    """A transaction on the figures that are worked out ahead, in the same database."""

    rollups: RollupRepository

    def _bind(self, connection: AsyncConnection) -> None:
        self.rollups = SqlAlchemyRollupRepository(connection)


class SqlAlchemyJournalUnitOfWork(SqlAlchemyUnitOfWork):
    """A transaction on the journal of shadows, in the same database."""

    journal: ShadowJournal

    def _bind(self, connection: AsyncConnection) -> None:
        self.journal = SqlAlchemyShadowJournal(connection)
