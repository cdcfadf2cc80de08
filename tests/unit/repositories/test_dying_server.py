"""A server that dies says so, and is gone a moment later: what is asked of the connection in that moment."""

import asyncio
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from iotsphere.kernel.errors import UnavailableError
from repositories.registry.keys import PostgresChangeFeed
from repositories.sql import DRIVER_ERRORS, is_outage, open_connection


def message(kind: bytes, content: bytes = b"") -> bytes:
    return kind + struct.pack("!i", len(content) + 4) + content


READY = message(b"Z", b"I")
GREETING = (
    message(b"R", bytes(4)) + message(b"S", b"server_version\x0017.0\0") + message(b"S", b"client_encoding\0UTF8\0")
)
# The leave that a server's process takes when the server is shut down or killed.
FAREWELL = message(b"E", b"SFATAL\0C57P01\0Mterminating connection due to unexpected postmaster exit\0\0")
DONE = message(b"C", b"DONE\0")
ANSWERS = {
    b"P": message(b"1"),
    b"D": message(b"t", bytes(2)) + message(b"n"),
    b"B": message(b"2"),
    b"E": DONE,
    b"S": READY + FAREWELL,
    b"Q": DONE + READY + FAREWELL,
}


async def play_dying_server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Let a client in, answer its first statement, say farewell, and hold the connection a moment longer."""
    await reader.readexactly(struct.unpack("!i", await reader.readexactly(4))[0] - 4)
    writer.write(GREETING + READY)
    while kind := await reader.read(1):
        await reader.readexactly(struct.unpack("!i", await reader.readexactly(4))[0] - 4)
        writer.write(ANSWERS.get(kind, b""))
    writer.close()


# What a database says that is kept closed while it is restored.
REFUSAL = message(b"E", b"SFATAL\0C55000\0Mdatabase is not currently accepting connections\0\0")


async def play_closed_database(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readexactly(struct.unpack("!i", await reader.readexactly(4))[0] - 4)
    writer.write(REFUSAL)
    writer.close()


@pytest_asyncio.fixture
async def dsn(tmp_path: Path) -> AsyncIterator[str]:
    server = await asyncio.start_unix_server(play_dying_server, tmp_path / ".s.PGSQL.5432")
    yield f"postgresql://user:password@/database?host={tmp_path}&port=5432"
    server.close()


async def test_what_the_driver_says_of_it_is_an_outage(dsn: str) -> None:
    connection = await open_connection(dsn)
    await connection.execute("SELECT")

    with pytest.raises(DRIVER_ERRORS) as said:
        await connection.execute("SELECT")

    connection.terminate()
    assert is_outage(said.value)


async def test_the_feed_of_changed_keys_tells_of_it_as_of_any_outage(dsn: str) -> None:
    async with asyncio.timeout(10):
        with pytest.raises(UnavailableError):
            async with PostgresChangeFeed(dsn).listen(lambda _: None) as catch_up:
                await catch_up()


async def test_a_database_that_lets_nobody_in_is_an_outage(tmp_path: Path) -> None:
    server = await asyncio.start_unix_server(play_closed_database, tmp_path / ".s.PGSQL.5432")

    with pytest.raises(DRIVER_ERRORS) as said:
        await open_connection(f"postgresql://user:password@/database?host={tmp_path}&port=5432")

    server.close()
    assert is_outage(said.value)
