import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest_asyncio

from iotsphere.cli.migrate import found_platform
from iotsphere.config import Settings, child_environment, read_settings
from iotsphere.localstack.stack import LocalStack
from tests.faults.proxy import FaultProxy

POSTGRESQL_SOCKET = ".s.PGSQL.5432"
EMAIL = "admin@example.org"
PASSWORD = "a password for the tests"


@dataclass
class Deployment:
    """The application's processes on stores that a test can take away, each on its own."""

    settings: Settings
    proxies: dict[str, FaultProxy]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.port}"

    @contextmanager
    def running(self) -> Iterator[httpx.AsyncClient]:
        environment = child_environment(self.settings)
        for role in ("serve", "worker"):
            command = [sys.executable, "-m", "iotsphere", role]
            self.processes.append(subprocess.Popen(command, env=environment))
        yield httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=10)
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            assert process.wait(timeout=10) == 0
        self.processes.clear()


@pytest_asyncio.fixture
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
        settings = _settings(dsns, shadow_url.replace(real_shadow, str(folder / "shadow")))
        await found_platform(settings)
        yield Deployment(settings, proxies)
    shutil.rmtree(folder)


def _settings(dsns: dict[str, str], shadow_url: str) -> Settings:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return Settings(
        registry_dsn=dsns["registry"],
        assets_dsn=dsns["assets"],
        telemetry_dsn=dsns["telemetry"],
        shadow_url=shadow_url,
        secret_key=secrets.token_urlsafe(32),
        admin_email=EMAIL,
        admin_password=PASSWORD,
        host="127.0.0.1",
        port=port,
        data_dir=None,
        cache_dir=read_settings().cache_dir,
        log_level="warning",
    )
