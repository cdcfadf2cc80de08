"""A large body, kept in a temporary file while its lines are worked through.

Clients send the whole of a request before they read its answer. Whoever answers while the body is still coming waits
for a client that waits too, as soon as the connection is full of answers (ADR 0019).
"""

import asyncio
import hashlib
import tempfile
import weakref
from collections.abc import AsyncIterator, Iterator
from typing import ClassVar, cast

from quart import request
from werkzeug.exceptions import RequestTimeout

from iotsphere.api.errors import MediaTypeUnsupportedError, RequestTooLargeError
from iotsphere.api.request import RoutableRequest
from iotsphere.kernel.errors import UnavailableError
from iotsphere.registry.errors import ImportBusyError

MAX_LINE_BYTES = 1024 * 1024
RECEIVE_SECONDS = 600
PIECE_BYTES = 64 * 1024
# Of one process: so many files of the largest size there has to be room for.
MAX_SPOOLS = 4
RETRY_AFTER_SECONDS = 5
UTF_8 = {"utf-8", "utf8"}


class Spool:
    """The lines of a body. Nobody else can open the file, and it goes with the last reference to this object.

    ``digest`` tells one body from another.

    :raises ImportBusyError: there are as many as there may be at once.
    """

    _open: ClassVar["weakref.WeakSet[Spool]"] = weakref.WeakSet()

    def __init__(self) -> None:
        if len(self._open) >= MAX_SPOOLS:
            raise ImportBusyError(
                "Too many files are being imported. Try again shortly.", retry_after_seconds=RETRY_AFTER_SECONDS
            )
        self._open.add(self)
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # it lives as long as this object
        self._hash = hashlib.sha256()
        self._newlines = 0
        self._is_line_open = False
        weakref.finalize(self, self._file.close)

    @property
    def digest(self) -> bytes:
        return self._hash.digest()

    @property
    def line_count(self) -> int:
        return self._newlines + self._is_line_open

    async def receive(self, pieces: AsyncIterator[bytes], *, max_lines: int) -> None:
        """Take in a body.

        :raises RequestTooLargeError: it has more lines.
        :raises RequestTimeout: it has not come within ten minutes.
        :raises UnavailableError: there is no room for it.
        """
        try:
            async with asyncio.timeout(RECEIVE_SECONDS):
                async for piece in pieces:
                    self._append(piece)
                    if self.line_count > max_lines:
                        raise RequestTooLargeError(
                            f"The body may have {max_lines} lines at the most. Send it in parts."
                        )
            self._file.seek(0)
        except TimeoutError as error:
            raise RequestTimeout from error
        except OSError as error:
            raise UnavailableError("spool", f"There is no room for the body: {error.strerror}.") from error

    def _append(self, piece: bytes) -> None:
        self._file.write(piece)
        self._hash.update(piece)
        self._newlines += piece.count(b"\n")
        self._is_line_open = not piece.endswith(b"\n")

    async def pieces(self) -> AsyncIterator[bytes]:
        """Give it as it came, in pieces of another size."""
        while piece := self._file.read(PIECE_BYTES):
            yield piece

    def __iter__(self) -> Iterator[bytes]:
        """Give line by line, with its end, of one that is too long no more than shows it."""
        while line := self._file.readline(MAX_LINE_BYTES + 1):
            rest = line
            while len(rest) > MAX_LINE_BYTES and not rest.endswith(b"\n"):
                rest = self._file.readline(MAX_LINE_BYTES + 1)
            yield line


def is_too_long(line: bytes) -> bool:
    return len(line) - line.endswith(b"\n") > MAX_LINE_BYTES


async def spool_body(media_types: tuple[str, ...], *, max_bytes: int, max_lines: int) -> Spool:
    """Take in the body of the present request.

    :raises MediaTypeUnsupportedError: it is declared as something else, packed, or not in UTF-8.
    :raises RequestTooLargeError: it has more bytes or lines.
    :raises ImportBusyError: too many others are being worked through.
    """
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if not _is_text_of(media_types) or encoding != "identity":
        raise MediaTypeUnsupportedError(f"Send the body as {' or '.join(media_types)}, in UTF-8, not packed.")
    spool = Spool()
    await spool.receive(cast("RoutableRequest", request).body.pieces(max_bytes), max_lines=max_lines)
    return spool


async def stream_body(
    media_types: tuple[str, ...], *, max_remembered_bytes: int
) -> tuple[AsyncIterator[bytes], bytes]:
    """Give the body of the present request piece by piece as it comes, packed or not, and no digest.

    With an idempotency key it is taken in first: only the whole of it tells whether it came before.

    :raises MediaTypeUnsupportedError: it is declared as something else, or not in UTF-8.
    :raises RequestTooLargeError: it has a key and more bytes.
    :raises ImportBusyError: likewise, and too many others are being worked through.
    """
    if not _is_text_of(media_types):
        raise MediaTypeUnsupportedError(f"Send the body as {' or '.join(media_types)}, in UTF-8.")
    body = cast("RoutableRequest", request).body
    if "Idempotency-Key" not in request.headers:
        return body.pieces(), b""
    spool = Spool()
    await spool.receive(body.pieces(max_remembered_bytes), max_lines=max_remembered_bytes)
    return spool.pieces(), spool.digest


def _is_text_of(media_types: tuple[str, ...]) -> bool:
    return request.mimetype in media_types and request.mimetype_params.get("charset", "utf-8").lower() in UTF_8
