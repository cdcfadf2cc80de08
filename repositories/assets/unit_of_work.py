from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.assets.ports import AssetRepository, DeviceTypeRepository, MaintenanceEventRepository
from repositories.assets.assets import SqlAlchemyAssetRepository
from repositories.assets.device_types import SqlAlchemyDeviceTypeRepository
from repositories.assets.maintenance import SqlAlchemyMaintenanceEventRepository
from repositories.sql import SqlAlchemyUnitOfWork


class SqlAlchemyAssetsUnitOfWork(SqlAlchemyUnitOfWork):
    """A transaction on the asset database."""

    assets: AssetRepository
    device_types: DeviceTypeRepository
    maintenance_events: MaintenanceEventRepository

    def _bind(self, connection: AsyncConnection) -> None:
        self.assets = SqlAlchemyAssetRepository(connection)
        self.device_types = SqlAlchemyDeviceTypeRepository(connection)
        self.maintenance_events = SqlAlchemyMaintenanceEventRepository(connection)
