"""The one way to reach Redis: clients with hard time-outs, and outages told apart from refusals."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis import exceptions as refusals
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from repositories.availability import StoreGate

SOCKET_SECONDS = 0.5
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
FAILURES = (*OUTAGES, refusals.ResponseError)
# Refusals that the driver has no class for: the disk is full, a script runs without end, a replica is missing.
OUTAGE_CODES = ("MISCONF", "BUSY", "NOREPLICAS")


class RedisReach:
    """Bounds in time what is asked of Redis, and tells its gate how that went."""

    def __init__(self, gate: StoreGate) -> None:
        self.gate = gate

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
        cancellations = _count_cancellations()
        try:
            async with asyncio.timeout(seconds):
                yield
        except FAILURES as error:
            told = self.tell(error)
            if told is error:
                raise
            raise told from error
        self.gate.succeeded()
        if _count_cancellations() > cancellations:
            # The driver loses a cancellation that comes together with the end of what it waits for, and whoever
            # asks again and again within a time-out would never hear of it.
            raise asyncio.CancelledError

    def tell(self, error: Exception) -> Exception:
        """Tell the gate, and give what to raise: the error itself if it is a refusal."""
        if _is_busy(error):
            return self.gate.busy()
        return self.gate.failed() if _is_outage(error) else error


def create_redis_client(
    url: str, *, retries: int, answer_seconds: float | None, connect_seconds: float = SOCKET_SECONDS
) -> Redis:
    """Make a client that connects when it is first needed; without ``answer_seconds`` it has no time-out."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=POOL_SIZE,
        timeout=POOL_WAIT_SECONDS,
        socket_timeout=answer_seconds,
        socket_connect_timeout=connect_seconds,
        retry=Retry(NoBackoff(), retries),
        # With protocol 3 over TCP the pool would not notice connections that a restarted server has dropped.
        protocol=2,
    )
    return Redis.from_pool(pool)


def _count_cancellations() -> int:
    task = asyncio.current_task()
    return task.cancelling() if task else 0


def _is_busy(error: Exception) -> bool:
    """Tell a pool that had no connection left in time, for others have them, from a server that has none to give."""
    is_pool_empty = isinstance(error, refusals.ConnectionError) and isinstance(error.__cause__, TimeoutError)
    return is_pool_empty or isinstance(error, refusals.MaxConnectionsError)


def _is_outage(error: Exception) -> bool:
    return isinstance(error, OUTAGES) or str(error).startswith(OUTAGE_CODES)
