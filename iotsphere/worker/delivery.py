"""The background process: carries the registry's news to the stores that have not heard of it."""

import asyncio

import structlog

from iotsphere.kernel.errors import UnavailableError
from iotsphere.worker.pauses import pause
from iotsphere.workflows.commissioning import CommissioningWorkflow

log = structlog.get_logger()

IDLE_SECONDS = 0.25


async def deliver_events(commissioning: CommissioningWorkflow, *, stop: asyncio.Event) -> None:
    """Deliver what is due, one by one, until told to stop; with nothing to do, look again after a moment."""
    registry_is_up = True
    while not stop.is_set():
        delivered = 0
        try:
            delivered = await commissioning.deliver_due_events(limit=1)
            registry_is_up = True
        except UnavailableError as error:
            if registry_is_up:
                log.warning("worker.registry.unavailable", detail=error.detail)
            registry_is_up = False
        # Whatever is wrong with one event, those behind it are waited for: its claim puts it off, and it comes again.
        except Exception:  # the message loop is one of the three places
            log.exception("worker.event.failed")
        if not delivered:
            await pause(IDLE_SECONDS, unless=stop)
