"""A load generator for loopback: fixed requests over kept-alive connections, bounded in time."""

import asyncio
import itertools
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

CONNECTIONS = 32


@dataclass(frozen=True)
class Load:
    """What a server did under load: answers per second, and latencies in milliseconds."""

    per_second: float
    p50_ms: float
    p99_ms: float


class Exchange(asyncio.Protocol):
    """One connection that sends the next request when the last is answered and the next is due.

    A request that is sent late, because the last was answered late, counts from when it was due.
    """

    def __init__(self, requests: Iterator[bytes], due: Iterator[float], until: float, latencies: list[float]) -> None:
        self.done = asyncio.get_running_loop().create_future()
        self._requests, self._due, self._until, self._latencies = requests, due, until, latencies
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head = self._received.find(b"\r\n\r\n")
        if head < 0 or len(self._received) < head + 4 + _content_length(self._received[:head]):
            return
        if not self._received.startswith(b"HTTP/1.1 20"):
            self.done.set_exception(RuntimeError(self._received.decode(errors="replace")))
            self._transport.close()
            return
        self._latencies.append((time.perf_counter() - self._due_at) * 1000)
        self._received.clear()
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionResetError("the server closed the connection"))

    def _send(self) -> None:
        now = time.perf_counter()
        self._due_at = next(self._due) or now
        if max(now, self._due_at) >= self._until:
            self.done.set_result(None)
            self._transport.close()
        elif self._due_at > now:
            asyncio.get_running_loop().call_later(self._due_at - now, self._write)
        else:
            self._write()

    def _write(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(next(self._requests))


def _content_length(head: bytes | bytearray) -> int:
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            return int(line.split(b":")[1])
    return 0


async def apply(
    port: int,
    requests: Iterator[bytes],
    *,
    seconds: float,
    connections: int = CONNECTIONS,
    per_second: float | None = None,
) -> Load:
    """Send the requests over so many connections for so long, as fast as they are answered or at a given rate.

    :raises RuntimeError: an answer was not a success.
    """
    latencies: list[float] = []
    began = time.perf_counter()
    # Zero is at once.
    due = itertools.repeat(0.0) if per_second is None else itertools.count(began, 1 / per_second)
    exchanges = []
    for _ in range(connections):
        _, exchange = await asyncio.get_running_loop().create_connection(
            lambda: Exchange(requests, due, began + seconds, latencies), "127.0.0.1", port
        )
        exchanges.append(exchange)
    await asyncio.gather(*(exchange.done for exchange in exchanges))
    return load_of(latencies, time.perf_counter() - began)


def load_of(latencies: list[float], seconds: float) -> Load:
    percentiles = statistics.quantiles(latencies, n=100)
    return Load(len(latencies) / seconds, percentiles[49], percentiles[98])


def request(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
