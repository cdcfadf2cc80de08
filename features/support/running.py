"""Starts a whole platform from the command line, as its users do, and stops it again."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import httpx
import psutil

ADMIN_EMAIL = "admin@example.org"
ADMIN_PASSWORD = "correct horse battery staple"
# Both take long where others keep the machine busy.
START_SECONDS = 180
STOP_SECONDS = 60


class RunningPlatform:
    """One ``iotsphere up`` on a free port, its data in a temporary folder."""

    def __init__(
        self,
        *,
        admin_email: str = ADMIN_EMAIL,
        options: Sequence[str] = (),
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.settings = {
            "IOTSPHERE_ADMIN_EMAIL": admin_email,
            "IOTSPHERE_ADMIN_PASSWORD": ADMIN_PASSWORD,
            # Every scenario has users of its own, and logs them in.
            "IOTSPHERE_PASSWORD_MIB": "12",
            **(settings or {}),
        }
        self.options = options
        self.data_dir = Path(tempfile.mkdtemp(prefix="iotsphere-features-"))
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    @staticmethod
    def command(data_dir: Path, port: int) -> list[str]:
        return [sys.executable, "-m", "iotsphere", "up", "--data-dir", str(data_dir), "--port", str(port)]

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self) -> None:
        self._output = (self.data_dir.parent / f"{self.data_dir.name}.log").open("a+")
        self._process = subprocess.Popen(
            [*self.command(self.data_dir, self.port), *self.options],
            env=os.environ | self.settings,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )
        eventually(self._is_ready, within=START_SECONDS, what="the platform is ready")

    def _is_ready(self) -> bool:
        if self._process.poll() is not None:
            raise AssertionError(f"the platform ended: {self.output()}")
        # A registry that has its schema, and is ready for that, may still lack the administrator.
        if "Ctrl-C stops everything." not in self.output():
            return False
        try:
            return httpx.get(f"{self.url}/health/ready", trust_env=False, timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def output(self) -> str:
        self._output.flush()
        return Path(self._output.name).read_text()

    def conduct(self, *arguments: str) -> str:
        """Run another command beside it, by its data folder alone, and give what it prints."""
        command = [sys.executable, "-m", "iotsphere", *arguments, "--data-dir", str(self.data_dir)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def stop(self) -> int:
        """Ask it to end and give its exit status."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout=STOP_SECONDS)

    def remove(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._output.close()
        Path(self._output.name).unlink()
        shutil.rmtree(self.data_dir, ignore_errors=True)


def eventually(check, *, within: float, what: str) -> None:
    """Ask again and again until it is so, or fail when the time is over."""
    deadline = time.monotonic() + within
    while not check():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} s: {what}")
        time.sleep(0.05)


def free_port() -> int:
    """Find a free port below those that systems give to connections, of which others open many until it is used."""
    while True:
        port = secrets.choice(range(10_000, 32_000))
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def free_port_taken() -> tuple[socket.socket, int]:
    """Listen on a free port; give the listener and the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    return listener, listener.getsockname()[1]


def processes_of(pid: int) -> list[psutil.Process]:
    """Give a process and all below it, as they are now."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]
