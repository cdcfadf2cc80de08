"""``iotsphere worker``: works in the background."""

import asyncio
from functools import partial

from iotsphere.cli.roles import run_role
from iotsphere.cli.signals import stop_requested
from iotsphere.config import Settings
from iotsphere.containers.application import Application, create_container
from iotsphere.containers.stores import close_stores
from iotsphere.worker.compressing import compress_chunks
from iotsphere.worker.delivery import deliver_events
from iotsphere.worker.housekeeping import keep_house
from iotsphere.worker.journalling import journal_changes
from iotsphere.worker.mending import mend_journal
from iotsphere.worker.rebuilding import close_absent_writers, rebuild_shadows
from iotsphere.worker.rollups import roll_up_hours
from iotsphere.worker.sealing import seal_trail
from iotsphere.workflows.upkeep import keep_up

# All workers are one to the change stream, which never forgets a name: no two are given the same change.
CONSUMER = "worker"


async def work(settings: Settings) -> None:
    """Carry news and changes between the stores, seal the audit trail, and keep house, until told to stop."""
    container = create_container(settings)
    await go_on(container, stop=stop_requested())
    await close_stores(container.stores)


async def go_on(container: Application, *, stop: asyncio.Event) -> None:
    """Go on until told to stop, with each task by itself: one that fails is begun anew, and ends no other."""
    identity = container.identity
    # What has to be forgotten: answers after their 24 hours, sessions that are over, keys that sign no more, and
    # readings that are kept no longer.
    duties = (
        identity.idempotency().forget_old,
        identity.sessions().forget_ended,
        identity.ring().keep_keys,
        container.telemetry.keeping().keep_readings,
    )
    # It restores what others have written, and writes no shadow of its own.
    recovery = container.shadow.recovery(is_writer=False)
    begin = [
        partial(seal_trail, container.audit.sealing(), stop=stop),
        partial(deliver_events, container.workflows.commissioning(), stop=stop),
        partial(journal_changes, container.shadow.journal(), consumer=CONSUMER, stop=stop),
        partial(rebuild_shadows, recovery, stop=stop),
        partial(close_absent_writers, container.shadow.absent_writers(), stop=stop),
        partial(mend_journal, container.shadow.mender(), stop=stop),
        partial(roll_up_hours, container.telemetry.rollups(), stop=stop),
        partial(compress_chunks, container.telemetry.compressing(), stop=stop),
        *(partial(keep_house, duty, stop=stop) for duty in duties),
    ]
    async with container.workflows.shadow_upkeep().running(), asyncio.TaskGroup() as tasks:
        for task in begin:
            tasks.create_task(keep_up(task, stop=stop))


if __name__ == "__main__":
    run_role(work)
