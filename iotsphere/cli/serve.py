"""``iotsphere serve`` and ``iotsphere worker``: the process roles, each on stores that are already there."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

import hypercorn.asyncio
import uvloop
from hypercorn.config import Config

from iotsphere.app import create_app
from iotsphere.cli.errors import CommandError
from iotsphere.cli.logs import configure_logging
from iotsphere.config import Settings, read_settings
from iotsphere.containers.application import create_container
from iotsphere.containers.stores import close_stores
from iotsphere.worker.delivery import deliver_events

GRACE_SECONDS = 3.0


def serve() -> None:
    """Answer HTTP. The stores are named by the environment; none of them needs to be up yet."""
    settings = read_complete_settings()
    configure_logging(settings.log_level)
    _run(_serve(settings))


def work() -> None:
    """Carry news between the stores, in the background."""
    settings = read_complete_settings()
    configure_logging(settings.log_level)
    _run(_work(settings))


def read_complete_settings() -> Settings:
    """Read the settings of a process that brings no stores of its own.

    :raises CommandError: one that it needs is not set.
    """
    settings = read_settings()
    needed = {
        "IOTSPHERE_REGISTRY_DSN": settings.registry_dsn,
        "IOTSPHERE_ASSETS_DSN": settings.assets_dsn,
        "IOTSPHERE_TELEMETRY_DSN": settings.telemetry_dsn,
        "IOTSPHERE_SHADOW_URL": settings.shadow_url,
        "IOTSPHERE_SECRET_KEY": settings.secret_key,
    }
    missing = [name for name, value in needed.items() if value is None]
    if missing:
        raise CommandError(
            f"Not set: {', '.join(missing)}. Set them, or run 'iotsphere up', which brings its own stores."
        )
    return settings


async def _serve(settings: Settings) -> None:
    app = create_app(create_container(settings))
    try:
        await hypercorn.asyncio.serve(app, _hypercorn_config(settings), shutdown_trigger=stop_requested().wait)
    except OSError as error:
        raise CommandError(f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}.") from error


async def _work(settings: Settings) -> None:
    container = create_container(settings)
    await deliver_events(container.workflows.commissioning(), stop=stop_requested())
    await close_stores(container.stores)


def stop_requested() -> asyncio.Event:
    """Give an event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _hypercorn_config(settings: Settings) -> Config:
    config = Config()
    config.bind = [f"{settings.host}:{settings.port}"]
    config.graceful_timeout = GRACE_SECONDS
    config.keep_alive_timeout = 75
    config.include_server_header = False
    return config


def _run(main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)
