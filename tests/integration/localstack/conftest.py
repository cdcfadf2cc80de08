from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from iotsphere.localstack.cache import default_cache_dir
from iotsphere.localstack.stack import LocalStack


@pytest.fixture(scope="session")
def cache_dir() -> Path:
    return default_cache_dir()


@pytest.fixture(scope="package")
async def running_stack(cache_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalStack]:
    """One stack for the tests that only ask what a role may do."""
    stack = LocalStack(tmp_path_factory.mktemp("stack"), cache_dir=cache_dir, durable=False)
    await stack.start()
    yield stack
    await stack.stop()
