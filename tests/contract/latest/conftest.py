from collections.abc import AsyncIterator, Callable
from functools import partial
from secrets import token_hex
from uuid import uuid4

import pytest
import pytest_asyncio

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.ports import LatestStore
from repositories.availability import StoreGate
from repositories.latest.store import RedisLatestStore
from tests.fakes.latest import InMemoryLatestStore

Connect = Callable[[], LatestStore]


@pytest.fixture(params=["memory", "redis"])
def url(request: pytest.FixtureRequest) -> str | None:
    """Where the store is; None is in memory."""
    return None if request.param == "memory" else request.getfixturevalue("shadow_url")


@pytest_asyncio.fixture
async def connect(url: str | None) -> AsyncIterator[Connect]:
    """Makes processes that share one store, in memory or for real, each test with devices of its own."""
    if url is None:
        yield partial(InMemoryLatestStore, {})
        return
    stores: list[RedisLatestStore] = []

    def connect() -> LatestStore:
        gate = StoreGate("latest")
        # Long enough for a machine on which all tests run at once.
        stores.append(RedisLatestStore(url, gate, new_token=partial(token_hex, 8), answer_seconds=5))
        return stores[-1]

    yield connect
    for store in stores:
        await store.close()


@pytest.fixture
def store(connect: Connect) -> LatestStore:
    return connect()


@pytest.fixture
def device_id() -> DeviceId:
    return DeviceId(uuid4())
