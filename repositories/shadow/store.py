"""The connections to the Redis that keeps the shadows, and what this process knows of it.

A frozen server costs a read at most READ_SECONDS and a write WRITE_SECONDS, and both together less than 3 seconds.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from redis import exceptions as refusals

from iotsphere.shadow.errors import (
    ShadowJournalFullError,
    ShadowStoreDamagedError,
    ShadowUnrestoredError,
    StoreUnverifiedError,
)
from repositories.availability import StoreGate
from repositories.redis import SOCKET_SECONDS, RedisReach, create_redis_client
from repositories.shadow.keys import GENERATION
from repositories.shadow.scripts import Answer, BoundScript

READ_SECONDS = 1.1
# Long enough for a server that syncs its log once a second to say that it has.
FSYNC_SECONDS = 1.4
WRITE_SECONDS = 1.7
# How long the reader of the change stream may wait for a change.
STREAM_WAIT_SECONDS = 5.0

REFUSALS: dict[object, type[Exception]] = {
    Answer.UNVERIFIED: StoreUnverifiedError,
    Answer.UNRESTORED: ShadowUnrestoredError,
    Answer.FULL: ShadowJournalFullError,
    Answer.DAMAGED: ShadowStoreDamagedError,
}


@dataclass(frozen=True, slots=True)
class StoreSession:
    """Which life of the store, in which run of its server, this process has found to be whole."""

    generation: int
    digests: dict[BoundScript, str]

    @classmethod
    def of(cls, run: str, generation: int) -> "StoreSession":
        return cls(generation, {script: script.digest(run) for script in BoundScript})

    def call(self, script: BoundScript, keys: Sequence[str], *values: str | bytes | int) -> tuple[Any, ...]:
        """Give what EVALSHA takes to run a script; the generation is its first key and its first value."""
        return (self.digests[script], len(keys) + 1, GENERATION, *keys, self.generation, *values)


class ShadowStore(RedisReach):
    """``url`` is one that redis-py reads.

    Writes have connections of their own, which never repeat a command: a compare-and-set whose answer was lost may
    have been made, and would lose against itself; and only on its own connection can a write be waited for. The
    change stream has one for its reader, which may wait there.
    """

    def __init__(self, url: str, gate: StoreGate) -> None:
        super().__init__(gate)
        self.reads = create_redis_client(url, retries=1, answer_seconds=SOCKET_SECONDS)
        self.writes = create_redis_client(url, retries=0, answer_seconds=FSYNC_SECONDS + SOCKET_SECONDS)
        self.stream = create_redis_client(url, retries=0, answer_seconds=STREAM_WAIT_SECONDS + SOCKET_SECONDS)
        self._session: StoreSession | None = None

    @property
    def session(self) -> StoreSession:
        """:raises StoreUnverifiedError: nothing was found out about the store yet."""
        if self._session is None:
            raise StoreUnverifiedError
        return self._session

    @session.setter
    def session(self, session: StoreSession) -> None:
        self._session = session

    @asynccontextmanager
    async def watch(self, *, seconds: float) -> AsyncIterator[None]:
        """Do what every store does, and tell what this one alone answers.

        :raises StoreUnverifiedError: the server does not know a script of the session: it was started since.
        :raises ShadowStoreDamagedError: something else lies where the platform keeps its own.
        """
        try:
            async with super().watch(seconds=seconds):
                yield
        except refusals.NoScriptError as error:
            self.gate.succeeded()
            raise StoreUnverifiedError from error
        except refusals.ResponseError as error:
            if not str(error).startswith("WRONGTYPE"):
                raise
            self.gate.succeeded()
            raise ShadowStoreDamagedError from error

    async def ask(self, script: BoundScript, keys: Sequence[str], *values: str | bytes | int) -> Any:
        """Run a script that may be repeated, in the session of this process.

        :raises StoreUnverifiedError: the store may not be the one of the session.
        """
        return await self.ask_in(self.session, script, keys, *values)

    async def ask_in(
        self, session: StoreSession, script: BoundScript, keys: Sequence[str], *values: str | bytes | int
    ) -> Any:
        async with self.reach(seconds=READ_SECONDS):
            answer = await self.reads.evalsha(*session.call(script, keys, *values))
        return checked(answer)

    async def close(self) -> None:
        for client in (self.reads, self.writes, self.stream):
            await client.aclose()


def checked(answer: Any) -> Any:
    """Raise what an answer says, if it says that a script has not done its work."""
    refusal = REFUSALS.get(answer) if isinstance(answer, int) else None
    if refusal is not None:
        raise refusal()
    return answer
