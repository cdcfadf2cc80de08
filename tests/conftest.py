"""The real stores, started once for the whole run, every database at the head of its history."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import pytest_asyncio
from hypothesis import settings

from iotsphere.config import read_settings
from iotsphere.localstack.cache import default_cache_dir
from iotsphere.localstack.stack import LocalStack, create_database
from repositories.migrations import upgrade

# A busy machine is no failure.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest_asyncio.fixture(scope="session")
async def stack() -> AsyncIterator[LocalStack]:
    """All four stores on this machine; that they cannot be brought up fails the run, it skips nothing."""
    with TemporaryDirectory(prefix="iotsphere-tests-") as data_dir:
        cache_dir = read_settings().cache_dir or default_cache_dir()
        stack = LocalStack(Path(data_dir), cache_dir=cache_dir, durable=False)
        await stack.start()
        yield stack
        await stack.stop()


@pytest.fixture(scope="session")
def registry_dsn(stack: LocalStack) -> str:
    dsn = stack.addresses.registry_dsn
    assert dsn is not None
    upgrade("registry", dsn)
    return dsn


@pytest.fixture(scope="session")
def assets_dsn(stack: LocalStack) -> str:
    dsn = stack.addresses.assets_dsn
    assert dsn is not None
    upgrade("assets", dsn)
    return dsn


@pytest.fixture(scope="session")
def telemetry_dsn(stack: LocalStack) -> str:
    """Telemetry on TimescaleDB, which is not to be had on every system; where CI runs, it has to be."""
    dsn = stack.addresses.telemetry_dsn
    assert dsn is not None
    if stack.engines["timescaledb"] is None and "CI" not in os.environ:
        pytest.skip("TimescaleDB cannot be had here; telemetry is tested on native partitions alone")
    assert stack.engines["timescaledb"] is not None
    upgrade("telemetry", dsn)
    return dsn


@pytest_asyncio.fixture(scope="session")
async def native_telemetry_dsn(stack: LocalStack) -> str:
    """Telemetry on native partitions: the same server, a database without the extension."""
    dsn = await create_database(stack, "native_telemetry", timescaledb=False)
    upgrade("telemetry", dsn)
    return dsn


@pytest.fixture(scope="session")
def shadow_url(stack: LocalStack) -> str:
    url = stack.addresses.shadow_url
    assert url is not None
    return url
