"""One connection to Redis over which many ask at once.

A pool gives every question a connection for itself, and with it a check, a time-out, a send and a wait of its own,
which take more of the processor's time than all else that a request does. Here, what is asked while the line is busy
goes out together in the next exchange, and each is answered for itself.
"""

import asyncio
from collections.abc import Sequence
from contextvars import Context
from typing import Any, NamedTuple

from redis import exceptions as refusals
from redis.asyncio import Connection

from repositories.redis import create_redis_client

# So many may wait for the next exchange: by then the server is too slow for all of them.
MOST_WAITING = 1024


class Question(NamedTuple):
    command: tuple[Any, ...]
    answer: asyncio.Future[Any]


class RedisLine:
    """``seconds`` is what an exchange may take, with connecting where there is no connection.

    A line that ``repeats`` asks once more over a new connection what was lost with one that stood before. Without, no
    command is ever sent twice. What nobody waits for any more is not sent, or its answer is let go.
    """

    def __init__(self, url: str, *, seconds: float, repeats: bool) -> None:
        self._client = create_redis_client(url, retries=0, answer_seconds=None, connect_seconds=seconds)
        self._seconds = seconds
        self._repeats = repeats
        self._connection: Connection | None = None
        self._asked: list[Question] = []
        self._exchanging: asyncio.Task[None] | None = None

    async def ask(self, *command: Any) -> Any:
        """Send a command and give its answer, as bytes and integers.

        :raises RedisError: the server refuses it, cannot be reached or does not answer in time; MaxConnectionsError
            if too many wait already.
        """
        if len(self._asked) >= MOST_WAITING:
            raise refusals.MaxConnectionsError("too many wait for an answer")
        question = Question(command, asyncio.get_running_loop().create_future())
        self._asked.append(question)
        if self._exchanging is None:
            # Nobody's in particular: it may go on for as long as somebody asks.
            self._exchanging = asyncio.create_task(self._exchange_all(), context=Context())
        return await question.answer

    async def close(self) -> None:
        if self._exchanging is not None:
            self._exchanging.cancel()
            await asyncio.wait([self._exchanging])
        await self._hang_up()
        await self._client.aclose()

    async def _exchange_all(self) -> None:
        asked: list[Question] = []
        try:
            while self._asked:
                asked, self._asked = [question for question in self._asked if not question.answer.done()], []
                if asked:
                    await self._exchange(asked)
        finally:
            self._exchanging = None
            _fail([*asked, *self._asked], refusals.ConnectionError("the line was closed"))

    async def _exchange(self, asked: list[Question]) -> None:
        had_connection = self._connection is not None
        try:
            async with asyncio.timeout(self._seconds):
                await _talk(await self._connect(), asked)
        except (OSError, refusals.RedisError) as error:
            await self._hang_up()
            if self._repeats and had_connection and isinstance(error, refusals.ConnectionError):
                self._asked = asked + self._asked
                return
            # Those who have asked meanwhile would only learn the same, and later.
            asked, self._asked = asked + self._asked, []
            is_late = isinstance(error, TimeoutError)
            _fail(asked, refusals.TimeoutError("no answer in time") if is_late else error)
        except BaseException:
            # An answer that nobody has read would be taken for the next one's.
            await self._hang_up()
            raise

    async def _connect(self) -> Connection:
        """Give the connection, a new one if the server has closed it meanwhile."""
        if self._connection is not None and await self._connection.can_read():
            await self._hang_up()
        if self._connection is None:
            pool: Any = self._client.connection_pool
            self._connection = pool.make_connection()
            await self._connection.connect()
        return self._connection

    async def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)


async def _talk(connection: Connection, asked: Sequence[Question]) -> None:
    commands = connection.pack_commands([question.command for question in asked])
    await connection.send_packed_command(commands, check_health=False)
    for question in asked:
        try:
            answer = await connection.read_response(disable_decoding=True)
        except refusals.ResponseError as error:
            _fail([question], error)
        else:
            if not question.answer.done():
                question.answer.set_result(answer)


def _fail(asked: Sequence[Question], error: Exception) -> None:
    for question in asked:
        if not question.answer.done():
            question.answer.set_exception(error)
