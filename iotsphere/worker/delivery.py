"""The background process: carries the registry's news to the stores that have not heard of it."""

import asyncio
from collections import deque

import structlog

from iotsphere.kernel.errors import UnavailableError
from iotsphere.registry.model import OutboxEvent
from iotsphere.worker.pauses import pause
from iotsphere.workflows.commissioning import CommissioningWorkflow

log = structlog.get_logger()

IDLE_SECONDS = 0.25
MOST_AT_ONCE = 100


async def deliver_events(commissioning: CommissioningWorkflow, *, stop: asyncio.Event) -> None:
    """Deliver what is due until told to stop; with nothing to do, look again after a moment.

    As long as all goes well, more and more is delivered at once. After an outage one event goes ahead: what is too
    much for a store at once is not offered again and again.
    """
    delivery = Delivery(commissioning)
    while not stop.is_set():
        if not await delivery.go_on():
            await pause(IDLE_SECONDS, unless=stop)


class Delivery:
    """What is known from one batch of events to the next."""

    def __init__(self, commissioning: CommissioningWorkflow) -> None:
        self._commissioning = commissioning
        self._limit = 1
        self._by_themselves: deque[OutboxEvent] = deque()
        self._registry_is_up = True

    async def go_on(self) -> bool:
        """Deliver the next batch; give whether more should follow at once."""
        batch: list[OutboxEvent] = []
        try:
            batch = await self._next_batch()
            is_heard = await self._commissioning.deliver_events(events=batch)
        # Whatever is wrong with one event, those with it and behind it are waited for: each is tried by itself, and
        # the claim on the one puts it off until it comes again.
        except Exception:  # the message loop is one of the three places
            log.exception("worker.events.failed", count=len(batch), event_ids=[str(event.id) for event in batch])
            self._by_themselves.extend(batch if len(batch) > 1 else [])
            return bool(batch)
        self._limit = min(2 * self._limit, MOST_AT_ONCE) if is_heard else 1
        return bool(batch) and is_heard

    async def _next_batch(self) -> list[OutboxEvent]:
        if self._by_themselves:
            return [self._by_themselves.popleft()]
        try:
            events = await self._commissioning.claim_due_events(limit=self._limit)
        except UnavailableError as error:
            if self._registry_is_up:
                log.warning("worker.registry.unavailable", detail=error.detail)
            self._registry_is_up = False
            return []
        self._registry_is_up = True
        return events
