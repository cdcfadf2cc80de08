"""What a refusal does to the connection that it is told on: over a real one, since the test client has none."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

import hypercorn.asyncio
import pytest
import pytest_asyncio

from iotsphere import app
from iotsphere.api import request
from iotsphere.api.operation import TRUSTED_SECONDS
from iotsphere.app import create_app
from iotsphere.cli.roles.serve import hypercorn_config
from tests.api.bench import NOWHERE, ApiBench

REFUSED_EARLY = (
    b"POST /api/v1/devices HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n"
)
NEXT = b"GET /health/live HTTP/1.1\r\nHost: here\r\n\r\n"


@pytest_asyncio.fixture
async def port(bench: ApiBench) -> AsyncIterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    stop = asyncio.Event()
    config = hypercorn_config(replace(NOWHERE, host="127.0.0.1", port=port))
    serving = asyncio.create_task(
        hypercorn.asyncio.serve(create_app(bench.container), config, shutdown_trigger=stop.wait)
    )
    yield port
    stop.set()
    await serving


async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    async with asyncio.timeout(10):
        while True:
            try:
                return await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)


async def head_of_answer(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(10):
        return (await reader.readuntil(b"\r\n\r\n")).lower()


async def test_a_body_that_comes_after_its_refusal_costs_no_connection(port: int) -> None:
    reader, writer = await connect(port)
    writer.write(REFUSED_EARLY)
    await writer.drain()
    # Long enough for the refusal, which needs no store, to be on its way before the body is.
    await asyncio.sleep(0.1)
    writer.write(b"{}")

    refusal = await head_of_answer(reader)
    length = int(refusal.partition(b"content-length: ")[2].split()[0])
    await reader.readexactly(length)
    writer.write(NEXT)

    assert refusal.startswith(b"http/1.1 401 ")
    assert b"connection: close" not in refusal
    assert (await head_of_answer(reader)).startswith(b"http/1.1 200 ")
    writer.close()
    await writer.wait_closed()


async def test_a_body_that_does_not_come_costs_the_connection_and_the_client_is_told(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "REST_OF_BODY_SECONDS", 0.01)
    reader, writer = await connect(port)
    writer.write(REFUSED_EARLY)

    refusal = await head_of_answer(reader)

    assert refusal.startswith(b"http/1.1 401 ")
    assert b"connection: close" in refusal
    writer.close()
    await writer.wait_closed()


async def test_who_goes_on_sending_behind_a_refusal_still_finds_it(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "REST_OF_BODY_SECONDS", 0.01)
    reader, writer = await connect(port)
    writer.write(REFUSED_EARLY.replace(b"Content-Length: 2", b"Transfer-Encoding: chunked"))

    # Nobody looks at the answer before much more was sent than is on its way at once.
    for _ in range(200):
        writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        await writer.drain()
        await asyncio.sleep(0.002)

    assert (await head_of_answer(reader)).startswith(b"http/1.1 401 ")
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def test_whoever_never_stops_sending_is_hung_up_on(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "REST_OF_BODY_SECONDS", 0.01)
    monkeypatch.setattr(request, "LINGER_SECONDS", 0.05)
    _, writer = await connect(port)
    writer.write(REFUSED_EARLY.replace(b"Content-Length: 2", b"Transfer-Encoding: chunked"))

    async def send_on() -> None:
        while True:
            writer.write(b"1\r\nx\r\n")
            await writer.drain()
            await asyncio.sleep(0.001)

    with pytest.raises(ConnectionError):
        await asyncio.wait_for(send_on(), 10)


@pytest.mark.parametrize(
    ("target", "status"),
    [(b"/health/live", b"200"), (b"/api/v1/ws", b"404"), (b"/api/v1/me", b"401")],
)
@pytest.mark.parametrize("host", [b"here", b"a..b"])
async def test_an_offer_to_speak_websocket_is_answered_as_the_request_that_it_is(
    port: int, target: bytes, status: bytes, host: bytes
) -> None:
    reader, writer = await connect(port)
    writer.write(
        b"GET " + target + b" HTTP/1.1\r\nHost: " + host + b"\r\nX-Correlation-ID: offer-1\r\n"
        b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )

    head = await head_of_answer(reader)

    writer.close()
    await writer.wait_closed()
    assert head.split()[1] == status
    assert b"x-correlation-id: offer-1" in head


async def test_who_is_shut_out_while_their_body_is_on_its_way_is_refused(bench: ApiBench, port: int) -> None:
    body = b'{"serial_number":"SN-1","device_type":"pump"}'
    head = REFUSED_EARLY.replace(b"Length: 2", b"Length: %d" % len(body)).removesuffix(b"\r\n")
    token = bench.credentials["operator"]["Authorization"].encode()
    reader, writer = await connect(port)
    writer.write(head + b"Authorization: " + token + b"\r\n\r\n" + body[:10])
    await writer.drain()
    # Long enough to be let in, and to be no longer believed to be who was let in.
    await asyncio.sleep(TRUSTED_SECONDS + 0.1)
    assert (await bench.post("/auth/logout", by="operator")).status == 204
    writer.write(body[10:])

    assert (await head_of_answer(reader)).startswith(b"http/1.1 401 ")
    assert bench.tables.devices == {}
    writer.close()
    await writer.wait_closed()
