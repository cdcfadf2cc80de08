"""The body of a stream, unpacked as it comes: never much more at once than has come, nor more work than befits it."""

import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable

import zstandard

from iotsphere.api.errors import MediaTypeUnsupportedError
from iotsphere.api.telemetry.body import GZIP_FORMAT, MAX_WINDOW_BYTES, BodyMalformedError
from iotsphere.kernel.errors import TooLargeError

UNPACKED_AT_ONCE = 256 * 1024
# Four bytes of zstd may say 128 KiB, and the library unpacks whatever it is given: so many say 8 MiB at the most.
ZSTD_AT_ONCE = 256
# Every line is work, an empty one too, and half a KiB of zstd may say sixteen million. What devices send whose values
# never change is packed into half a byte a line at the least, as long as times are told.
LINES_A_BYTE = 4
LINES_ALLOWED = 100_000

Pieces = AsyncIterator[bytes]


class BodyOverpackedError(TooLargeError):
    code = "request.body.overpacked"

    def __init__(self) -> None:
        super().__init__(
            f"The body unpacks to more than {LINES_ALLOWED:,} lines and {LINES_A_BYTE} for each byte of it. "
            "Send such lines unpacked, or in several requests."
        )


def unpack_pieces(pieces: Pieces, content_encoding: str | None) -> Pieces:
    """Undo the encoding of a body that is read piece by piece; a damage shows when it is come upon.

    What holds lines in no proportion to its bytes is a damage too.

    :raises MediaTypeUnsupportedError: it is neither gzip nor zstd nor none.
    """
    unpacker = STREAM_UNPACKERS.get((content_encoding or "identity").strip().lower())
    if unpacker is None:
        raise MediaTypeUnsupportedError("Send the body as it is, or with Content-Encoding: gzip or zstd.")
    return _in_proportion(unpacker, pieces)


async def _in_proportion(unpacker: Callable[[Pieces], Pieces], pieces: Pieces) -> AsyncGenerator[bytes, None]:
    allowed, lines = LINES_ALLOWED, 0

    async def weighed() -> AsyncGenerator[bytes, None]:
        nonlocal allowed
        async for piece in pieces:
            allowed += LINES_A_BYTE * len(piece)
            yield piece

    async for unpacked in unpacker(weighed()):
        lines += unpacked.count(b"\n")
        if lines > allowed:
            raise BodyOverpackedError
        yield unpacked


async def _from_gzip(pieces: Pieces) -> AsyncGenerator[bytes, None]:
    stream = zlib.decompressobj(GZIP_FORMAT)
    async for piece in pieces:
        packed = piece
        while packed and not stream.eof:
            try:
                yield stream.decompress(packed, UNPACKED_AT_ONCE)
            except zlib.error as error:
                raise BodyMalformedError("The body is not gzip.") from error
            packed = stream.unconsumed_tail
        _refuse_rest(stream.eof, packed if stream.eof else b"", stream.unused_data)
    if not stream.eof:
        raise BodyMalformedError("The gzip body is cut short.")


async def _from_zstd(pieces: Pieces) -> AsyncGenerator[bytes, None]:
    stream = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES).decompressobj()
    async for piece in pieces:
        unpacked = bytearray()
        for begin in range(0, len(piece), ZSTD_AT_ONCE):
            _refuse_rest(stream.eof, piece[begin:], stream.unused_data)
            try:
                unpacked += stream.decompress(piece[begin : begin + ZSTD_AT_ONCE])
            except zstandard.ZstdError as error:
                raise BodyMalformedError("The body is not zstd.") from error
            if len(unpacked) >= UNPACKED_AT_ONCE:
                yield bytes(unpacked)
                unpacked.clear()
        yield bytes(unpacked)
        _refuse_rest(stream.eof, b"", stream.unused_data)
    if not stream.eof:
        raise BodyMalformedError("The zstd body is cut short.")


def _refuse_rest(is_over: bool, *rest: bytes) -> None:
    if is_over and any(rest):
        raise BodyMalformedError("More follows behind the end of the packed body.")


def _as_it_is(pieces: Pieces) -> Pieces:
    return pieces


STREAM_UNPACKERS: dict[str, Callable[[Pieces], Pieces]] = {
    "identity": _as_it_is,
    "gzip": _from_gzip,
    "x-gzip": _from_gzip,
    "zstd": _from_zstd,
}
