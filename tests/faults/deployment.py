"""The application's processes on stores that a test can take away."""

import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from features.support.running import free_port
from iotsphere.config import Settings, child_environment, read_settings
from tests.faults.proxy import FaultProxy

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
    def running(self, *roles: str) -> Iterator[httpx.AsyncClient]:
        environment = child_environment(self.settings)
        for role in roles or ("serve", "worker"):
            command = [sys.executable, "-m", "iotsphere", role]
            self.processes.append(subprocess.Popen(command, env=environment))
        try:
            yield httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=10)
        finally:
            for process in self.processes:
                process.terminate()
        for process in self.processes:
            assert process.wait(timeout=10) == 0
        self.processes.clear()


def settings_for(dsns: dict[str, str], shadow_url: str) -> Settings:
    return Settings(
        registry_dsn=dsns["registry"],
        assets_dsn=dsns["assets"],
        telemetry_dsn=dsns["telemetry"],
        shadow_url=shadow_url,
        secret_key=secrets.token_urlsafe(32),
        admin_email=EMAIL,
        admin_password=PASSWORD,
        host="127.0.0.1",
        port=free_port(),
        data_dir=None,
        cache_dir=read_settings().cache_dir,
        log_level="warning",
    )
