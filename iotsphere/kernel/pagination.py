"""Pages of a list and the cursors between them.

A cursor holds the sort key of the last item shown, so that what is inserted meanwhile neither repeats nor hides
an item. It is opaque to clients and may come back damaged or made up: whatever does not decode to exactly the
expected kinds of value is a malformed request, never a database error.

Where a place means something in the answer to one question alone, the cursor is bound to that question: beside
another one it is malformed too, rather than leading to a page with nothing on it.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

import msgspec

from iotsphere.kernel.errors import MalformedInputError

DEFAULT_LIMIT = 50
MAX_LIMIT = 500
MAX_PAGE_BYTES = 4 * 1024 * 1024
"""A page of documents ends, before its limit, with the one that makes them come to so much."""

T = TypeVar("T")
K = TypeVar("K", bound=tuple[Any, ...])


class CursorMalformedError(MalformedInputError):
    code = "request.cursor.malformed"

    def __init__(self) -> None:
        super().__init__("The cursor is not one that this list gave out. Start again without it.")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    items: list[T]
    next_cursor: str | None


def encode_cursor(*sort_key: Any, asked: Any = None) -> str:
    """Make a cursor; with ``asked`` it is bound to what was asked for.

    That is anything of JSON, dataclasses of it, or what ``str`` tells apart; no more of a request than decides which
    items there are, in which order.
    """
    return base64.urlsafe_b64encode(_seal(asked) + msgspec.json.encode(sort_key)).decode().rstrip("=")


def decode_cursor(cursor: str, sort_key: type[K], *, asked: Any = None) -> K:
    """Give back the sort key, e.g. ``decode_cursor(text, tuple[datetime, UUID])``.

    :raises CursorMalformedError: this is not a cursor that ``encode_cursor`` made for such a list, and for what is
        ``asked``.
    """
    seal = _seal(asked)
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        key: K = msgspec.json.decode(text.removeprefix(seal), type=sort_key)
    except (binascii.Error, ValueError, msgspec.MsgspecError, UnicodeError) as error:
        raise CursorMalformedError from error
    # Only UTC was given out. A time elsewhere may lie outside the calendar once a driver converts it.
    is_elsewhere = any(isinstance(part, datetime) and part.utcoffset() != timedelta(0) for part in key)
    if is_elsewhere or not text.startswith(seal):
        raise CursorMalformedError
    return key


def _seal(asked: Any) -> bytes:
    if asked is None:
        return b""
    # The same in every process: sets have no order of their own.
    question = msgspec.json.encode(asked, enc_hook=str, order="deterministic")
    return hashlib.blake2b(question, digest_size=8).digest()
