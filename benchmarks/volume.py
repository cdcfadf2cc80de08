"""Measures how queries and intake fare as the store fills, over HTTP, in one run. ``make bench-volume`` calls this.

A device has a year of readings: a million points and a little. Devices are added until the store holds each of the
amounts; the worker has rolled them up before it is measured. Intake goes to devices of its own, first into the empty
store.
"""

import argparse
import asyncio
import itertools
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlencode
from uuid import UUID

import httpx
import sqlalchemy as sa
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks.access import environment_of_serving
from benchmarks.load import apply, request
from benchmarks.run import (
    Contender,
    Platform,
    compare,
    figures,
    memory_of_descendants,
    prepare_device,
    running_platform,
)
from benchmarks.telemetry import BATCHING, DEVICES, Recordings, stretches_since
from benchmarks.telemetry import READINGS as READINGS_OF_A_BATCH
from benchmarks.year import DAY, METRICS, POINTS_OF_A_DEVICE, YEAR, add_year
from iotsphere.kernel.times import format_time
from repositories.sql import create_store_engine

CONNECTIONS = 8
# A year is worked out in some ten seconds on a core of its own, and several times as long beside others.
ROLLED_UP_WITHIN_SECONDS = 3600
FIND = sa.text("SELECT id FROM sources WHERE device_id = :device_id")
COUNT_STALE = sa.text("SELECT count(*) FROM stale_hours WHERE hour < :before")
console = Console()


class Fleet:
    """Devices with a year of readings, which are put into the store itself: that is not what is measured."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._dsn = environment_of_serving(platform.process.pid)["IOTSPHERE_TELEMETRY_DSN"]
        self._end = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - DAY
        self._devices: list[tuple[str, dict[str, str]]] = []

    @property
    def points(self) -> int:
        return len(self._devices) * POINTS_OF_A_DEVICE

    async def grow(self, points: int) -> None:
        """Add devices until there are so many points, and wait until all is rolled up."""
        # Whoever fills a store takes longer than a request may.
        engine = create_store_engine(self._dsn, command_seconds=600)
        with Progress(console=console) as progress:
            task = progress.add_task(f"Filling up to {points:,} points", total=points, completed=self.points)
            while self.points < points:
                await self._add_device(engine)
                progress.update(task, completed=self.points)
        await self._wait_for_rollups(engine)
        await engine.dispose()

    async def _add_device(self, engine: AsyncEngine) -> None:
        path, key = prepare_device(self._platform)
        headers = {"X-API-Key": key}
        # Makes the places of the metrics.
        first = {"ts": format_time(self._end - 366 * DAY), "values": dict.fromkeys(METRICS, 0)}
        url = f"{self._platform.url}{path}/telemetry"
        async with httpx.AsyncClient(headers=headers, trust_env=False) as http:
            (await http.post(url, json=first)).raise_for_status()
        async with engine.begin() as connection:
            source = await connection.scalar(FIND, {"device_id": UUID(path.rpartition("/")[2])})
            await add_year(connection, source, end=self._end)
        self._devices.append((path, headers))

    async def _wait_for_rollups(self, engine: AsyncEngine) -> None:
        deadline = time.monotonic() + ROLLED_UP_WITHIN_SECONDS
        with Progress(console=console) as progress:
            task = progress.add_task("Rolling up", total=None)
            while left := await self._count_stale(engine):
                total = max(left, int(progress.tasks[task].total or 0))
                progress.update(task, total=total, completed=total - left)
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{left:,} hours are still to be rolled up")
                await asyncio.sleep(1)

    async def _count_stale(self, engine: AsyncEngine) -> int:
        async with engine.connect() as connection:
            return int(await connection.scalar(COUNT_STALE, {"before": self._end}) or 0)

    def queries(self) -> dict[str, Iterator[bytes]]:
        day, year = self._end - DAY, self._end - YEAR
        return {
            "24 h at 5 m": self._asks("", start=day, interval="5m", aggregates="avg,min,max"),
            "1 year at 1 d": self._asks("", start=year, interval="1d", aggregates="avg,min,max"),
            "1000 points of a day": self._asks("", start=day, limit=1000),
            "latest of 10 metrics": self._asks("/latest"),
        }

    def _asks(self, what: str, *, start: datetime | None = None, **query: object) -> Iterator[bytes]:
        if start is not None:
            query |= {"metrics": METRICS[3], "start": format_time(start), "end": format_time(self._end)}
        for path, headers in itertools.cycle(self._devices):
            yield request("GET", f"{path}/telemetry{what}?{urlencode(query)}", headers)


def measure_intake(platform: Platform, options: argparse.Namespace) -> dict[str, float]:
    """Give the points of one metric and of ten taken in a second, by new devices, amid the times of the others."""
    targets = []
    for _ in range(DEVICES):
        path, key = prepare_device(platform)
        targets.append((f"{path}/telemetry", {"X-API-Key": key}))
    rates: dict[str, float] = {}
    stretches = stretches_since(days_ago=200)
    for metrics in (1, 10):
        batches = Recordings(targets, metrics=metrics, stretches=stretches).batches()
        contender = Contender(f"intake, {metrics} metrics", platform.port, batches, connections=BATCHING)
        # Places and chunks are there when it is measured.
        asyncio.run(apply(contender.port, batches, seconds=1, connections=BATCHING))
        of_nothing = nothing(platform, f"nothing, beside {metrics} metrics")
        measured = asyncio.run(compare([of_nothing, contender], rounds=options.rounds, seconds=options.seconds))
        rates |= {name: row["per_second"] for name, row in figures(measured).items()}
        rates[contender.name] *= READINGS_OF_A_BATCH * metrics
    return rates


def nothing(platform: Platform, name: str) -> Contender:
    """What asks no store tells how fast the machine is just then."""
    # Over as many connections as there usually are: the server closes each after a thousand requests.
    return Contender(name, platform.port, itertools.repeat(request("GET", "/health/live", {})))


def measure_queries(platform: Platform, fleet: Fleet, options: argparse.Namespace) -> dict[str, float]:
    contenders = [nothing(platform, "nothing, beside queries")]
    contenders += [
        Contender(name, platform.port, asked, connections=CONNECTIONS) for name, asked in fleet.queries().items()
    ]
    measured = asyncio.run(compare(contenders, rounds=options.rounds, seconds=options.seconds))
    return {name: row["per_second"] for name, row in figures(measured).items()}


def measure(platform: Platform, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    found = {"empty": measure_intake(platform, options)}
    fleet = Fleet(platform)
    for points in options.points:
        asyncio.run(fleet.grow(points))
        found[f"{fleet.points:,}"] = (
            measure_queries(platform, fleet, options)
            | measure_intake(platform, options)
            | {f"MiB of {name}": size for name, size in memory_of_descendants(platform.process.pid).items()}
        )
    return found


def show(found: dict[str, dict[str, float]]) -> None:
    title = f"A second; queries over {CONNECTIONS} connections, batches of {READINGS_OF_A_BATCH} over {BATCHING}"
    table = Table("points stored", *found, title=title)
    for name in dict.fromkeys(name for rates in found.values() for name in rates):
        table.add_row(name, *(f"{rates[name]:,.0f}" if name in rates else "" for rates in found.values()))
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with running_platform() as platform:
        found = measure(platform, options)
    if options.json:
        console.print_json(data=found)
    else:
        show(found)


if __name__ == "__main__":
    main()
