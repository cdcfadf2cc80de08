"""The connections to the Redis that keeps the shadows.

A frozen server costs a read at most READ_SECONDS and a write WRITE_SECONDS, and both together less than 3 seconds.
"""

from repositories.availability import StoreGate
from repositories.redis import SOCKET_SECONDS, RedisReach, create_redis_client

READ_SECONDS = 1.1
# Long enough for a server that syncs its log once a second to say that it has.
FSYNC_SECONDS = 1.4
WRITE_SECONDS = 1.7


class ShadowStore(RedisReach):
    """``url`` is one that redis-py reads.

    Writes have connections of their own, which never repeat a command: a compare-and-set whose answer was lost may
    have been made, and would lose against itself; and only on its own connection can a write be waited for.
    """

    def __init__(self, url: str, gate: StoreGate) -> None:
        super().__init__(gate)
        self.reads = create_redis_client(url, retries=1, answer_seconds=SOCKET_SECONDS)
        self.writes = create_redis_client(url, retries=0, answer_seconds=FSYNC_SECONDS + SOCKET_SECONDS)

    async def close(self) -> None:
        await self.reads.aclose()
        await self.writes.aclose()
