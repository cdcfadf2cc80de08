from collections.abc import AsyncIterator
from functools import partial
from uuid import uuid4

import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine

from iotsphere.assets.maintenance import MaintenanceService
from iotsphere.assets.service import AssetService
from iotsphere.kernel.clock import utc_now
from repositories.assets.unit_of_work import SqlAlchemyAssetsUnitOfWork
from repositories.availability import StoreGate
from repositories.sql import create_store_engine


@pytest_asyncio.fixture(scope="session")
async def assets_engine(assets_dsn: str) -> AsyncIterator[AsyncEngine]:
    engine = create_store_engine(assets_dsn)
    yield engine
    await engine.dispose()


@pytest.fixture
def service(assets_engine: AsyncEngine) -> AssetService:
    unit_of_work = partial(SqlAlchemyAssetsUnitOfWork, assets_engine, StoreGate("assets"))
    return AssetService(unit_of_work=unit_of_work, moving=unit_of_work, clock=utc_now, new_id=uuid4)


@pytest.fixture
def maintenance(assets_engine: AsyncEngine) -> MaintenanceService:
    unit_of_work = partial(SqlAlchemyAssetsUnitOfWork, assets_engine, StoreGate("assets"))
    return MaintenanceService(unit_of_work=unit_of_work, clock=utc_now, new_id=uuid4)
