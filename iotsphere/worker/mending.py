"""Goes through the shadow store for what the journal has lost."""

import asyncio
from contextlib import suppress

from iotsphere.kernel.errors import UnavailableError
from iotsphere.shadow.mending import JournalMender
from iotsphere.worker.pauses import pause

# A million shadows are gone through in little more than an hour.
STEP_SECONDS = 1.0


async def mend_journal(mender: JournalMender, *, stop: asyncio.Event) -> None:
    """Take a step each second until told to stop; those who carry changes tell that a store is away."""
    while not stop.is_set():
        with suppress(UnavailableError):
            await mender.mend_next()
        await pause(STEP_SECONDS, unless=stop)
