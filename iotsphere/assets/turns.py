"""How many of an organisation are at once, in one process, at what takes long.

While a large part of a tree is moved, whoever adds below something there waits for that in the database, and holds
one of the process's few connections meanwhile; so does who works out figures over many assets. So few of an
organisation do; the others wait without one.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from iotsphere.kernel.errors import TooManyRequestsError
from iotsphere.kernel.identifiers import OrganisationId

# Of ten connections: as few as keep one organisation from the others' work, and enough for what does not wait.
PLACES_OF_ONE = 3
LONGEST_WAIT_SECONDS = 2.0


class Turns:
    """``refusal`` is what those are told who have waited for too long."""

    def __init__(
        self,
        refusal: Callable[[], TooManyRequestsError],
        *,
        places_of_one: int = PLACES_OF_ONE,
        longest_wait_seconds: float = LONGEST_WAIT_SECONDS,
    ) -> None:
        self._refusal = refusal
        self._places_of_one = places_of_one
        self._longest_wait_seconds = longest_wait_seconds
        # They go with the last who has or awaits a turn.
        self._own: WeakValueDictionary[OrganisationId, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, organisation_id: OrganisationId) -> AsyncIterator[None]:
        """Have a turn for as long as the block lasts.

        :raises TooManyRequestsError: it did not come in time.
        """
        own = self._own.setdefault(organisation_id, asyncio.Semaphore(self._places_of_one))
        try:
            async with asyncio.timeout(self._longest_wait_seconds):
                await own.acquire()
        except TimeoutError:
            raise self._refusal() from None
        try:
            yield
        finally:
            own.release()
