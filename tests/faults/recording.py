"""A client that goes on through disasters, and remembers what it is told."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.faults.site import eventually

SOME = 100
Disaster = Callable[[], Awaitable[None]]


@dataclass
class RecordingClient(ABC):
    """``acknowledged`` counts the requests that were answered with success."""

    acknowledged: int = field(default=0, kw_only=True)

    @abstractmethod
    async def record(self, *, stop: asyncio.Event) -> None:
        """Write until told to stop."""

    async def record_through(self, *disasters: Disaster) -> None:
        """Go on writing through disasters, each of which comes after some work was done."""
        async with self._recording() as recording:
            for disaster in disasters:
                await self._some_more(recording)
                await disaster()
            await self._some_more(recording)

    async def record_until(self, disaster: Disaster) -> None:
        """Go on writing until a disaster, and stop when it is over."""
        async with self._recording() as recording:
            await self._some_more(recording)
            await disaster()

    @asynccontextmanager
    async def _recording(self) -> AsyncIterator[asyncio.Task[None]]:
        stop = asyncio.Event()
        recording = asyncio.create_task(self.record(stop=stop))
        try:
            yield recording
            stop.set()
            await recording
        finally:
            recording.cancel()
            await asyncio.wait([recording])

    async def _some_more(self, recording: asyncio.Task[None]) -> None:
        enough = self.acknowledged + SOME

        async def is_enough() -> bool:
            if recording.done():
                recording.result()
            return self.acknowledged >= enough

        await eventually(is_enough, within=60)
