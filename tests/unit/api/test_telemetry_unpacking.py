"""What a packed stream may hold, measured by how many bytes come."""

import gzip
import json
from collections.abc import AsyncIterator, Callable

import pytest
import zstandard

from iotsphere.api.telemetry.unpacking import LINES_ALLOWED, BodyOverpackedError, unpack_pieces

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor(level=10).compress,
    "identity": bytes,
}


async def in_pieces(body: bytes, size: int) -> AsyncIterator[bytes]:
    for begin in range(0, len(body), size):
        yield body[begin : begin + size]


async def unpack(body: bytes, encoding: str, size: int = 1000) -> int:
    """Unpack what comes in pieces of a size, and count the lines."""
    return sum([piece.count(b"\n") async for piece in unpack_pieces(in_pieces(body, size), encoding)])


@pytest.mark.parametrize("encoding", PACKERS)
async def test_readings_whose_values_never_change_are_unpacked_however_small_they_are_packed(encoding: str) -> None:
    device = '{"device_id":"8d4ccd4a-6ff5-4ad1-bd6c-7d3ae3d1f1a5","ts":%d,"values":{"a":20.0}}\n'
    body = "".join(device % (1_700_000_000_000 + 1000 * second) for second in range(3 * LINES_ALLOWED // 2)).encode()

    assert await unpack(PACKERS[encoding](body), encoding) == 3 * LINES_ALLOWED // 2


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize("line", ["", " ", "x", json.dumps({"device_id": "x", "values": {}})])
@pytest.mark.parametrize("size", [1, 256, 100_000])
async def test_lines_in_no_proportion_to_what_came_are_given_up(encoding: str, line: str, size: int) -> None:
    bomb = PACKERS[encoding]((line + "\n").encode() * 30 * LINES_ALLOWED)

    with pytest.raises(BodyOverpackedError):
        await unpack(bomb, encoding, size)


@pytest.mark.parametrize("encoding", PACKERS)
async def test_a_hundred_thousand_lines_are_allowed_whatever_they_are_packed_into(encoding: str) -> None:
    assert await unpack(PACKERS[encoding](b"\n" * LINES_ALLOWED), encoding) == LINES_ALLOWED


async def test_of_what_is_not_packed_any_lines_are_taken() -> None:
    assert await unpack(b"\n" * 3 * LINES_ALLOWED, "identity") == 3 * LINES_ALLOWED
