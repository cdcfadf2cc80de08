"""How many queries are at the store at once: whoever asks for much keeps neither others out nor writers from writing.

A query may be at it for nearly two seconds, and each holds one of a process's few connections. So there are places
for fewer than that, and for one organisation a part of those; who finds none waits without a connection, the first
who came first.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from weakref import WeakValueDictionary

from iotsphere.kernel.identifiers import OrganisationId
from iotsphere.telemetry.errors import QueryBusyError

# Of ten connections: those who write find the others.
PLACES = 6
PLACES_OF_ONE = 3
LONGEST_WAIT_SECONDS = 2.0


class QueryRoom:
    """The places of one process. No organisation is one, too."""

    def __init__(
        self,
        *,
        places: int = PLACES,
        places_of_one: int = PLACES_OF_ONE,
        longest_wait_seconds: float = LONGEST_WAIT_SECONDS,
    ) -> None:
        self._places = asyncio.Semaphore(places)
        self._places_of_one = places_of_one
        # They go with the last who holds or awaits a place.
        self._own: WeakValueDictionary[OrganisationId | None, asyncio.Semaphore] = WeakValueDictionary()
        self._longest_wait_seconds = longest_wait_seconds

    @asynccontextmanager
    async def place(self, organisation_id: OrganisationId | None) -> AsyncIterator[None]:
        """Have a place for as long as the block lasts.

        :raises QueryBusyError: none became free in time.
        """
        own = self._own.setdefault(organisation_id, asyncio.Semaphore(self._places_of_one))
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout(self._longest_wait_seconds):
                    # One's own first: of those who wait for the others', few are of the same organisation.
                    await held.enter_async_context(own)
                    await held.enter_async_context(self._places)
            except TimeoutError:
                raise QueryBusyError from None
            yield
