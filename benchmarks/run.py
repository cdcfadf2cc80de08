"""Measures the platform beside an empty application, in one run. ``make bench`` calls this.

Machines are shared and noisy: what counts is the ratio to the yardstick, and the median over rounds that visit
every contender in turn. ``--fresh-cache`` starts the first platform with nothing prepared, so that it downloads the
servers.
"""

import argparse
import asyncio
import itertools
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.load import CONNECTIONS, Load, apply, request

EMAIL = "bench@example.org"
PASSWORD = "a password for the benchmark"
HERE = Path(__file__).parent
console = Console()


@dataclass(frozen=True)
class Contender:
    """``pid`` is the process that answers, where its own time is measured too."""

    name: str
    port: int
    requests: Iterator[bytes]
    pid: int = 0
    connections: int = CONNECTIONS


class Platform:
    """One ``iotsphere up`` in a temporary folder."""

    def __init__(self, data_dir: Path, cache_dir: Path | None) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._command = [
            sys.executable,
            "-m",
            "iotsphere",
            "up",
            "--data-dir",
            str(data_dir),
            "--port",
            str(self.port),
        ]
        self._environment = os.environ | {"IOTSPHERE_ADMIN_EMAIL": EMAIL, "IOTSPHERE_ADMIN_PASSWORD": PASSWORD}
        if cache_dir is not None:
            self._environment["IOTSPHERE_CACHE_DIR"] = str(cache_dir)

    def start(self) -> float:
        """Start it, and give the seconds until every store is ready."""
        began = time.perf_counter()
        self.process = subprocess.Popen(self._command, env=self._environment, stdout=subprocess.DEVNULL)
        while time.perf_counter() - began < 300:
            try:
                if httpx.get(f"{self.url}/health/ready", trust_env=False).status_code == 200:
                    taken = time.perf_counter() - began
                    self._wait_for_administrator()
                    return taken
            except httpx.TransportError:
                time.sleep(0.02)
        raise TimeoutError("the platform did not become ready")

    def _wait_for_administrator(self) -> None:
        """Nobody could log in before: the administrator is made when the stores are ready."""
        login = {"email": EMAIL, "password": PASSWORD}
        for _ in range(20):
            if httpx.post(f"{self.url}/api/v1/auth/token", json=login, trust_env=False).status_code == 200:
                return
            # Not so often that it is taken for guessing.
            time.sleep(1)
        raise TimeoutError("the administrator cannot log in")

    def stop(self) -> float:
        began = time.perf_counter()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=30)
        return time.perf_counter() - began


@contextmanager
def running_platform() -> Iterator[Platform]:
    with tempfile.TemporaryDirectory() as folder:
        platform = Platform(Path(folder) / "data", None)
        try:
            platform.start()
            yield platform
        finally:
            platform.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def memory_of_descendants(pid: int) -> dict[str, float]:
    """Give the proportional memory in MiB of a process and all below it, by what they run."""
    found: dict[str, float] = {}
    for process in [pid, *descendants(pid)]:
        try:
            command = Path(f"/proc/{process}/cmdline").read_text().split("\0")
            rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
        except OSError:
            continue
        kib = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
        name = Path(command[0]).name.split(":")[0]
        if name.startswith("python"):
            words = {word.rpartition(".")[2] for word in command}
            name = next((role for role in ("serve", "worker", "up") if role in words), name)
        found[name] = found.get(name, 0) + kib / 1024
    return found


def descendants(pid: int) -> list[int]:
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return children + [process for child in children for process in descendants(child)]


def prepare_device(platform: Platform) -> tuple[str, str]:
    """Register a device with a shadow of 1 KiB; give its path and its API key."""
    with httpx.Client(base_url=f"{platform.url}/api/v1", trust_env=False, timeout=30) as http:
        token = http.post("/auth/token", json={"email": EMAIL, "password": PASSWORD}).raise_for_status().json()
        http.headers["Authorization"] = f"Bearer {token['access_token']}"
        serial_number = f"bench-{time.time_ns()}"
        body = {"serial_number": serial_number, "device_type": "pump"}
        path = f"/devices/{http.post('/devices', json=body).raise_for_status().json()['id']}"
        key = http.post(f"{path}/credentials", json={}).raise_for_status().json()["api_key"]
        reported = {f"register_{number:02}": f"{number:026}" for number in range(24)}
        http.patch(f"{path}/shadow", json={"state": {"reported": reported}}).raise_for_status()
    return f"/api/v1{path}", key


def readings(path: str, key: str) -> Iterator[bytes]:
    """Make readings of one metric, a millisecond apart, none of them twice."""
    start = time.time_ns() // 1_000_000 - 10 * 365 * 24 * 3600 * 1000
    for number in itertools.count(start):
        body = json.dumps({"ts": number, "values": {"temperature": 20 + number % 10}}).encode()
        yield request("POST", f"{path}/telemetry", {"X-API-Key": key, "Content-Type": "application/json"}, body)


async def compare(contenders: list[Contender], *, rounds: int, seconds: float) -> dict[str, list[Load]]:
    measured: dict[str, list[Load]] = {contender.name: [] for contender in contenders}
    for _ in track(range(rounds), description="Measuring", console=console):
        for contender in contenders:
            load = await apply(contender.port, contender.requests, seconds=seconds, connections=contender.connections)
            measured[contender.name].append(load)
    return measured


def figures(measured: dict[str, list[Load]]) -> dict[str, dict[str, float]]:
    yardstick = statistics.median(load.per_second for load in next(iter(measured.values())))
    return {
        name: {
            "per_second": statistics.median(load.per_second for load in loads),
            "ratio": statistics.median(load.per_second for load in loads) / yardstick,
            "p50_ms": statistics.median(load.p50_ms for load in loads),
            "p99_ms": statistics.median(load.p99_ms for load in loads),
        }
        for name, loads in measured.items()
    }


def show(starts: dict[str, float], memory: dict[str, float], rates: dict[str, dict[str, float]]) -> None:
    for name, seconds in starts.items():
        console.print(f"{name:30} {seconds:6.2f} s")
    for name, mebibytes in sorted(memory.items()):
        console.print(f"memory of {name:20} {mebibytes:6.0f} MiB")
    table = Table("32 connections", "requests/s", "of empty", "p50 ms", "p99 ms", title="Medians")
    for name, row in rates.items():
        table.add_row(
            name, f"{row['per_second']:.0f}", f"{row['ratio']:.2f}", f"{row['p50_ms']:.1f}", f"{row['p99_ms']:.1f}"
        )
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--fresh-cache", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    empty_port = free_port()
    with tempfile.TemporaryDirectory() as data_dir, tempfile.TemporaryDirectory() as cache_dir:
        # The servers' account must reach their programs.
        Path(cache_dir).chmod(0o755)
        platform = Platform(Path(data_dir) / "data", Path(cache_dir) if options.fresh_cache else None)
        empty = subprocess.Popen([sys.executable, HERE / "empty_app.py", str(empty_port)], stderr=subprocess.DEVNULL)
        try:
            first = platform.start()
            stop = platform.stop()
            starts = {"first start": first, "stop": stop, "second start": platform.start()}
            path, key = prepare_device(platform)
            shadow = request("GET", f"{path}/shadow", {"X-API-Key": key})
            contenders = [
                Contender("empty Quart endpoint", empty_port, itertools.repeat(request("GET", "/empty", {}))),
                Contender("GET shadow (1 KiB)", platform.port, itertools.repeat(shadow)),
                Contender("POST one reading", platform.port, readings(path, key)),
            ]
            rates = figures(asyncio.run(compare(contenders, rounds=options.rounds, seconds=options.seconds)))
            memory = memory_of_descendants(platform.process.pid)
        finally:
            empty.terminate()
            if platform.process.poll() is None:
                platform.stop()
    if options.json:
        console.print_json(data={"starts": starts, "memory_mib": memory, "rates": rates})
    else:
        show(starts, memory, rates)


if __name__ == "__main__":
    main()
