"""The process roles, each a program of its own, so that it loads what it needs and nothing else."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

from iotsphere.cli.errors import ending_in_one_sentence
from iotsphere.cli.logs import configure_logging
from iotsphere.config import Settings, read_complete_settings


def run_role(work: Callable[[Settings], Coroutine[Any, Any, None]]) -> None:
    """Work on the stores that the environment names; what keeps the role from starting ends in one sentence."""
    with ending_in_one_sentence(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        settings = read_complete_settings()
        configure_logging(settings.log_level)
        runner.run(work(settings))
