from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.assets.ports import (
    AssetAggregateRepository,
    AssetChangeRepository,
    AssetFileRepository,
    AssetRepository,
    AssetSearchRepository,
    DeviceTypeRepository,
    MaintenanceEventRepository,
    PlaceRepository,
    RelationshipRepository,
)
from repositories.assets.aggregates import FIGURES_SECONDS, SqlAlchemyAssetAggregateRepository
from repositories.assets.asset_files import SqlAlchemyAssetFileRepository
from repositories.assets.assets import SqlAlchemyAssetRepository
from repositories.assets.changes import SqlAlchemyAssetChangeRepository
from repositories.assets.device_types import SqlAlchemyDeviceTypeRepository
from repositories.assets.maintenance import SqlAlchemyMaintenanceEventRepository
from repositories.assets.places import SqlAlchemyPlaceRepository
from repositories.assets.relationships import SqlAlchemyRelationshipRepository
from repositories.assets.search import SqlAlchemyAssetSearchRepository
from repositories.sql import SqlAlchemyUnitOfWork


class SqlAlchemyAssetsUnitOfWork(SqlAlchemyUnitOfWork):
    """A transaction on the asset database."""

    assets: AssetRepository
    search: AssetSearchRepository
    places: PlaceRepository
    changes: AssetChangeRepository
    asset_files: AssetFileRepository
    relationships: RelationshipRepository
    device_types: DeviceTypeRepository
    maintenance_events: MaintenanceEventRepository
    aggregates: AssetAggregateRepository

    def _bind(self, connection: AsyncConnection) -> None:
        self.assets = SqlAlchemyAssetRepository(connection)
        self.search = SqlAlchemyAssetSearchRepository(connection)
        self.places = SqlAlchemyPlaceRepository(connection)
        self.changes = SqlAlchemyAssetChangeRepository(connection)
        self.asset_files = SqlAlchemyAssetFileRepository(connection)
        self.relationships = SqlAlchemyRelationshipRepository(connection)
        self.device_types = SqlAlchemyDeviceTypeRepository(connection)
        self.maintenance_events = SqlAlchemyMaintenanceEventRepository(connection)
        self.aggregates = SqlAlchemyAssetAggregateRepository(connection)


class SqlAlchemyAssetSearchUnitOfWork(SqlAlchemyAssetsUnitOfWork):
    """The same for searches alone, on connections of their own: how these are told to plan stays with them."""

    def _bind(self, connection: AsyncConnection) -> None:
        super()._bind(connection)
        self.search = SqlAlchemyAssetSearchRepository(connection, is_alone=True)


class SqlAlchemyAssetFiguresUnitOfWork(SqlAlchemyAssetsUnitOfWork):
    """The same for figures, on connections of their own, whose commands may take ``FIGURES_SECONDS``."""

    def _bind(self, connection: AsyncConnection) -> None:
        super()._bind(connection)
        self.aggregates = SqlAlchemyAssetAggregateRepository(connection, milliseconds=FIGURES_SECONDS * 900)
