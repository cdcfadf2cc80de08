"""``iotsphere worker``: works in the background."""

import asyncio

from iotsphere.cli.roles import run_role
from iotsphere.cli.signals import stop_requested
from iotsphere.config import Settings
from iotsphere.containers.application import create_container
from iotsphere.containers.stores import close_stores
from iotsphere.worker.delivery import deliver_events
from iotsphere.worker.housekeeping import keep_house
from iotsphere.worker.sealing import seal_trail


async def work(settings: Settings) -> None:
    """Carry news between the stores, seal the audit trail, and keep house, until told to stop."""
    container = create_container(settings)
    identity, stop = container.identity, stop_requested()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(seal_trail(container.audit.sealing(), stop=stop))
        tasks.create_task(deliver_events(container.workflows.commissioning(), stop=stop))
        tasks.create_task(keep_house(identity.idempotency(), identity.sessions(), identity.ring(), stop=stop))
    await close_stores(container.stores)


if __name__ == "__main__":
    run_role(work)
