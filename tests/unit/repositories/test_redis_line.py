import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import pytest_asyncio
from redis import exceptions as refusals

from repositories.redis_line import MOST_WAITING, RedisLine

# Long enough for a busy machine; nothing waits for it where all is well.
SECONDS = 5.0


class Server:
    """Takes commands of two words, and answers with the second while it is ``answering``.

    ``received`` has them all, one list for each piece that has come. Instead of answering, it closes the connection
    as often as ``cuts`` says.
    """

    def __init__(self, folder: str) -> None:
        self.url = f"unix://{folder}/server.sock"
        self.received: list[list[bytes]] = []
        self.connections: list[asyncio.StreamWriter] = []
        self.answering = asyncio.Event()
        self.answering.set()
        self.reached = asyncio.Event()
        self.cuts = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)
        while piece := await reader.read(1024 * 1024):
            commands = [command.split(b"\r\n") for command in piece.split(b"*2\r\n")[1:]]
            if not commands:
                # What the client says of itself when it connects.
                writer.write(b"+OK\r\n" * piece.count(b"CLIENT"))
                continue
            self.received.append([command[3] for command in commands])
            self.reached.set()
            await self.answering.wait()
            if self.cuts:
                self.cuts -= 1
                break
            writer.writelines(self.answer(command[3]) for command in commands)
        writer.close()

    @staticmethod
    def answer(word: bytes) -> bytes:
        return b"-NOSCRIPT it is not here\r\n" if word == b"unknown" else b"$%d\r\n%b\r\n" % (len(word), word)


Connect = Callable[..., RedisLine]


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Server]:
    with TemporaryDirectory() as folder:
        server = Server(folder)
        async with await asyncio.start_unix_server(server.serve, Path(folder) / "server.sock"):
            yield server
            server.answering.set()


@pytest_asyncio.fixture
async def connect(server: Server) -> AsyncIterator[Connect]:
    lines: list[RedisLine] = []

    def connect(*, repeats: bool = False, seconds: float = SECONDS) -> RedisLine:
        lines.append(RedisLine(server.url, seconds=seconds, repeats=repeats))
        return lines[-1]

    yield connect
    for line in lines:
        await line.close()


async def ask_all(line: RedisLine, *words: str) -> list[object]:
    return list(await asyncio.gather(*(line.ask("ECHO", word) for word in words), return_exceptions=True))


async def test_what_is_asked_at_once_goes_out_together_and_each_is_answered_for_itself(
    server: Server, connect: Connect
) -> None:
    one, refused, other = await ask_all(connect(), "one", "unknown", "other")

    assert (one, other) == (b"one", b"other")
    assert isinstance(refused, refusals.NoScriptError)
    assert server.received == [[b"one", b"unknown", b"other"]]


async def test_what_is_asked_while_the_line_is_busy_waits_for_the_next_exchange(
    server: Server, connect: Connect
) -> None:
    line = connect()
    server.answering.clear()
    first = asyncio.create_task(ask_all(line, "first"))
    await asyncio.wait_for(server.reached.wait(), SECONDS)
    rest = asyncio.create_task(ask_all(line, "second", "third"))
    await asyncio.sleep(0)
    server.answering.set()

    assert await first + await rest == [b"first", b"second", b"third"]
    assert server.received == [[b"first"], [b"second", b"third"]]
    assert len(server.connections) == 1


async def test_what_nobody_waits_for_any_more_is_not_sent_and_its_answer_disturbs_nobody(
    server: Server, connect: Connect
) -> None:
    line = connect()
    server.answering.clear()
    sent, kept = (asyncio.create_task(line.ask("ECHO", word)) for word in ("sent", "kept"))
    await asyncio.wait_for(server.reached.wait(), SECONDS)
    unsent = asyncio.create_task(line.ask("ECHO", "unsent"))
    await asyncio.sleep(0)
    sent.cancel()
    unsent.cancel()
    server.answering.set()

    assert await kept == b"kept"
    assert await line.ask("ECHO", "after") == b"after"
    assert server.received == [[b"sent", b"kept"], [b"after"]]


async def test_a_server_that_does_not_answer_in_time_ends_all_questions_and_is_called_anew(
    server: Server, connect: Connect
) -> None:
    line = connect(seconds=0.2)
    server.answering.clear()
    sent = asyncio.create_task(ask_all(line, "sent"))
    await asyncio.wait_for(server.reached.wait(), SECONDS)
    waiting = await ask_all(line, "waiting")

    assert [type(answer) for answer in await sent + waiting] == [refusals.TimeoutError] * 2
    server.answering.set()
    assert await line.ask("ECHO", "again") == b"again"
    assert len(server.connections) == 2


async def test_what_is_lost_with_a_connection_is_asked_once_more_by_a_line_that_repeats(
    server: Server, connect: Connect
) -> None:
    line = connect(repeats=True)
    await line.ask("ECHO", "before")
    server.cuts = 1

    assert await ask_all(line, "one", "other") == [b"one", b"other"]
    assert server.received == [[b"before"], [b"one", b"other"], [b"one", b"other"]]

    server.cuts = 2
    (lost,) = await ask_all(line, "twice")
    assert isinstance(lost, refusals.ConnectionError)


async def test_a_line_that_does_not_repeat_sends_nothing_twice(server: Server, connect: Connect) -> None:
    line = connect()
    await line.ask("ECHO", "before")
    server.cuts = 1

    (lost,) = await ask_all(line, "write")

    assert isinstance(lost, refusals.ConnectionError)
    assert server.received == [[b"before"], [b"write"]]
    assert await line.ask("ECHO", "after") == b"after"


async def test_a_connection_that_the_server_has_closed_meanwhile_is_noticed_before_it_is_used(
    server: Server, connect: Connect
) -> None:
    line = connect()
    await line.ask("ECHO", "before")
    server.connections[0].close()
    await asyncio.sleep(0.05)

    assert await line.ask("ECHO", "after") == b"after"
    assert server.received == [[b"before"], [b"after"]]


async def test_a_server_that_is_not_there_is_told_at_once(server: Server, connect: Connect) -> None:
    line = RedisLine(f"{server.url}.gone", seconds=SECONDS, repeats=True)

    (lost,) = await ask_all(line, "anything")

    assert isinstance(lost, refusals.ConnectionError)
    await line.close()


async def test_one_too_many_is_refused_and_disturbs_nobody(server: Server, connect: Connect) -> None:
    line = connect()
    waiting = [asyncio.create_task(line.ask("ECHO", "x")) for _ in range(MOST_WAITING)]
    await asyncio.sleep(0)

    with pytest.raises(refusals.MaxConnectionsError):
        await line.ask("ECHO", "y")

    assert await asyncio.gather(*waiting) == [b"x"] * MOST_WAITING


async def test_a_line_that_is_closed_leaves_nobody_waiting(server: Server, connect: Connect) -> None:
    line = connect()
    server.answering.clear()
    sent = asyncio.create_task(ask_all(line, "sent"))
    await asyncio.wait_for(server.reached.wait(), SECONDS)
    waiting = asyncio.create_task(ask_all(line, "waiting"))
    await asyncio.sleep(0)

    await line.close()

    assert [type(answer) for answer in await sent + await waiting] == [refusals.ConnectionError] * 2
