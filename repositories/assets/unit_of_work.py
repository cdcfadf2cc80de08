from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.assets.ports import AssetRepository
from repositories.assets.assets import SqlAlchemyAssetRepository
from repositories.sql import SqlAlchemyUnitOfWork


class SqlAlchemyAssetsUnitOfWork(SqlAlchemyUnitOfWork):
    """A transaction on the asset database."""

    assets: AssetRepository

    def _bind(self, connection: AsyncConnection) -> None:
        self.assets = SqlAlchemyAssetRepository(connection)
