"""Measures what the latest values of a device cost, in one run: ``python -m benchmarks.latest``.

Side by side: an empty Quart application, reading a shadow of 1 KiB, and reading the latest of 100 metrics, over 32
connections. Then how much memory of Redis the values take.
"""

import argparse
import asyncio
import itertools
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
from redis.asyncio import Redis
from rich.console import Console

from benchmarks.access import environment_of_serving
from benchmarks.load import apply, request
from benchmarks.run import HERE, Contender, Platform, compare, figures, free_port, prepare_device

METRICS = 100
console = Console()


def send_readings(platform: Platform, path: str, key: str) -> None:
    values = {f"metric_{number:03}": 20 + number / 8 for number in range(METRICS)}
    reading = {"ts": time.time_ns() // 1_000_000, "values": values}
    url = f"{platform.url}{path}/telemetry"
    with httpx.Client(headers={"X-API-Key": key}, trust_env=False) as http:
        http.post(url, json=reading).raise_for_status()
        shown = http.get(f"{url}/latest").raise_for_status().json()["values"]
    assert len(shown) == METRICS


async def measure_memory(url: str, path: str) -> int:
    async with Redis.from_url(url) as redis:
        return int(await redis.memory_usage(f"iotsphere:latest:{path.rpartition('/')[2]}", samples=0) or 0)


def measure(platform: Platform, empty_port: int, *, rounds: int, seconds: float) -> dict[str, object]:
    path, key = prepare_device(platform)
    send_readings(platform, path, key)
    own = {"X-API-Key": key}
    contenders = [
        Contender("empty Quart endpoint", empty_port, itertools.repeat(request("GET", "/empty", {}))),
        Contender("GET shadow (1 KiB)", platform.port, itertools.repeat(request("GET", f"{path}/shadow", own))),
        Contender(
            f"GET latest ({METRICS} metrics)",
            platform.port,
            itertools.repeat(request("GET", f"{path}/telemetry/latest", own)),
        ),
    ]
    for contender in contenders:
        asyncio.run(apply(contender.port, contender.requests, seconds=1, connections=4))
    rates = figures(asyncio.run(compare(contenders, rounds=rounds, seconds=seconds)))
    url = environment_of_serving(platform.process.pid)["IOTSPHERE_SHADOW_URL"]
    return {"rates": rates, "bytes_of_a_device": asyncio.run(measure_memory(url, path))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    options = parser.parse_args()
    empty_port = free_port()
    with tempfile.TemporaryDirectory() as data_dir:
        platform = Platform(Path(data_dir) / "data", None)
        empty = subprocess.Popen([sys.executable, HERE / "empty_app.py", str(empty_port)], stderr=subprocess.DEVNULL)
        try:
            platform.start()
            found = measure(platform, empty_port, rounds=options.rounds, seconds=options.seconds)
        finally:
            empty.terminate()
            if platform.process.poll() is None:
                platform.stop()
    console.print_json(data=found)


if __name__ == "__main__":
    main()
