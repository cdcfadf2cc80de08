"""Measures what figures cost from rollups and from the readings themselves. ``make bench-rollups`` calls this.

On a store of its own, devices have a year of readings each. Both ways of answering take turns. What marking stale
hours costs the intake is measured by leaving it out.
"""

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import uuid4
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from rich.console import Console
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks.year import DAY, METRICS, POINTS_OF_A_DEVICE, YEAR, add_year
from iotsphere.config import read_settings
from iotsphere.kernel.clock import utc_now
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.localstack.cache import default_cache_dir
from iotsphere.localstack.stack import LocalStack, create_database
from iotsphere.telemetry.intervals import Grid, Interval
from iotsphere.telemetry.model import Aggregate, FleetSelection, Reading
from iotsphere.telemetry.rollups import RollupService
from repositories.availability import StoreGate
from repositories.migrations import upgrade
from repositories.sql import create_store_engine
from repositories.telemetry.appending import KEEP, KEEP_AND_MARK
from repositories.telemetry.buckets import BucketReader
from repositories.telemetry.partitions import add_partitions
from repositories.telemetry.rows import GIVEN_ROWS, pack_rows, to_row
from repositories.telemetry.sources import find_source
from repositories.telemetry.unit_of_work import SqlAlchemyRollupUnitOfWork, SqlAlchemyTelemetryUnitOfWork

END = datetime(2026, 1, 1, tzinfo=UTC)
START = END - YEAR
ROUNDS = 25
BATCHES = 100
QUERIES = {
    "24 h at 5 m": (END - DAY, "5m", "UTC"),
    "1 year at 1 d": (START, "1d", "UTC"),
    "1 year at 1 d, Berlin": (START, "1d", "Europe/Berlin"),
    "1 year at 1 h": (START, "1h", "UTC"),
}
AGGREGATES = (Aggregate.AVG, Aggregate.MIN, Aggregate.MAX)
# As what readings are written without.
UNMARKED = sa.text(KEEP.format(given=GIVEN_ROWS, marked="unmarked AS (SELECT)"))

SIZES = sa.text("""
SELECT relname, sum(pg_total_relation_size(child)) FROM (
    SELECT relname, coalesce(inhrelid, pg_class.oid) AS child
    FROM pg_class LEFT JOIN pg_inherits ON inhparent = pg_class.oid
    WHERE relname IN ('readings', 'rollups_1m', 'rollups_1h', 'rollups_1d')
) AS parts GROUP BY relname
""")
console = Console()


class Bench:
    def __init__(self, engine: AsyncEngine, *, is_partitioned: bool) -> None:
        self._engine = engine
        self._is_partitioned = is_partitioned
        self._gate = StoreGate("telemetry")
        self._rollups = RollupService(
            unit_of_work=partial(SqlAlchemyRollupUnitOfWork, engine, self._gate), clock=utc_now
        )
        self.devices: list[DeviceId] = []

    async def add_device(self) -> None:
        device_id = DeviceId(uuid4())
        first = Reading(device_id, START - DAY, dict.fromkeys(METRICS, 0.0))
        async with SqlAlchemyTelemetryUnitOfWork(self._engine, self._gate) as uow:
            await uow.points.append([first], replace=False)
            await uow.commit()
        async with self._engine.begin() as connection:
            await connection.execute(sa.text("SET LOCAL statement_timeout = '10min'"))
            if self._is_partitioned:
                await add_partitions(connection, [(0, START + number * DAY) for number in range(365)])
            source = await find_source(connection, device_id)
            assert source is not None
            await add_year(connection, source.id, end=END)
        self.devices.append(device_id)

    async def roll_up(self) -> float:
        """Roll up all there is, and give how many hours of a device were worked out in a second."""
        began = time.perf_counter()
        hours = 0
        while at_hand := await self._rollups.roll_up_next():
            hours += at_hand
        taken = time.perf_counter() - began
        async with self._engine.connect() as connection:
            vacuuming = await connection.execution_options(isolation_level="AUTOCOMMIT")
            await vacuuming.execute(sa.text("SET statement_timeout = 0"))
            await vacuuming.execute(sa.text("ANALYZE"))
        return hours / taken

    async def ask(self, query: str, *, from_readings: bool) -> float:
        """Give the milliseconds that one metric of a device took, round trips and all."""
        start, interval, timezone = QUERIES[query]
        device_id = random.choice(self.devices)  # noqa: S311  # no secret
        selection = FleetSelection({device_id: ""}, (METRICS[3],), start, END)
        grid = Grid(Interval.parse(interval), ZoneInfo(timezone))
        began = time.perf_counter()
        async with self._engine.connect() as connection:
            reader = BucketReader(connection, selection, grid, AGGREGATES)
            ask = reader.read_from_readings if from_readings else reader.read
            buckets = await ask(limit=50_000)
        assert len(buckets) == (END - start) // Interval.parse(interval).length + (timezone != "UTC")
        return (time.perf_counter() - began) * 1000

    async def write(self, statement: sa.TextClause, batch: int) -> float:
        """Give the milliseconds that 1000 new readings of one metric took, with their commit."""
        start = END + batch * timedelta(seconds=1000)
        rows = [to_row(batch % 20, start + timedelta(seconds=second), {1: 1.0 * second}) for second in range(1000)]
        async with self._engine.connect() as connection:
            began = time.perf_counter()
            await connection.execute(statement, pack_rows(rows))
            await connection.commit()
        return (time.perf_counter() - began) * 1000

    async def sizes(self) -> dict[str, int]:
        async with self._engine.connect() as connection:
            return {name: int(size) for name, size in await connection.execute(SIZES)}


async def measure(bench: Bench, devices: int) -> list[tuple[str, ...]]:
    while len(bench.devices) < devices:
        await bench.add_device()
    points = devices * POINTS_OF_A_DEVICE
    rolled_up = await bench.roll_up()
    rows: list[tuple[str, ...]] = [(f"{points:,}", "worked out, last step", "", f"{rolled_up:,.0f} hours/s", "")]
    for query in QUERIES:
        taken: dict[bool, list[float]] = {True: [], False: []}
        for number in range(2 * ROUNDS):
            way = bool(number % 2)
            taken[way].append(await bench.ask(query, from_readings=way))
        readings, rollups = statistics.median(taken[True]), statistics.median(taken[False])
        rows.append((f"{points:,}", query, f"{readings:.1f} ms", f"{rollups:.1f} ms", f"{readings / rollups:.1f}"))
    for name, size in sorted((await bench.sizes()).items()):
        rows.append((f"{points:,}", name, f"{size / points:.2f} bytes a point", "", ""))
    return rows


async def measure_marks(bench: Bench) -> tuple[str, ...]:
    taken: dict[sa.TextClause, list[float]] = {UNMARKED: [], KEEP_AND_MARK: []}
    for batch in range(BATCHES):
        statement = (UNMARKED, KEEP_AND_MARK)[batch % 2]
        taken[statement].append(await bench.write(statement, batch))
    bare, marked = statistics.median(taken[UNMARKED]), statistics.median(taken[KEEP_AND_MARK])
    return "", "1000 readings without marks, with", f"{bare:.1f} ms", f"{marked:.1f} ms", f"{bare / marked:.2f}"


async def run(devices: list[int], engine_name: str) -> None:
    with tempfile.TemporaryDirectory(prefix="iotsphere-bench-") as data_dir:
        stack = LocalStack(Path(data_dir), cache_dir=read_settings().cache_dir or default_cache_dir())
        await stack.start()
        try:
            dsn = await create_database(stack, "bench_rollups", timescaledb=engine_name == "timescaledb")
            upgrade("telemetry", dsn)
            # Whoever fills a store, or asks the readings of a year, takes longer than a request may.
            engine = create_store_engine(dsn, command_seconds=600)
            bench = Bench(engine, is_partitioned=engine_name == "partitions")
            table = Table("points", engine_name, "readings", "rollups", "ratio")
            for count in devices:
                for row in await measure(bench, count):
                    table.add_row(*row)
            table.add_row(*await measure_marks(bench))
            await engine.dispose()
        finally:
            await stack.stop()
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 10])
    parser.add_argument("--engine", choices=["timescaledb", "partitions"], default="timescaledb")
    options = parser.parse_args()
    asyncio.run(run(options.devices, options.engine))


if __name__ == "__main__":
    main()
