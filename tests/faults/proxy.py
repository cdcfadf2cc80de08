"""A store between the application and which a test can come: it passes, refuses or freezes."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Self


class FaultProxy:
    """Listens on one Unix socket and passes everything on to another, as long as it is told to."""

    def __init__(self, listens_at: Path, leads_to: Path) -> None:
        self._listens_at = listens_at
        self._leads_to = leads_to
        self._flowing = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.heal()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.refuse()

    async def heal(self) -> None:
        """Pass everything on, also what was held back."""
        self._flowing.set()
        if self._server is None:
            self._server = await asyncio.start_unix_server(self._accept, self._listens_at)

    def freeze(self) -> None:
        """Take connections and bytes, and never answer: a stopped process whose kernel still accepts."""
        self._flowing.clear()

    async def refuse(self) -> None:
        """Break every connection and take no new one: a process that is gone."""
        if self._server is not None:
            self._server.close()
            self._server = None
            self._listens_at.unlink(missing_ok=True)
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        writers = [writer]
        try:
            await self._flowing.wait()
            store_reader, store_writer = await asyncio.open_unix_connection(self._leads_to)
            writers.append(store_writer)
            await asyncio.gather(self._pass_on(reader, store_writer), self._pass_on(store_reader, writer))
        finally:
            for each in writers:
                each.transport.abort()
            self._connections.discard(task)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._flowing.wait()
            writer.write(data)
            with suppress(ConnectionError):
                await writer.drain()
        writer.close()
