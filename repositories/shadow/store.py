"""The connections to the Redis that keeps the shadows, and what this process knows of it.

A frozen server costs a read at most READ_SECONDS and a write WRITE_SECONDS, and both together less than 3 seconds.
"""

from collections.abc import Sequence
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
from repositories.redis import FAILURES, SOCKET_SECONDS, RedisReach, create_redis_client
from repositories.redis_line import RedisLine
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

    run: str
    generation: int
    digests: dict[BoundScript, str]

    @classmethod
    def of(cls, run: str, generation: int) -> "StoreSession":
        return cls(run, generation, {script: script.digest(run) for script in BoundScript})

    def call(self, script: BoundScript, keys: Sequence[str], *values: str | bytes | int) -> tuple[Any, ...]:
        """Give what EVALSHA takes to run a script; the generation is its first key and its first value."""
        return (self.digests[script], len(keys) + 1, GENERATION, *keys, self.generation, *values)


class ShadowStore(RedisReach):
    """``url`` is one that redis-py reads.

    What is asked all the time goes over two lines, ``reading`` and ``writing``, the rest over pools. Writes never
    repeat a command: a compare-and-set whose answer was lost may have been made, and would lose against itself. A
    write that is waited for has a connection for itself, as nothing else comes through meanwhile; the change stream
    has one for its reader, which may wait there.
    """

    def __init__(self, url: str, gate: StoreGate) -> None:
        super().__init__(gate)
        self.reads = create_redis_client(url, retries=1, answer_seconds=SOCKET_SECONDS)
        self.writes = create_redis_client(url, retries=0, answer_seconds=FSYNC_SECONDS + SOCKET_SECONDS)
        self.stream = create_redis_client(url, retries=0, answer_seconds=STREAM_WAIT_SECONDS + SOCKET_SECONDS)
        self.reading = RedisLine(url, seconds=READ_SECONDS, repeats=True)
        self.writing = RedisLine(url, seconds=WRITE_SECONDS, repeats=False)
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

    def tell(self, error: Exception) -> Exception:
        """Do what every store does, and tell what this one alone answers.

        That a script of the session is not known, says that the server was started since; another type, that
        something else lies where the platform keeps its own.
        """
        if isinstance(error, refusals.NoScriptError):
            self.gate.succeeded()
            return StoreUnverifiedError()
        if isinstance(error, refusals.ResponseError) and str(error).startswith("WRONGTYPE"):
            self.gate.succeeded()
            return ShadowStoreDamagedError()
        return super().tell(error)

    async def ask(self, script: BoundScript, keys: Sequence[str], *values: str | bytes | int) -> Any:
        """Run a script that may be repeated, in the session of this process.

        :raises StoreUnverifiedError: the store may not be the one of the session.
        """
        return await self.ask_in(self.session, script, keys, *values)

    async def ask_in(
        self, session: StoreSession, script: BoundScript, keys: Sequence[str], *values: str | bytes | int
    ) -> Any:
        self.gate.enter()
        return checked(await self.ask_over(self.reading, session.call(script, keys, *values)))

    async def ask_over(self, line: RedisLine, call: tuple[Any, ...]) -> Any:
        """Run a script over a line, even while the gate is closed.

        :raises UnavailableError: the store does not answer now.
        """
        try:
            answer = await line.ask("EVALSHA", *call)
        except FAILURES as error:
            told = self.tell(error)
            if told is error:
                raise
            raise told from error
        self.gate.succeeded()
        return answer

    async def close(self) -> None:
        for line in (self.reading, self.writing):
            await line.close()
        for client in (self.reads, self.writes, self.stream):
            await client.aclose()


def checked(answer: Any) -> Any:
    """Raise what an answer says, if it says that a script has not done its work."""
    refusal = REFUSALS.get(answer) if isinstance(answer, int) else None
    if refusal is not None:
        raise refusal()
    return answer
