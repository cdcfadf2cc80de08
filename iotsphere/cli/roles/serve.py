"""``iotsphere serve``: answers HTTP."""

import asyncio
import gc
import logging
import socket
from typing import Any

import hypercorn.asyncio
from hypercorn.config import Config
from hypercorn.middleware import ProxyFixMiddleware
from quart import Quart

from iotsphere.app import create_app
from iotsphere.cli.errors import CommandError
from iotsphere.cli.roles import run_role
from iotsphere.cli.signals import stop_requested
from iotsphere.config import Settings
from iotsphere.containers.application import create_container

GRACE_SECONDS = 3.0
LAST_ANSWERS_SECONDS = 2.5


async def serve(settings: Settings) -> None:
    """Answer HTTP until told to stop; requests under way then have three seconds to end."""
    config = hypercorn_config(settings)
    # Before the application is started: the server would leave one that it cannot listen for half started.
    config.bind = [f"fd://{take_address(settings)}"]
    container = create_container(settings)
    app = behind_proxies(create_app(container), settings.trusted_hops)
    spare_from_collection()
    stop = stop_requested()

    async def stop_in_order() -> None:
        await stop.wait()
        # Whoever still waits for the store then is told so, while there is time to.
        asyncio.get_running_loop().call_later(
            LAST_ANSWERS_SECONDS, container.telemetry.readings().take_no_more_readings
        )

    await hypercorn.asyncio.serve(app, config, shutdown_trigger=stop_in_order)


def spare_from_collection() -> None:
    """Take what is there now, and stays, out of the garbage collector's rounds: each would hold up all requests."""
    gc.collect()
    gc.freeze()


def take_address(settings: Settings) -> int:
    """Give the file descriptor of a socket that has the address and does not listen yet.

    :raises CommandError: somebody else has it, or it is none of this machine's.
    """
    host = settings.host.strip("[]")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as taking:
        taking.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taking.bind((host, settings.port))
        except OSError as error:
            raise CommandError(f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}.") from error
        return taking.detach()


def behind_proxies(app: Quart, trusted_hops: int) -> Any:
    """Believe of the X-Forwarded headers what so many proxies before us have added, and nothing that came to them."""
    return ProxyFixMiddleware(app, mode="legacy", trusted_hops=trusted_hops) if trusted_hops else app


def hypercorn_config(settings: Settings) -> Config:
    config = Config()
    config.bind = [f"{settings.host}:{settings.port}"]
    config.graceful_timeout = GRACE_SECONDS
    config.keep_alive_timeout = 75
    config.include_server_header = False
    # Handed over as it is, or the server would give it a format of its own.
    config.errorlog = logging.getLogger("hypercorn.error")
    return config


if __name__ == "__main__":
    run_role(serve)
