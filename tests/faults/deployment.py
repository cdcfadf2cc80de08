"""The application's processes on stores that a test can take away."""

import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx

from features.support.running import START_SECONDS, eventually, free_port
from iotsphere.config import Settings, child_environment, read_settings
from tests.faults.proxy import FaultProxy

EMAIL = "admin@example.org"
PASSWORD = "a password for the tests"
ROLES = ("serve", "worker")
# Ending, too, takes long where others keep the machine busy.
STOP_SECONDS = 60


@dataclass
class Deployment:
    """The application's processes on stores that a test can take away, each on its own."""

    settings: Settings
    proxies: dict[str, FaultProxy]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.port}"

    @contextmanager
    def running(self, *roles: str) -> Iterator[httpx.AsyncClient]:
        self.start(*roles)
        try:
            yield httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=10)
        except BaseException:
            for role in list(self.processes):
                self.kill(role)
            raise
        self.stop()

    def start(self, *roles: str) -> None:
        environment = child_environment(self.settings)
        for role in roles or ROLES:
            command = [sys.executable, "-m", "iotsphere", role]
            self.processes[role] = subprocess.Popen(command, env=environment)

    def stop(self) -> None:
        """End what is running in good order, which it knows of once it has started."""
        for process in self.processes.values():
            eventually(partial(has_started, process), within=START_SECONDS, what="it heeds SIGTERM")
            process.terminate()
        try:
            statuses = [process.wait(timeout=STOP_SECONDS) for process in self.processes.values()]
        except subprocess.TimeoutExpired:
            self.kill(*self.processes)
            raise
        self.processes.clear()
        assert not any(statuses)

    def kill(self, *roles: str) -> None:
        """End processes in the middle of what they do."""
        for role in roles or ROLES:
            self.processes[role].kill()
        for role in roles or ROLES:
            self.processes.pop(role).wait()


def has_started(process: "subprocess.Popen[bytes]") -> bool:
    """Tell whether it does something of its own about SIGTERM, instead of simply being no more; or has ended."""
    if process.poll() is not None:
        return True
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    caught = re.search(r"^SigCgt:\t([0-9a-f]+)$", status, re.MULTILINE)
    return caught is not None and bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)


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
