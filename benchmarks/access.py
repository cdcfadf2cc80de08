"""Measures what recognising a caller costs, in one run. ``make bench-access`` calls this.

An operation that does nothing is asked for without a credential and with a warm device key: the difference is what
recognising and admitting a caller costs. Beside them an operation that answers something (``/me``), and an empty
application under the same server. Then registrations, and the time from a revocation, answered by one process, to
the first refusal by another that had the key warm.
"""

import argparse
import asyncio
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
from rich.console import Console
from rich.table import Table

from benchmarks.load import apply, request
from benchmarks.run import EMAIL, HERE, PASSWORD, Contender, Platform, compare, figures, free_port, prepare_device

REVOCATIONS = 60
# Registering takes a connection to the registry; more at once than there are would wait for one, or be told to.
REGISTERING = 8
console = Console()


class SecondProcess:
    """Another process that serves HTTP on the stores of a platform that runs: ``module`` is what it runs."""

    def __init__(self, platform: Platform, *module: str) -> None:
        self.port = free_port()
        environment = environment_of_serving(platform.process.pid) | {"PORT": str(self.port)}
        self.process = subprocess.Popen([sys.executable, "-m", *module], env=environment)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"http://127.0.0.1:{self.port}/health/ready", trust_env=False).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        raise TimeoutError("the second process did not become ready")


def environment_of_serving(pid: int) -> dict[str, str]:
    """Give the settings with which the platform has started its own process that serves HTTP."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        words = Path(f"/proc/{child}/cmdline").read_text().split("\0")
        if "serve" in {word.rpartition(".")[2] for word in words}:
            entries = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
            return dict(os.fsdecode(entry).split("=", 1) for entry in entries if entry)
    raise LookupError("no process of the platform serves HTTP")


def registrations(headers: dict[str, str]) -> Iterator[bytes]:
    while True:
        body = json.dumps({"serial_number": uuid4().hex, "device_type": "pump"}).encode()
        yield request("POST", "/api/v1/devices", headers | {"Content-Type": "application/json"}, body)


def measure_revocations(platform: Platform, other: SecondProcess, path: str) -> list[float]:
    """Revoke warm keys one after the other; give the milliseconds from each answer to the refusal elsewhere."""
    taken = []
    with (
        httpx.Client(base_url=platform.url, headers=log_in(platform), trust_env=False, timeout=30) as here,
        httpx.Client(base_url=f"http://127.0.0.1:{other.port}", trust_env=False, timeout=30) as there,
    ):
        for _ in range(REVOCATIONS):
            issued = here.post(f"{path}/credentials", json={}).raise_for_status().json()
            key = {"X-API-Key": issued["api_key"]}
            for _ in range(5):
                there.get("/api/v1/me", headers=key).raise_for_status()
            here.delete(f"{path}/credentials/{issued['id']}").raise_for_status()
            revoked_at = time.perf_counter()
            while there.get("/api/v1/me", headers=key).status_code == 200:
                pass
            taken.append((time.perf_counter() - revoked_at) * 1000)
    return taken


def log_in(platform: Platform) -> dict[str, str]:
    login = {"email": EMAIL, "password": PASSWORD}
    answer = httpx.post(f"{platform.url}/api/v1/auth/token", json=login, trust_env=False, timeout=30)
    return {"Authorization": f"Bearer {answer.raise_for_status().json()['access_token']}"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    empty_port = free_port()
    with tempfile.TemporaryDirectory() as data_dir:
        platform = Platform(Path(data_dir) / "data", None)
        started = [
            subprocess.Popen([sys.executable, HERE / "empty_app.py", str(empty_port)], stderr=subprocess.DEVNULL)
        ]
        try:
            platform.start()
            path, key = prepare_device(platform)
            guarded = SecondProcess(platform, "benchmarks.guarded_app")
            started.append(guarded.process)
            contenders = [
                Contender(name, port, itertools.repeat(request("GET", target, {"X-API-Key": key} if known else {})))
                for name, port, target, known in (
                    ("empty operation, no credential", guarded.port, "/open", False),
                    ("empty operation, warm device key", guarded.port, "/guarded", True),
                    ("GET /me, warm device key", guarded.port, "/api/v1/me", True),
                    ("empty Quart application", empty_port, "/empty", False),
                )
            ]
            rates = figures(asyncio.run(compare(contenders, rounds=options.rounds, seconds=options.seconds)))
            headers = log_in(platform)
            requests = registrations(headers)
            registered = asyncio.run(apply(platform.port, requests, seconds=options.seconds, connections=REGISTERING))
            other = SecondProcess(platform, "iotsphere", "serve")
            started.append(other.process)
            revocations = measure_revocations(platform, other, path)
        finally:
            for process in started:
                process.terminate()
            for process in started:
                process.wait(timeout=30)
            platform.stop()
    show(rates, registered.per_second, revocations, as_json=options.json)


def show(rates: dict[str, dict[str, float]], registered: float, revocations: list[float], *, as_json: bool) -> None:
    refusal = {
        "median_ms": statistics.median(revocations),
        "p99_ms": statistics.quantiles(revocations, n=100, method="inclusive")[98],
        "max_ms": max(revocations),
        "count": len(revocations),
    }
    if as_json:
        console.print_json(data={"rates": rates, "registrations_per_second": registered, "refusal": refusal})
        return
    table = Table("32 connections", "requests/s", "of the first", "p50 ms", "p99 ms", title="Medians")
    for name, row in rates.items():
        table.add_row(
            name, f"{row['per_second']:.0f}", f"{row['ratio']:.2f}", f"{row['p50_ms']:.1f}", f"{row['p99_ms']:.1f}"
        )
    console.print(table)
    console.print(f"registrations over {REGISTERING} connections: {registered:.0f}/s")
    console.print("revocation to refusal: " + ", ".join(f"{name} {value:.1f}" for name, value in refusal.items()))


if __name__ == "__main__":
    main()
