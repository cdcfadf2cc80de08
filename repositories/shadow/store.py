"""The one way to reach Redis: clients with hard time-outs, and outages told apart from refusals.

A frozen server costs a read at most READ_SECONDS and a write WRITE_SECONDS, and both together less than 3 seconds.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis import exceptions as refusals
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from repositories.availability import StoreGate

SOCKET_SECONDS = 0.5
READ_SECONDS = 1.1
# Long enough for a server that syncs its log once a second to say that it has.
FSYNC_SECONDS = 1.4
WRITE_SECONDS = 1.7
POOL_WAIT_SECONDS = 0.5
POOL_SIZE = 32

OUTAGES = (
    OSError,
    refusals.ConnectionError,
    refusals.TimeoutError,
    refusals.OutOfMemoryError,
    refusals.ReadOnlyError,
    refusals.ClusterDownError,
    refusals.TryAgainError,
)
# Refusals that the driver has no class for: the disk is full, a script runs without end, a replica is missing.
OUTAGE_CODES = ("MISCONF", "BUSY", "NOREPLICAS")


class ShadowStore:
    """Connections to the Redis that keeps the shadows; ``url`` is one that redis-py reads.

    Writes have connections of their own, which never repeat a command: a compare-and-set whose answer was lost may
    have been made, and would lose against itself; and only on its own connection can a write be waited for.
    """

    def __init__(self, url: str, gate: StoreGate) -> None:
        self.gate = gate
        self.reads = _client(url, retries=1, answer_seconds=SOCKET_SECONDS)
        self.writes = _client(url, retries=0, answer_seconds=FSYNC_SECONDS + SOCKET_SECONDS)

    @asynccontextmanager
    async def reach(self, *, seconds: float) -> AsyncIterator[None]:
        """Translate an outage inside the block, and end it in time.

        :raises UnavailableError: the store failed a moment ago, or does not answer now.
        """
        self.gate.enter()
        async with self.watch(seconds=seconds):
            yield

    @asynccontextmanager
    async def watch(self, *, seconds: float) -> AsyncIterator[None]:
        """Do what ``reach`` does even while the gate is closed, as readiness must to see the store come back.

        :raises UnavailableError: the store does not answer now.
        """
        try:
            async with asyncio.timeout(seconds):
                yield
        except (*OUTAGES, refusals.ResponseError) as error:
            if _is_busy(error):
                raise self.gate.busy() from error
            if not _is_outage(error):
                raise
            raise self.gate.failed() from error
        self.gate.succeeded()

    async def close(self) -> None:
        await self.reads.aclose()
        await self.writes.aclose()


def _client(url: str, *, retries: int, answer_seconds: float) -> Redis:
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=POOL_SIZE,
        timeout=POOL_WAIT_SECONDS,
        socket_timeout=answer_seconds,
        socket_connect_timeout=SOCKET_SECONDS,
        retry=Retry(NoBackoff(), retries),
        # With protocol 3 over TCP the pool would not notice connections that a restarted server has dropped.
        protocol=2,
    )
    return Redis.from_pool(pool)


def _is_busy(error: Exception) -> bool:
    """Tell a pool that had no connection left in time, for others have them, from a server that has none to give."""
    return isinstance(error, refusals.ConnectionError) and isinstance(error.__cause__, TimeoutError)


def _is_outage(error: Exception) -> bool:
    return isinstance(error, OUTAGES) or str(error).startswith(OUTAGE_CODES)
