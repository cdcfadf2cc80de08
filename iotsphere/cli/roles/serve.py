"""``iotsphere serve``: answers HTTP."""

import logging
from typing import Any

import hypercorn.asyncio
from hypercorn.config import Config
from hypercorn.middleware import ProxyFixMiddleware

from iotsphere.app import create_app
from iotsphere.cli.errors import CommandError
from iotsphere.cli.roles import run_role
from iotsphere.cli.signals import stop_requested
from iotsphere.config import Settings
from iotsphere.containers.application import create_container

GRACE_SECONDS = 3.0


async def serve(settings: Settings) -> None:
    """Answer HTTP until told to stop; requests under way then have three seconds to end."""
    app: Any = create_app(create_container(settings))
    if settings.trusted_hops:
        # Whoever stands before us says who is asking; of what the client said itself nothing is believed.
        app = ProxyFixMiddleware(app, mode="legacy", trusted_hops=settings.trusted_hops)
    try:
        await hypercorn.asyncio.serve(app, hypercorn_config(settings), shutdown_trigger=stop_requested().wait)
    except OSError as error:
        raise CommandError(f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}.") from error


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
