"""Measures what the device shadow costs, in one run. ``make bench-shadow`` calls this.

Side by side: an empty Quart application, our operation that does nothing, reading a shadow of 1 KiB and changing it
from either side, over 32 connections that visit 32 devices in turn; the store alone, asked by the same client library
in one process. Then every one of them at half of the rate that was measured. With ``--shadows 1000000`` also how much
memory so many shadows take, and how fast those of our devices are read among them, in turn with a second platform of
a thousand.
"""

import argparse
import asyncio
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit
from uuid import UUID

import httpx
from redis.asyncio import Redis
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.access import SecondProcess, environment_of_serving, log_in
from benchmarks.load import CONNECTIONS, Load, apply, load_of, request
from benchmarks.run import HERE, Contender, Platform, compare, figures, free_port
from iotsphere.localstack.stored_secrets import Secrets
from iotsphere.localstack.valkey import ADMINISTRATOR
from repositories.redis import create_redis_client

DEVICES = 32
FEW_SHADOWS = 1_000
BATCH_SHADOWS = 500
# An operator's change asks the registry for who they are and for the device, and tells its trail. More at once than
# it has connections for would wait for one, or be told to.
WISHING = 8
WISHES = f"PATCH desired, operator's token, {WISHING} connections"
STORE_KEY = "iotsphere:benchmark"
# What plain compare-and-set is: read, and replace if nobody else has.
REPLACE = """
if redis.call('HGET', KEYS[1], 'version') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'document', ARGV[3])
return 1
"""
console = Console()


class Fleet:
    """Devices, each with a key and a shadow of 1 KiB, and an operator; it makes the requests of them all in turn."""

    def __init__(self, platform: Platform) -> None:
        self.operator = log_in(platform)
        self.devices: list[tuple[str, dict[str, str]]] = []
        with httpx.Client(
            base_url=f"{platform.url}/api/v1", headers=self.operator, trust_env=False, timeout=30
        ) as http:
            for number in range(DEVICES):
                body = {"serial_number": f"bench-{time.time_ns()}-{number}", "device_type": "pump"}
                device_id = http.post("/devices", json=body).raise_for_status().json()["id"]
                key = http.post(f"/devices/{device_id}/credentials", json={}).raise_for_status().json()["api_key"]
                reported = {f"register_{register:02}": f"{register:026}" for register in range(24)}
                patch = {"state": {"reported": reported}}
                http.patch(f"/devices/{device_id}/shadow", json=patch).raise_for_status()
                self.devices.append((device_id, {"X-API-Key": key}))
        self.first_id, self.first_key = self.devices[0]

    def reads(self) -> Iterator[bytes]:
        return itertools.cycle(
            [request("GET", f"/api/v1/devices/{device_id}/shadow", key) for device_id, key in self.devices]
        )

    def reports(self) -> Iterator[bytes]:
        for number, (device_id, key) in enumerate(itertools.cycle(self.devices)):
            yield _patch(device_id, key, {"reported": {"register_00": f"{number:026}"}})

    def wishes(self) -> Iterator[bytes]:
        for number, (device_id, _) in enumerate(itertools.cycle(self.devices)):
            yield _patch(device_id, self.operator, {"desired": {"target": number}})


def _patch(device_id: str, headers: dict[str, str], state: dict[str, object]) -> bytes:
    body = json.dumps({"state": state}).encode()
    return request(
        "PATCH", f"/api/v1/devices/{device_id}/shadow", headers | {"Content-Type": "application/json"}, body
    )


async def ask_store(ask: Callable[[int], Awaitable[object]], *, seconds: float) -> Load:
    """Ask the store for so long, with as many questions at once as there are connections."""
    latencies: list[float] = []
    began = time.perf_counter()

    async def keep_asking(number: int) -> None:
        while (asked_at := time.perf_counter()) < began + seconds:
            await ask(number)
            latencies.append((time.perf_counter() - asked_at) * 1000)

    await asyncio.gather(*(keep_asking(number) for number in range(CONNECTIONS)))
    return load_of(latencies, time.perf_counter() - began)


async def measure_store(url: str, *, rounds: int, seconds: float) -> dict[str, list[Load]]:
    document = json.dumps({f"register_{number:02}": f"{number:026}" for number in range(24)})
    redis = create_redis_client(url, retries=0, answer_seconds=2)
    replace = redis.register_script(REPLACE)

    async def get(number: int) -> None:
        await redis.get(f"{STORE_KEY}:text:{number}")

    async def change(number: int) -> None:
        key = f"{STORE_KEY}:hash:{number}"
        version = int((await redis.hmget(key, ["version", "document"]))[0] or 0)
        if await replace([key], [version, version + 1, document]) != 1:
            raise AssertionError("somebody else has written")

    measured: dict[str, list[Load]] = {"store alone: GET": [], "store alone: GET and compare-and-set": []}
    async with redis:
        for number in range(CONNECTIONS):
            await redis.set(f"{STORE_KEY}:text:{number}", document)
            await redis.hset(f"{STORE_KEY}:hash:{number}", mapping={"version": 0, "document": document})
        for _ in range(rounds):
            for name, ask in zip(measured, (get, change), strict=True):
                measured[name].append(await ask_store(ask, seconds=seconds))
    return measured


async def measure_half(
    contenders: list[Contender], rates: dict[str, dict[str, float]], *, seconds: float
) -> dict[str, dict[str, float]]:
    """Apply to each half of what it can take, evenly; a request counts from when it was due."""
    found = {}
    for contender in track(contenders, description="At half load", console=console):
        per_second = rates[contender.name]["per_second"] / 2
        began, began_at = processor_seconds(contender.pid), time.perf_counter()
        load = await apply(
            contender.port,
            contender.requests,
            seconds=seconds,
            connections=contender.connections,
            per_second=per_second,
        )
        answered = load.per_second * (time.perf_counter() - began_at)
        found[contender.name] = {
            "per_second": load.per_second,
            "p50_ms": load.p50_ms,
            "p99_ms": load.p99_ms,
            "processor_us": (processor_seconds(contender.pid) - began) / answered * 1e6,
        }
    return found


def processor_seconds(pid: int) -> float:
    """Give the processor's time that a process has used, which others on the machine hardly change."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Crowd:
    """Shadows of devices that there are not, copies of one that there is, however the store keeps a shadow."""

    def __init__(self, redis: Redis, model_id: str) -> None:
        self._redis, self._model_id = redis, model_id
        self._random = random.Random(1)  # noqa: S311  # only to be spread
        self.count = 0

    async def grow(self, count: int) -> None:
        key = min([key async for key in self._redis.scan_iter(f"iotsphere:shadow:*{self._model_id}*")], key=len)
        before, after = key.split(self._model_id.encode())
        copy = await self._redis.dump(key)
        batches = range(self.count, count, BATCH_SHADOWS)
        for _ in track(batches, description=f"Making {count} shadows", console=console):
            pipeline = self._redis.pipeline(transaction=False)
            for _ in range(BATCH_SHADOWS):
                stranger = str(UUID(int=self._random.getrandbits(128), version=4))
                pipeline.restore(before + stranger.encode() + after, 0, cast("Any", copy))
            await pipeline.execute()
            self.count += BATCH_SHADOWS

    async def memory(self) -> int:
        return int((await self._redis.info("memory"))["used_memory"])


@asynccontextmanager
async def crowded(platform: Platform, data_dir: Path, shadows: int) -> AsyncIterator[tuple[Fleet, float]]:
    """Fill a platform's store with so many shadows beside its fleet's, and give how many bytes one takes."""
    fleet = await asyncio.to_thread(Fleet, platform)
    url = environment_of_serving(platform.process.pid)["IOTSPHERE_SHADOW_URL"]
    async with Redis.from_url(administrator_url(url, data_dir), protocol=2, socket_timeout=60) as redis:
        # So many do not fit into what a developer's machine is asked for, and making them is not what is measured.
        await redis.config_set("maxmemory", 0)
        await redis.config_set("appendfsync", "everysec")
        await redis.config_set("auto-aof-rewrite-percentage", 0)
        crowd = Crowd(redis, fleet.devices[0][0])
        empty_bytes = await crowd.memory()
        await crowd.grow(shadows)
        yield fleet, (await crowd.memory() - empty_bytes) / shadows


async def measure_crowd(options: argparse.Namespace, many: Platform, data_dir: Path) -> dict[str, float]:
    """Compare a store of many shadows with one of a thousand on a second platform, each asked in turn."""
    few_dir = data_dir.with_name("few")
    few = Platform(few_dir, None)
    await asyncio.to_thread(few.start)
    try:
        async with (
            crowded(few, few_dir, FEW_SHADOWS) as (few_fleet, _),
            crowded(many, data_dir, options.shadows) as (many_fleet, bytes_of_a_shadow),
        ):
            contenders = [
                Contender("few", few.port, few_fleet.reads()),
                Contender("many", many.port, many_fleet.reads()),
            ]
            rates = figures(await compare(contenders, rounds=options.rounds, seconds=options.seconds))
    finally:
        await asyncio.to_thread(few.stop)
    return {
        "shadows": options.shadows,
        "bytes_of_a_shadow": bytes_of_a_shadow,
        "reads_per_second_of_few": rates["few"]["per_second"],
        "reads_per_second_of_many": rates["many"]["per_second"],
        "ratio": rates["many"]["ratio"],
        "p99_ms_of_few": rates["few"]["p99_ms"],
        "p99_ms_of_many": rates["many"]["p99_ms"],
    }


def administrator_url(url: str, data_dir: Path) -> str:
    """Give the address of a platform's shadow store for whoever may do anything with it."""
    password = Secrets(data_dir).find("valkey_admin_password")
    return urlsplit(url)._replace(netloc=f"{ADMINISTRATOR}:{password}@").geturl()


def measure(
    options: argparse.Namespace, platform: Platform, data_dir: Path, empty: tuple[int, int]
) -> dict[str, object]:
    fleet = Fleet(platform)
    ours = SecondProcess(platform, "benchmarks.guarded_app")
    try:
        guarded = itertools.repeat(request("GET", "/guarded", fleet.first_key))
        contenders = [
            Contender("empty Quart application", empty[0], itertools.repeat(request("GET", "/empty", {})), empty[1]),
            Contender("empty operation, warm device key", ours.port, guarded, ours.process.pid),
            Contender("GET shadow (1 KiB), device key", ours.port, fleet.reads(), ours.process.pid),
            Contender("PATCH reported, device key", ours.port, fleet.reports(), ours.process.pid),
            Contender(WISHES, ours.port, fleet.wishes(), ours.process.pid, WISHING),
        ]
        # Keys and connections are warm when it is measured.
        for contender in contenders:
            asyncio.run(apply(contender.port, contender.requests, seconds=1, connections=4))
        url = environment_of_serving(platform.process.pid)["IOTSPHERE_SHADOW_URL"]
        measured = asyncio.run(compare(contenders, rounds=options.rounds, seconds=options.seconds))
        measured |= asyncio.run(measure_store(url, rounds=options.rounds, seconds=options.seconds))
        rates = figures(measured)
        found: dict[str, object] = {
            "rates": rates,
            "half": asyncio.run(measure_half(contenders, rates, seconds=options.seconds)),
        }
        if options.shadows:
            found["crowd"] = asyncio.run(measure_crowd(options, platform, data_dir))
    finally:
        ours.process.terminate()
        ours.process.wait(timeout=30)
    return found


def show(found: dict[str, dict[str, dict[str, float]]]) -> None:
    table = Table("32 connections", "requests/s", "of the first", "p50 ms", "p99 ms", title="Medians")
    for name, row in found["rates"].items():
        cells = (f"{row['per_second']:.0f}", f"{row['ratio']:.2f}", f"{row['p50_ms']:.1f}", f"{row['p99_ms']:.1f}")
        table.add_row(name, *cells)
    console.print(table)
    table = Table(
        "32 connections", "requests/s", "p50 ms", "p99 ms", "processor \u00b5s", title="At half of that rate"
    )
    for name, row in found["half"].items():
        times = (f"{row['p50_ms']:.1f}", f"{row['p99_ms']:.1f}", f"{row['processor_us']:.0f}")
        table.add_row(name, f"{row['per_second']:.0f}", *times)
    console.print(table)
    for name, value in found.get("crowd", {}).items():
        console.print(f"{name.replace('_', ' ')}: {value:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--shadows", type=int, default=0, help="measure the store with so many shadows in it, too")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    empty_port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        platform = Platform(Path(folder) / "data", None)
        empty = subprocess.Popen([sys.executable, HERE / "empty_app.py", str(empty_port)], stderr=subprocess.DEVNULL)
        try:
            platform.start()
            found = measure(options, platform, Path(folder) / "data", (empty_port, empty.pid))
        finally:
            empty.terminate()
            empty.wait(timeout=30)
            platform.stop()
    if options.json:
        console.print_json(data=found)
    else:
        show(found)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
