"""The yardsticks of intake: bare Quart endpoints under the same server, one of which writes as plainly as can be.

``/parsed`` reads the JSON of a request and does nothing with it; ``/unnest`` inserts the values of a batch, a row for
each, by one statement and one commit, and answers after it.
"""

import asyncio
import os
import signal
import sys
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import hypercorn.asyncio
import msgspec
import uvloop
from hypercorn.config import Config
from quart import Quart, request

DEVICE = UUID(int=1)
MAKE = """
CREATE TABLE IF NOT EXISTS benchmark_points (
    device_id uuid, metric text, ts timestamptz, value float8, PRIMARY KEY (device_id, metric, ts)
)
"""
INSERT = """
INSERT INTO benchmark_points
SELECT $1, metric, ts, value FROM unnest($2::text[], $3::timestamptz[], $4::float8[]) AS given (metric, ts, value)
ON CONFLICT DO NOTHING
"""

app = Quart(__name__)
pools: list[Any] = []


@app.before_serving
async def open_pool() -> None:
    pools.append(await asyncpg.create_pool(os.environ["IOTSPHERE_TELEMETRY_DSN"], min_size=4, max_size=10))
    await pools[0].execute(MAKE)


@app.get("/health/ready")
async def ready() -> dict[str, str]:
    return {}


@app.post("/parsed")
async def parse() -> tuple[dict[str, str], int]:
    msgspec.json.decode(await request.get_data())
    return {}, 201


@app.post("/unnest")
async def insert() -> tuple[dict[str, str], int]:
    metrics, times, values = [], [], []
    for reading in msgspec.json.decode(await request.get_data()):
        ts = datetime.fromtimestamp(reading["ts"] / 1000, UTC)
        for metric, value in reading["values"].items():
            metrics.append(metric)
            times.append(ts)
            values.append(value)
    await pools[0].execute(INSERT, DEVICE, metrics, times, values)
    return {}, 201


async def main() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    config = Config()
    config.bind = [f"127.0.0.1:{os.environ['PORT']}"]
    config.errorlog = None
    await hypercorn.asyncio.serve(app, config, shutdown_trigger=stop.wait)


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
