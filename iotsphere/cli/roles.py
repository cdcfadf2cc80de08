"""The process roles, each on stores that the environment names: ``serve`` answers HTTP, ``worker`` works behind."""

import asyncio
import sys

import hypercorn.asyncio
import uvloop
from hypercorn.config import Config

from iotsphere.app import create_app
from iotsphere.cli.errors import CommandError, ending_in_one_sentence
from iotsphere.cli.logs import configure_logging
from iotsphere.cli.signals import stop_requested
from iotsphere.config import Settings, read_complete_settings
from iotsphere.containers.application import create_container
from iotsphere.containers.stores import close_stores
from iotsphere.worker.delivery import deliver_events
from iotsphere.worker.housekeeping import keep_house

GRACE_SECONDS = 3.0


async def serve(settings: Settings) -> None:
    """Answer HTTP until told to stop; requests under way then have three seconds to end."""
    app = create_app(create_container(settings))
    try:
        await hypercorn.asyncio.serve(app, _hypercorn_config(settings), shutdown_trigger=stop_requested().wait)
    except OSError as error:
        raise CommandError(f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}.") from error


async def work(settings: Settings) -> None:
    """Carry news between the stores, and keep house, until told to stop."""
    container = create_container(settings)
    identity, stop = container.identity, stop_requested()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(deliver_events(container.workflows.commissioning(), stop=stop))
        tasks.create_task(keep_house(identity.idempotency(), identity.sessions(), stop=stop))
    await close_stores(container.stores)


def _hypercorn_config(settings: Settings) -> Config:
    config = Config()
    config.bind = [f"{settings.host}:{settings.port}"]
    config.graceful_timeout = GRACE_SECONDS
    config.keep_alive_timeout = 75
    config.include_server_header = False
    return config


ROLES = {"serve": serve, "worker": work}


def main(role: str) -> None:
    with ending_in_one_sentence(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        settings = read_complete_settings()
        configure_logging(settings.log_level)
        runner.run(ROLES[role](settings))


if __name__ == "__main__":
    main(sys.argv[1])
