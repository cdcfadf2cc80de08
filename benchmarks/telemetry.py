"""Measures what taking readings in costs, in one run. ``make bench-telemetry`` calls this.

Side by side, in turn: a bare endpoint that inserts each batch by one plain statement, and ours with ledger and an
answer for every value, for batches of 1000 readings of one metric and of ten; then single readings over 32
connections, each durable before it is answered, beside a bare endpoint that reads the same JSON and does nothing.
"""

import argparse
import asyncio
import itertools
import json
import random
import statistics
import time
from collections.abc import Iterator

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.access import SecondProcess
from benchmarks.load import CONNECTIONS, Load, apply, request
from benchmarks.run import Contender, Platform, compare, prepare_device, running_platform

DEVICES = 4
READINGS = 1000
BATCHING = 4
# Of thirteen digits of milliseconds: a batch has what the last five count, a tenth of a second between readings.
STRETCH_DIGITS = 5
JSON = {"Content-Type": "application/json"}
console = Console()


def stretches_since(days_ago: int) -> Iterator[int]:
    """Give one stretch of time after the other; a stretch for every request of a run should lie behind."""
    return itertools.count((time.time_ns() // 1_000_000 - days_ago * 86_400_000) // 10**STRETCH_DIGITS)


class Recordings:
    """Requests that send readings, each made by putting another stretch of time into a template.

    Those that share ``stretches`` have no time in common: another reading of a device at a time would be merged.
    """

    def __init__(self, targets: list[tuple[str, dict[str, str]]], *, metrics: int, stretches: Iterator[int]) -> None:
        self._targets = targets
        values = random.Random(1)  # noqa: S311  # only to be numbers
        numbers = [
            {f"metric_{metric}": round(values.uniform(0, 100), 2) for metric in range(metrics)}
            for _ in range(READINGS)
        ]
        readings = [
            b'{"ts":STRETCH%05d,"values":%b}' % (number * 100, msgspec.json.encode(each))
            for number, each in enumerate(numbers)
        ]
        self._batch = b"[" + b",".join(readings) + b"]"
        self._stretches = stretches

    def batches(self) -> Iterator[bytes]:
        for (path, headers), stretch in zip(itertools.cycle(self._targets), self._stretches, strict=False):
            body = self._batch.replace(b"STRETCH", str(stretch).encode())
            yield request("POST", path, headers | JSON, body)

    def singles(self) -> Iterator[bytes]:
        for (path, headers), stretch in zip(itertools.cycle(self._targets), self._stretches, strict=False):
            body = b'{"ts":%d00000,"values":{"temperature":21.5}}' % stretch
            yield request("POST", path, headers | JSON, body)


def batch_contenders(
    ours: int, devices: list[tuple[str, dict[str, str]]], bare: int, *, metrics: int, stretches: Iterator[int]
) -> list[Contender]:
    plain = Recordings([("/unnest", {})], metrics=metrics, stretches=stretches)
    recordings = Recordings(devices, metrics=metrics, stretches=stretches)
    return [
        Contender(f"bare unnest, {metrics} metrics", bare, plain.batches(), connections=BATCHING),
        Contender(f"ours, {metrics} metrics", ours, recordings.batches(), connections=BATCHING),
    ]


def single_contenders(
    ours: int, devices: list[tuple[str, dict[str, str]]], bare: int, stretches: Iterator[int]
) -> list[Contender]:
    parsed = Recordings([("/parsed", {})], metrics=1, stretches=stretches)
    recordings = Recordings(devices, metrics=1, stretches=stretches)
    return [
        Contender("empty endpoint, single readings", bare, parsed.singles()),
        Contender("ours, single readings", ours, recordings.singles()),
    ]


def figures(measured: dict[str, list[Load]], *, points: int) -> dict[str, dict[str, float]]:
    """Give medians, and the ratio to the first of each round."""
    yardstick = next(iter(measured.values()))
    return {
        name: {
            "points_per_second": statistics.median(load.per_second for load in loads) * points,
            "ratio": statistics.median(
                load.per_second / first.per_second for load, first in zip(loads, yardstick, strict=True)
            ),
            "p50_ms": statistics.median(load.p50_ms for load in loads),
            "p99_ms": statistics.median(load.p99_ms for load in loads),
        }
        for name, loads in measured.items()
    }


def measure(options: argparse.Namespace, platform: Platform) -> dict[str, dict[str, float]]:
    devices = []
    for _ in range(DEVICES):
        path, key = prepare_device(platform)
        devices.append((f"{path}/telemetry", {"X-API-Key": key}))
    bare = SecondProcess(platform, "benchmarks.intake_app")
    found: dict[str, dict[str, float]] = {}
    stretches = stretches_since(days_ago=3650)
    try:
        contests = [
            (batch_contenders(platform.port, devices, bare.port, metrics=1, stretches=stretches), READINGS),
            (batch_contenders(platform.port, devices, bare.port, metrics=10, stretches=stretches), READINGS * 10),
            (single_contenders(platform.port, devices, bare.port, stretches), 1),
        ]
        for contenders, points in contests:
            # Keys, connections and chunks are there when it is measured.
            for contender in contenders:
                asyncio.run(apply(contender.port, contender.requests, seconds=1, connections=BATCHING))
            measured = asyncio.run(compare(contenders, rounds=options.rounds, seconds=options.seconds))
            found |= figures(measured, points=points)
    finally:
        bare.process.terminate()
        bare.process.wait(timeout=30)
    return found


def show(rates: dict[str, dict[str, float]]) -> None:
    title = f"Medians; batches of {READINGS} readings over {BATCHING} connections, single ones over {CONNECTIONS}"
    table = Table("intake", "points/s", "of the one above", "p50 ms", "p99 ms", title=title)
    for name, row in rates.items():
        cells = (
            f"{row['points_per_second']:.0f}",
            f"{row['ratio']:.2f}",
            f"{row['p50_ms']:.1f}",
            f"{row['p99_ms']:.1f}",
        )
        table.add_row(name, *cells)
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with running_platform() as platform:
        rates = measure(options, platform)
    if options.json:
        console.print(json.dumps(rates))
    else:
        show(rates)


if __name__ == "__main__":
    main()
