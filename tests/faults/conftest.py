import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest_asyncio

from iotsphere.cli.migrate import found_platform
from iotsphere.localstack.stack import LocalStack
from tests.faults.deployment import Deployment, settings_for
from tests.faults.proxy import FaultProxy

POSTGRESQL_SOCKET = ".s.PGSQL.5432"


@pytest_asyncio.fixture(scope="module")
async def deployment(
    stack: LocalStack, registry_dsn: str, assets_dsn: str, telemetry_dsn: str, shadow_url: str
) -> AsyncIterator[Deployment]:
    # Socket paths have to be short; pytest's own temporary folders are not.
    folder = Path(tempfile.mkdtemp(prefix="isf-"))
    dsns = {"registry": registry_dsn, "assets": assets_dsn, "telemetry": telemetry_dsn}
    async with AsyncExitStack() as opened:
        proxies = {}
        for store, dsn in dsns.items():
            (folder / store).mkdir()
            real = Path(parse_qs(urlsplit(dsn).query)["host"][0])
            proxy = FaultProxy(folder / store / POSTGRESQL_SOCKET, real / POSTGRESQL_SOCKET)
            proxies[store] = await opened.enter_async_context(proxy)
            dsns[store] = dsn.replace(str(real), str(folder / store))
        real_shadow = urlsplit(shadow_url).path
        proxies["shadow"] = await opened.enter_async_context(FaultProxy(folder / "shadow", Path(real_shadow)))
        settings = settings_for(dsns, shadow_url.replace(real_shadow, str(folder / "shadow")))
        await found_platform(settings)
        yield Deployment(settings, proxies)
    shutil.rmtree(folder)
