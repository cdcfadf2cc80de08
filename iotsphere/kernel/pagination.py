"""Pages of a list and the cursors between them.

A cursor holds the sort key of the last item shown, so that what is inserted meanwhile neither repeats nor hides
an item. It is opaque to clients and may come back damaged or made up: whatever does not decode to exactly the
expected kinds of value is a malformed request, never a database error.
"""

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

import msgspec

from iotsphere.kernel.errors import MalformedInputError

DEFAULT_LIMIT = 50
MAX_LIMIT = 500

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


def encode_cursor(*sort_key: Any) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(sort_key)).decode().rstrip("=")


def decode_cursor(cursor: str, sort_key: type[K]) -> K:
    """Give back the sort key, e.g. ``decode_cursor(text, tuple[datetime, UUID])``.

    :raises CursorMalformedError: this is not a cursor that ``encode_cursor`` made for such a list.
    """
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        key: K = msgspec.json.decode(text, type=sort_key)
    except (binascii.Error, ValueError, msgspec.MsgspecError, UnicodeError) as error:
        raise CursorMalformedError from error
    # Only UTC was given out. A time elsewhere may lie outside the calendar once a driver converts it.
    if any(isinstance(part, datetime) and part.utcoffset() != timedelta(0) for part in key):
        raise CursorMalformedError
    return key
