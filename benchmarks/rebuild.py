"""Measures how long it takes until an emptied shadow store is whole again. ``make bench-rebuild`` calls this.

On a platform of its own the journal is filled with shadows of 1 KiB, the store is emptied, and the worker of the
platform restores it, while a device after the other reads its shadow, a hundred times a second, as one did before.
"""

import argparse
import asyncio
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx
from redis.asyncio import Redis
from rich.console import Console
from rich.progress import Progress, track

from benchmarks.access import environment_of_serving
from benchmarks.run import Platform
from benchmarks.shadow import Fleet, administrator_url
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.shadow.model import ChangeKind, Shadow, ShadowChange, ShadowKey, ShadowPatch
from repositories.availability import StoreGate
from repositories.shadow.keys import DOCUMENTS, GENERATION, REBUILDING
from repositories.sql import create_store_engine
from repositories.telemetry.unit_of_work import SqlAlchemyJournalUnitOfWork

SEEDED_AT_ONCE = 1000
READ_EVERY_SECONDS = 0.01
POLL_SECONDS = 0.05
# What fits into the memory that the local stack gives its Valkey.
FITTING = 250_000
# How long reads are measured before the store is emptied, to compare with.
CALM_SECONDS = 5.0
console = Console()


@dataclass
class Reads:
    """What a client saw that read shadow after shadow: how long each read took, and how many were refused."""

    milliseconds: list[float] = field(default_factory=list)
    refused: int = 0

    def figures(self) -> dict[str, float]:
        percentiles = statistics.quantiles(self.milliseconds, n=100)
        return {
            "reads": len(self.milliseconds),
            "p50_ms": percentiles[49],
            "p99_ms": percentiles[98],
            "longest_ms": max(self.milliseconds),
            "refused": self.refused,
        }


def made_up(count: int) -> Iterator[ShadowChange]:
    """Make the first change of so many shadows of devices that there are not."""
    for number in range(count):
        device_id = DeviceId(uuid4())
        reported = {f"register_{register:02}": f"{number:026}" for register in range(24)}
        yield ShadowChange(
            key=ShadowKey(device_id),
            kind=ChangeKind.UPDATED,
            shadow=Shadow().change({"reported": reported}, datetime.now(UTC)),
            actor=f"device:{device_id}",
            correlation_id="benchmark",
            patch=ShadowPatch({"reported": reported}),
            generation=1,
        )


async def fill_journal(dsn: str, count: int) -> None:
    engine = create_store_engine(dsn)
    gate = StoreGate("telemetry")
    try:
        changes = made_up(count)
        for _ in track(range(0, count, SEEDED_AT_ONCE), "Filling the journal", console=console):
            async with SqlAlchemyJournalUnitOfWork(engine, gate) as uow:
                await uow.journal.append(list(itertools.islice(changes, SEEDED_AT_ONCE)))
                await uow.commit()
    finally:
        await engine.dispose()


async def find_version_jump(dsn: str) -> int | None:
    """Give how much further versions went on; then each shadow that was restored is a change in the journal, too."""
    engine = create_store_engine(dsn)
    async with SqlAlchemyJournalUnitOfWork(engine, StoreGate("telemetry")) as uow:
        generation = await uow.journal.find_generation()
    await engine.dispose()
    return generation.version_jump if generation else None


async def keep_reading(url: str, devices: Sequence[tuple[str, dict[str, str]]], reads: Reads) -> None:
    """Read at a steady rate until cancelled; what is answered late delays the next, and counts once."""
    async with httpx.AsyncClient(base_url=f"{url}/api/v1", trust_env=False, timeout=30) as http:
        for device_id, key in itertools.cycle(devices):
            began = time.perf_counter()
            answer = await http.get(f"/devices/{device_id}/shadow", headers=key)
            took = time.perf_counter() - began
            reads.milliseconds.append(took * 1000)
            if answer.status_code == 503:
                reads.refused += 1
            else:
                answer.raise_for_status()
            await asyncio.sleep(max(0.0, READ_EVERY_SECONDS - took))


async def wait_until_whole(redis: Redis, shadows: int) -> None:
    with Progress(console=console) as progress:
        task = progress.add_task(f"Restoring {shadows} shadows", total=shadows)
        # It may be that nobody has noticed yet, and that all is done.
        while await redis.exists(REBUILDING) or not await redis.exists(GENERATION):
            progress.update(task, completed=await redis.dbsize())
            await asyncio.sleep(POLL_SECONDS)
        progress.update(task, completed=shadows)


async def count_documents(redis: Redis) -> int:
    return sum([1 async for _ in redis.scan_iter(f"{DOCUMENTS}*", count=10_000)])


async def measure(platform: Platform, data_dir: Path, shadows: int) -> dict[str, object]:
    fleet = await asyncio.to_thread(Fleet, platform)
    settings = environment_of_serving(platform.process.pid)
    await fill_journal(settings["IOTSPHERE_TELEMETRY_DSN"], shadows)
    address = administrator_url(settings["IOTSPHERE_SHADOW_URL"], data_dir)
    async with Redis.from_url(address, protocol=2, socket_timeout=60) as redis:
        if shadows > FITTING:
            await redis.config_set("maxmemory", 0)
        before, meanwhile = Reads(), Reads()
        reading = asyncio.create_task(keep_reading(platform.url, fleet.devices, before))
        await asyncio.sleep(CALM_SECONDS)
        reading.cancel()
        began = time.perf_counter()
        await redis.flushall()
        reading = asyncio.create_task(keep_reading(platform.url, fleet.devices, meanwhile))
        await wait_until_whole(redis, shadows + len(fleet.devices))
        seconds = time.perf_counter() - began
        reading.cancel()
        restored = await count_documents(redis)
    if restored != shadows + len(fleet.devices):
        raise AssertionError(f"{restored} shadows are in the store")
    return {
        "shadows": restored,
        "seconds": seconds,
        "version_jump": await find_version_jump(settings["IOTSPHERE_TELEMETRY_DSN"]),
        "shadows_per_second": restored / seconds,
        "reads_before": before.figures(),
        "reads_meanwhile": meanwhile.figures(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shadows", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        platform = Platform(Path(folder) / "data", None)
        try:
            platform.start()
            found = asyncio.run(measure(platform, Path(folder) / "data", options.shadows))
        finally:
            platform.stop()
    if options.json:
        console.print_json(data=found)
        return
    console.print(
        f"{found['shadows']} shadows in {found['seconds']:.1f} s, {found['shadows_per_second']:.0f} a second"
    )
    for name in ("reads_before", "reads_meanwhile"):
        console.print(f"{name.replace('_', ' ')}: {found[name]}")


if __name__ == "__main__":
    main()
