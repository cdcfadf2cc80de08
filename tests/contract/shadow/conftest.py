from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from iotsphere.shadow.ports import ShadowRepository
from repositories.availability import StoreGate
from repositories.shadow.shadows import RedisShadowRepository
from repositories.shadow.store import ShadowStore
from tests.fakes.shadow import InMemoryShadowRepository


@pytest_asyncio.fixture(scope="session")
async def shadow_store(shadow_url: str) -> AsyncIterator[ShadowStore]:
    store = ShadowStore(shadow_url, StoreGate("shadow"))
    yield store
    await store.close()


@pytest.fixture(params=["memory", "redis"])
def shadows(request: pytest.FixtureRequest) -> ShadowRepository:
    """The shadow store, in memory and for real. Tests share the real one, each with devices of its own."""
    if request.param == "memory":
        return InMemoryShadowRepository()
    return RedisShadowRepository(request.getfixturevalue("shadow_store"))
