from typing import Self

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.shadow.ports import ShadowJournal
from iotsphere.telemetry.ports import (
    ArchiveCatalogue,
    ChunkRepository,
    Columnstore,
    EpochRepository,
    FleetRepository,
    LedgerRepository,
    PointRepository,
    RemovalRepository,
    RetentionRepository,
    RollupRepository,
)
from repositories.sql import SqlAlchemyUnitOfWork, is_outage
from repositories.telemetry.archive import SqlAlchemyArchiveCatalogue
from repositories.telemetry.chunks import SqlAlchemyChunkRepository
from repositories.telemetry.columnstore import SqlAlchemyColumnstore
from repositories.telemetry.epochs import SqlAlchemyEpochRepository
from repositories.telemetry.fleet import SqlAlchemyFleetRepository
from repositories.telemetry.journal import SqlAlchemyShadowJournal
from repositories.telemetry.ledger import SqlAlchemyLedgerRepository
from repositories.telemetry.points import SqlAlchemyPointRepository
from repositories.telemetry.removals import SqlAlchemyRemovalRepository
from repositories.telemetry.retention import SqlAlchemyRetentionRepository
from repositories.telemetry.rollups import SqlAlchemyRollupRepository


class SqlAlchemyTelemetryUnitOfWork(SqlAlchemyUnitOfWork):
    """A transaction on the telemetry database, on TimescaleDB and on native partitions alike."""

    points: PointRepository
    ledger: LedgerRepository
    fleet: FleetRepository
    epochs: EpochRepository
    retention: RetentionRepository
    archive: ArchiveCatalogue
    removals: RemovalRepository

    def _bind(self, connection: AsyncConnection) -> None:
        self.points = SqlAlchemyPointRepository(connection)
        self.ledger = SqlAlchemyLedgerRepository(connection)
        self.fleet = SqlAlchemyFleetRepository(connection)
        self.epochs = SqlAlchemyEpochRepository(connection)
        self.archive = SqlAlchemyArchiveCatalogue(connection)
        self.removals = SqlAlchemyRemovalRepository(connection)
        self.retention = SqlAlchemyRetentionRepository(connection)


class SqlAlchemyTelemetryView(SqlAlchemyTelemetryUnitOfWork):
    """The same for who only reads, each statement by itself: no word is lost on a beginning and an end.

    Between two statements of a transaction others may commit as well.
    """

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        await self._connection.execution_options(isolation_level="AUTOCOMMIT")
        return self


LET_GO = sa.text("SELECT pg_advisory_unlock_all()")


class SqlAlchemyUpkeepUnitOfWork(SqlAlchemyUnitOfWork):
    """A connection on which every statement is a transaction of its own: some of them can be nothing else."""

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        await self._connection.execution_options(isolation_level="AUTOCOMMIT")
        return self

    async def _leave(self, error: BaseException | None) -> None:
        # What was claimed and set on it goes with the connection, but nobody knows how soon the server sees it go.
        if not is_outage(error) and isinstance(error, Exception | None):
            await self._connection.execute(LET_GO)
        await self._connection.invalidate()
        await super()._leave(error)


class SqlAlchemyKeepingUnitOfWork(SqlAlchemyUpkeepUnitOfWork):
    chunks: ChunkRepository
    archive: ArchiveCatalogue
    removals: RemovalRepository

    def _bind(self, connection: AsyncConnection) -> None:
        self.chunks = SqlAlchemyChunkRepository(connection)
        self.archive = SqlAlchemyArchiveCatalogue(connection)
        self.removals = SqlAlchemyRemovalRepository(connection)


class SqlAlchemyColumnstoreUnitOfWork(SqlAlchemyUpkeepUnitOfWork):
    columnstore: Columnstore

    def _bind(self, connection: AsyncConnection) -> None:
        self.columnstore = SqlAlchemyColumnstore(connection)


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
