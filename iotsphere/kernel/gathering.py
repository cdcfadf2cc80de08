"""Doing together what many ask for at once: whatever comes while some of it is under way is done next, as one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from iotsphere.kernel.errors import UnavailableError

# More in one transaction gains nothing, and takes longer.
MOST_TOGETHER = 500
T = TypeVar("T")


class Gathering(Generic[T]):
    """Hands over what many callers give it, one lot after the other; who comes alone waits for nobody.

    Each caller is answered after what is theirs was written, or was not. What is refused takes no other along: then
    each is written alone.
    """

    def __init__(self, write: Callable[[Sequence[T]], Awaitable[None]], *, most: int = MOST_TOGETHER) -> None:
        self._write = write
        self._most = most
        self._open: tuple[list[T], asyncio.Task[None]] | None = None
        self._latest: asyncio.Task[None] | None = None

    async def add(self, item: T) -> None:
        if self._open is None or len(self._open[0]) >= self._most:
            lot: list[T] = []
            self._latest = asyncio.create_task(self._hand_over(lot, after=self._latest))
            self._open = lot, self._latest
        lot, handed_over = self._open
        lot.append(item)
        # Who goes away takes neither their own along nor that of the others.
        await asyncio.wait({handed_over})
        error = handed_over.exception()
        if error is None:
            return
        if len(lot) == 1 or isinstance(error, UnavailableError):
            raise error
        await self._write([item])

    async def _hand_over(self, lot: list[T], *, after: asyncio.Task[None] | None) -> None:
        if after is not None:
            await asyncio.wait({after})
        if self._open is not None and self._open[0] is lot:
            # From here on nobody joins.
            self._open = None
        await self._write(lot)
