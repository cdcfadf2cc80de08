"""The yardstick: a Quart application that does nothing, under the same server."""

import asyncio
import signal
import sys

import hypercorn.asyncio
import uvloop
from hypercorn.config import Config
from quart import Quart

app = Quart(__name__)


@app.get("/empty")
async def empty() -> dict[str, str]:
    return {}


async def main(port: int) -> None:
    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await hypercorn.asyncio.serve(app, config, shutdown_trigger=stop.wait)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
