from collections.abc import AsyncIterator
from functools import partial

import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine

from iotsphere.assets.ports import AssetsUnitOfWorkFactory
from repositories.assets.unit_of_work import SqlAlchemyAssetsUnitOfWork
from repositories.availability import StoreGate
from repositories.sql import create_store_engine
from tests.fakes.assets import InMemoryAssetsUnitOfWork


@pytest_asyncio.fixture(scope="session")
async def assets_engine(assets_dsn: str) -> AsyncIterator[AsyncEngine]:
    engine = create_store_engine(assets_dsn)
    yield engine
    await engine.dispose()


@pytest.fixture(params=["memory", "postgresql"])
def unit_of_work(request: pytest.FixtureRequest) -> AssetsUnitOfWorkFactory:
    """The asset database, in memory and for real. Tests share the real one, each with organisations of its own."""
    if request.param == "memory":
        return partial(InMemoryAssetsUnitOfWork, {}, {}, {}, {}, {}, {})
    engine: AsyncEngine = request.getfixturevalue("assets_engine")
    return partial(SqlAlchemyAssetsUnitOfWork, engine, StoreGate("assets"))
