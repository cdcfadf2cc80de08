"""The body of a telemetry request: unpacked within bounds, and decoded so that a bad number spoils itself alone."""

import zlib
from collections.abc import Callable, Collection
from typing import Any, Final

import msgspec
import zstandard

from iotsphere.api.errors import MediaTypeUnsupportedError
from iotsphere.api.json_body import STRICT, JsonMalformedError, decode_json, encode_json
from iotsphere.kernel.errors import MalformedInputError, TooLargeError
from iotsphere.telemetry.decoding import MAX_VALUES, PlainReading
from iotsphere.telemetry.model import MAX_INTEGER, IntakeReport, Rejection

MAX_BODY_BYTES = 5 * 1024 * 1024
PLAIN = msgspec.json.Decoder(PlainReading | list[PlainReading])
ANY_FLOAT = msgspec.json.Decoder(float_hook=float)
PARTS = msgspec.json.Decoder(list[msgspec.Raw] | dict[str, msgspec.Raw])
# An array is taken apart into readings, these into what they tell, and that into values.
LEVELS = 3
# Stands for an integer of more digits than a decoder reads (4 300).
BEYOND = 2 * MAX_INTEGER
REFUSED: Final = object()
GZIP_FORMAT = 16 + zlib.MAX_WBITS
# What every decoder is asked to support, and as much memory as one request may cost (RFC 8878).
MAX_WINDOW_BYTES = 8 * 1024 * 1024


class BodyTooLargeError(TooLargeError):
    code = "request.body.too_large"

    def __init__(self) -> None:
        super().__init__(f"The body may have {MAX_BODY_BYTES} bytes at the most once it is unpacked.")


class BodyMalformedError(MalformedInputError):
    code = "request.body.malformed"


def unpack(body: bytes, content_encoding: str | None) -> bytes:
    """Undo the encoding of a body; of one that unpacks to more than the limit, no more than the limit is unpacked.

    :raises MediaTypeUnsupportedError: it is neither gzip nor zstd nor none.
    :raises BodyTooLargeError: it is larger than the limit.
    :raises BodyMalformedError: it is not what its header says.
    """
    encoding = (content_encoding or "identity").strip().lower()
    unpacker = UNPACKERS.get(encoding)
    if unpacker is None:
        raise MediaTypeUnsupportedError("Send the body as it is, or with Content-Encoding: gzip or zstd.")
    return unpacker(body)


def _from_gzip(body: bytes) -> bytes:
    stream = zlib.decompressobj(GZIP_FORMAT)
    try:
        unpacked = stream.decompress(body, MAX_BODY_BYTES + 1)
    except zlib.error as error:
        raise BodyMalformedError("The body is not gzip.") from error
    if len(unpacked) > MAX_BODY_BYTES:
        raise BodyTooLargeError
    if not stream.eof or stream.unused_data:
        raise BodyMalformedError("The gzip body is cut short, or more follows behind its end.")
    return unpacked


def _from_zstd(body: bytes) -> bytes:
    unpacker = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
    try:
        # Room is made for what the frame says of itself, so that is looked at first; a frame may also say nothing.
        stated = zstandard.get_frame_parameters(body).content_size
        is_stated = stated != zstandard.CONTENTSIZE_UNKNOWN
        if is_stated and stated > MAX_BODY_BYTES:
            raise BodyTooLargeError
        with unpacker.stream_reader(body) as reader:
            if len(reader.read(MAX_BODY_BYTES + 1)) > MAX_BODY_BYTES:
                raise BodyTooLargeError
        # A reader does not tell a frame that is cut short from a whole one.
        return unpacker.decompress(body, max_output_size=MAX_BODY_BYTES, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise BodyMalformedError("The body is not one whole zstd frame.") from error


UNPACKERS: dict[str, Callable[[bytes], bytes]] = {
    "identity": lambda body: body,
    "gzip": _from_gzip,
    "x-gzip": _from_gzip,
    "zstd": _from_zstd,
}


def decode_batch(body: bytes) -> Any:
    """Read a reading or an array of them; where they are of numbers alone they come as ``PlainReading``.

    :raises JsonMalformedError: it is not JSON.
    """
    try:
        readings = PLAIN.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError):
        return decode_readings(body)
    given = readings if isinstance(readings, list) else [readings]
    numbers = [number for reading in given for number in reading.values.values()]
    return readings if are_exact(numbers) else decode_readings(body)


def are_exact(numbers: Collection[float]) -> bool:
    """Tell whether none was an integer that is beyond the limit: as doubles they cannot be told from others."""
    return not numbers or (min(numbers) > -MAX_INTEGER and max(numbers) < MAX_INTEGER)


def decode_readings(body: bytes) -> Any:
    """Read JSON with numbers in it that no decoder takes, each of which is then to be rejected by itself.

    One that exceeds the largest double becomes infinite, and an integer of thousands of digits ``BEYOND``.

    :raises JsonMalformedError: it is not JSON.
    """
    document = _decode(body, STRICT)
    return _decode_apart(body, LEVELS) if document is REFUSED else document


def _decode_apart(body: bytes, levels: int) -> Any:
    document = _decode(body, ANY_FLOAT)
    if document is not REFUSED:
        return document
    _expect_utf8(body)
    parts = _decode(body, PARTS) if levels else REFUSED
    if parts is REFUSED:
        return -BEYOND if body.startswith(b"-") else BEYOND
    if len(parts) > MAX_VALUES:
        # It is too much, which needs no look at each.
        return dict.fromkeys(parts) if isinstance(parts, dict) else [None] * len(parts)
    if isinstance(parts, dict):
        return {name: _decode_apart(bytes(part), levels - 1) for name, part in parts.items()}
    return [_decode_apart(bytes(part), levels - 1) for part in parts]


def _decode(body: bytes, decoder: msgspec.json.Decoder[Any]) -> Any:
    """Read JSON, or give ``REFUSED`` if it is well formed so far but not to the decoder's liking."""
    try:
        return decode_json(body, decoder)
    except JsonMalformedError as error:
        if isinstance(error.__cause__, msgspec.ValidationError):
            return REFUSED
        raise


def _expect_utf8(body: bytes) -> None:
    """Look at what the decoder has not come to, and passes over where it takes JSON apart."""
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise JsonMalformedError(f"The body cannot be read: {error}.") from error


def encode_report(report: IntakeReport) -> bytes:
    return encode_json(report_members(report))


def report_members(report: IntakeReport) -> dict[str, Any]:
    """Give what the schema of the answer would, in a part of its time: there may be ten thousand rejections."""
    counts = report.counts
    return {
        "received": counts.received,
        "stored": counts.stored,
        "duplicates": counts.duplicates,
        "conflicts": counts.conflicts,
        "rejected": counts.rejected,
        "errors": [_rejection_members(rejection) for rejection in report.rejections],
    }


def _rejection_members(rejection: Rejection) -> dict[str, Any]:
    members = {"index": rejection.index, "code": rejection.code, "detail": rejection.detail}
    return members if rejection.metric is None else members | {"metric": rejection.metric}
