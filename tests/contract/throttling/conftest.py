from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from iotsphere.throttling.ports import ThrottleStore
from iotsphere.throttling.process import ProcessThrottleStore
from repositories.availability import StoreGate
from repositories.throttling.store import RedisThrottleStore

# A busy machine is no outage.
PATIENCE_SECONDS = 10


@pytest_asyncio.fixture(scope="session")
async def redis_store(shadow_url: str) -> AsyncIterator[RedisThrottleStore]:
    store = RedisThrottleStore(shadow_url, StoreGate("throttling"), answer_seconds=PATIENCE_SECONDS)
    yield store
    await store.close()


@pytest.fixture(params=["process", "redis"])
def store(request: pytest.FixtureRequest) -> ThrottleStore:
    """Allowances in the process and in Redis. Tests share the real one, each with subjects of its own."""
    if request.param == "process":
        return ProcessThrottleStore()
    real: RedisThrottleStore = request.getfixturevalue("redis_store")
    return real
