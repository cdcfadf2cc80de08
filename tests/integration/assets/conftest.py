from collections.abc import AsyncIterator
from functools import partial
from uuid import uuid4

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from iotsphere.assets.maintenance import MaintenanceService
from iotsphere.assets.service import AssetService
from iotsphere.kernel.clock import utc_now
from iotsphere.localstack.stack import LocalStack, create_database
from repositories.assets.search_settings import SEARCH_SETTINGS
from repositories.assets.unit_of_work import SqlAlchemyAssetsUnitOfWork
from repositories.availability import StoreGate
from repositories.migrations import upgrade
from repositories.sql import create_store_engine
from tests.integration.assets.fleet import fill


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


@pytest_asyncio.fixture(scope="session")
async def fleet_engine(stack: LocalStack) -> AsyncIterator[AsyncEngine]:
    dsn = await create_database(stack, "assets_fleet", timescaledb=False)
    upgrade("assets", dsn)
    engine = create_store_engine(dsn, command_seconds=120, settings={**SEARCH_SETTINGS, "statement_timeout": "120s"})
    async with engine.begin() as connection:
        await fill(connection)
    async with engine.connect() as connection:
        vacuuming = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await vacuuming.execute(sa.text("VACUUM ANALYZE"))
    yield engine
    await engine.dispose()


@pytest_asyncio.fixture
async def fleet(fleet_engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    async with fleet_engine.connect() as connection:
        yield connection
        await connection.rollback()
