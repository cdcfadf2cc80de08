from collections.abc import AsyncIterator
from functools import partial

import psycopg
import pytest
import pytest_asyncio
from psycopg.sql import SQL, Identifier
from sqlalchemy.ext.asyncio import AsyncEngine

from iotsphere.localstack.stack import LocalStack, create_database
from repositories.availability import StoreGate
from repositories.migrations import upgrade
from repositories.registry.tables import metadata
from repositories.registry.unit_of_work import SqlAlchemyRegistryUnitOfWork
from repositories.sql import create_store_engine
from tests.contract.registry.stores import RegistryStore
from tests.fakes.registry import InMemoryRegistryUnitOfWork, RegistryTables


@pytest_asyncio.fixture(scope="session")
async def contract_dsn(stack: LocalStack) -> str:
    """A registry database of this suite's own: some of its ports speak of the whole database."""
    dsn = await create_database(stack, "registry_contract", timescaledb=False)
    upgrade("registry", dsn)
    return dsn


@pytest_asyncio.fixture(scope="session")
async def contract_engine(contract_dsn: str) -> AsyncIterator[AsyncEngine]:
    engine = create_store_engine(contract_dsn)
    yield engine
    await engine.dispose()


@pytest.fixture(params=["memory", "postgresql"])
def store(request: pytest.FixtureRequest) -> RegistryStore:
    """An empty registry database, in memory and for real."""
    if request.param == "memory":
        return RegistryStore(partial(InMemoryRegistryUnitOfWork, RegistryTables()))
    engine: AsyncEngine = request.getfixturevalue("contract_engine")
    with psycopg.connect(request.getfixturevalue("contract_dsn")) as connection:
        # The trail refuses to be emptied, but for its owner.
        connection.execute(SQL("ALTER TABLE audit_entries DISABLE TRIGGER USER"))
        connection.execute(SQL("TRUNCATE {}").format(SQL(", ").join(map(Identifier, metadata.tables))))
        connection.execute(SQL("ALTER TABLE audit_entries ENABLE TRIGGER USER"))
    return RegistryStore(partial(SqlAlchemyRegistryUnitOfWork, engine, StoreGate("registry")))
