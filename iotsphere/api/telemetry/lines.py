"""From the bytes of a stream to readings, portion by portion: what one transaction takes, or what a second brought.

Nothing that a client sends makes more than a portion and a line be held.
"""

import asyncio
import codecs
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from uuid import UUID

import msgspec
from werkzeug.exceptions import RequestTimeout

from iotsphere.api.errors import LineTooLongError
from iotsphere.api.telemetry.body import MAX_BODY_BYTES, are_exact, decode_readings
from iotsphere.kernel.errors import DomainError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.decoding import MAX_VALUES, PlainReading, Refusal
from iotsphere.telemetry.errors import TooManyValuesError
from iotsphere.telemetry.gathered import GivenReading
from iotsphere.telemetry.model import Rejection

# What a reading may have that comes alone.
MAX_LINE_BYTES = MAX_BODY_BYTES
MAX_LINES = 5_000
MAX_PORTION_BYTES = 1024 * 1024
# What comes slowly is stored this often.
PORTION_SECONDS = 1.0
# Who says nothing for so long is hung up on, and so is whoever never comes to an end.
IDLE_SECONDS = 30.0
MAX_STREAM_SECONDS = 3600.0
# After so many lines others get their turn.
LINES_IN_A_ROW = 250
MOST_NAMES = 50_000

LINE_INVALID = Refusal(
    "telemetry.reading.invalid", 'A line is an object {"device_id", "ts"?, "values": {metric: value}}.'
)
DEVICE_ID_INVALID = Refusal("telemetry.reading.device_id_invalid", "device_id is not a UUID.")


class PlainLine(PlainReading, forbid_unknown_fields=True, kw_only=True):
    device_id: str


PLAIN = msgspec.json.Decoder(PlainLine)


@dataclass(slots=True)
class Portion:
    """Lines that are settled together; of rejections ``index`` is the number of the line, counted from 1."""

    given: list[GivenReading] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    rejected: int = 0
    last_line: int = 0
    size: int = 0
    """In values."""
    line_count: int = 0
    byte_count: int = 0
    began: float = field(default_factory=time.monotonic)

    def is_full(self) -> bool:
        return self.line_count >= MAX_LINES or self.byte_count >= MAX_PORTION_BYTES

    def is_late(self) -> bool:
        return time.monotonic() - self.began >= PORTION_SECONDS

    def reject(self, line: int, refusal: Refusal, count: int) -> None:
        self.rejections.append(Rejection(line, *refusal))
        self.rejected += count


class LineSplitter:
    """Parts what comes into lines; of one that is too long no more is kept than shows it."""

    def __init__(self) -> None:
        self._open = bytearray()

    def split(self, piece: bytes) -> list[bytes]:
        first, *others = piece.split(b"\n")
        self._open += first
        del self._open[MAX_LINE_BYTES + 1 :]
        if not others:
            return []
        lines = [bytes(self._open), *others[:-1]]
        self._open = bytearray(others[-1][: MAX_LINE_BYTES + 1])
        return lines

    def end(self) -> list[bytes]:
        return [bytes(self._open)] if self._open else []


class LineReader:
    """Reads one line after the other into portions."""

    def __init__(self) -> None:
        self._number = 0
        self._names: dict[str, DeviceId] = {}
        self.portion = Portion()

    def read(self, line: bytes) -> Portion | None:
        """Take a line in, and give the portion before it where it has no room any more; blank lines only count."""
        self._number += 1
        text = line.removeprefix(codecs.BOM_UTF8) if self._number == 1 else line
        if len(text) <= MAX_LINE_BYTES and not text.strip():
            self.portion.last_line = self._number
            return None
        plain = self._find_plain(text)
        found, size = (plain, plain.size) if plain else self._find(text)
        full = None
        if isinstance(found, Refusal):
            self.portion.reject(self._number, found, size)
        else:
            full = self.cut() if self.portion.size + size > MAX_VALUES else None
            self.portion.given.append(found)
            self.portion.size += size
        self.portion.last_line = self._number
        self.portion.line_count += 1
        self.portion.byte_count += len(line)
        return full

    def cut(self) -> Portion:
        """Give the portion as it is, and begin another."""
        portion, self.portion = self.portion, Portion(last_line=self.portion.last_line)
        return portion

    def _find_plain(self, text: bytes) -> GivenReading | None:
        """Give what nearly every line is, a reading of numbers, about which nothing has to be said so far."""
        if len(text) > MAX_LINE_BYTES:
            return None
        try:
            line = PLAIN.decode(text)
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError):
            return None
        size, device_id = len(line.values), self._device_id(line.device_id)
        if device_id is None or not 0 < size <= MAX_VALUES or not are_exact(line.values.values()):
            return None
        return GivenReading(self._number, device_id, line, size)

    def _find(self, text: bytes) -> tuple[GivenReading | Refusal, int]:
        """Give the reading or why it is none, and how many values that are."""
        try:
            if len(text) > MAX_LINE_BYTES:
                raise LineTooLongError(MAX_LINE_BYTES)
            document = decode_readings(text)
        except DomainError as error:
            return Refusal(error.code, error.detail), 1
        if not isinstance(document, dict):
            return LINE_INVALID, 1
        values = document.get("values")
        size = max(1, len(values)) if isinstance(values, dict) else 1
        if size > MAX_VALUES:
            too_many = TooManyValuesError(size, MAX_VALUES)
            return Refusal(too_many.code, too_many.detail), size
        name = document.pop("device_id", None)
        device_id = self._device_id(name) if isinstance(name, str) else None
        if device_id is None:
            return DEVICE_ID_INVALID, size
        return GivenReading(self._number, device_id, document, size), size

    def _device_id(self, name: str) -> DeviceId | None:
        # Most lines are of devices that others were of before.
        device_id = self._names.get(name)
        if device_id is None:
            try:
                device_id = DeviceId(msgspec.convert(name, UUID))
            except msgspec.ValidationError:
                return None
            if len(self._names) >= MOST_NAMES:
                self._names.clear()
            self._names[name] = device_id
        return device_id


async def read_portions(pieces: AsyncIterator[bytes]) -> AsyncGenerator[Portion, None]:
    """Read a stream to its end.

    :raises RequestTimeout: nothing came for half a minute, or it has gone on for an hour.
    """
    splitter, reader = LineSplitter(), LineReader()
    async with aclosing(arrivals(pieces)) as arriving:
        async for piece in arriving:
            for number, line in enumerate(splitter.split(piece)):
                full = reader.read(line)
                if full is not None:
                    yield full
                elif number % LINES_IN_A_ROW == 0:
                    await asyncio.sleep(0)
                if reader.portion.is_full():
                    yield reader.cut()
            if reader.portion.line_count and reader.portion.is_late():
                yield reader.cut()
    for line in splitter.end():
        full = reader.read(line)
        if full is not None:
            yield full
    yield reader.cut()


async def arrivals(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Give the pieces as they come, and an empty one whenever none has come for a while."""
    began = heard = time.monotonic()
    coming: asyncio.Future[bytes | None] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(anext(pieces, None))
            await asyncio.wait({coming}, timeout=PORTION_SECONDS)
            now = time.monotonic()
            if now - began > MAX_STREAM_SECONDS or now - heard > IDLE_SECONDS:
                raise RequestTimeout
            piece: bytes | None = b""
            if coming.done():
                piece, coming, heard = coming.result(), None, now
            if piece is None:
                return
            yield piece
    finally:
        if coming is not None:
            coming.cancel()
