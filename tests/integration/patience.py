"""What a client does who is told that a store is busy, or away: it asks again."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from iotsphere.kernel.errors import UnavailableError

# On a machine that has much else to do.
PATIENCE_SECONDS = 30

P = ParamSpec("P")
T = TypeVar("T")


async def eventually(act: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Repeat until the store takes it; what it answers then is what was wanted, a refusal too."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return await act(*args, **kwargs)
        except UnavailableError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.02)
