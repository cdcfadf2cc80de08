"""Where a page of what was looked for has ended.

An order has one part or two: by a property, what has none comes after all that has one. A position is a part of the
order and the sort key of the last asset in it that was looked at, whether or not it was looked for.
"""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from iotsphere.assets.search import PROPERTIES, AssetFilter, AssetOrder
from iotsphere.kernel.identifiers import OrganisationId
from iotsphere.kernel.pagination import CursorMalformedError, decode_cursor, encode_cursor

MAX_TEXT_LENGTH = 64
"""So many characters of a text are sorted by."""
_MAX_NUMBER = 2**63 - 1
_KINDS = range(3)

Key = tuple[Any, ...]
_CREATED: type[Key] = tuple[datetime, UUID]
_NAMED: type[Key] = tuple[str, UUID]
# A number as text, since JSON has none that is infinite; and the asset by its number.
_VALUED: type[Key] = tuple[int, str, str, int]
_PARTS: dict[str, tuple[type[Key], ...]] = {
    "created_at": (_CREATED,),
    "name": (_NAMED,),
    PROPERTIES: (_VALUED, _CREATED),
}


@dataclass(frozen=True, slots=True)
class SearchPosition:
    """``key`` is (created_at, id), (name, id), or (kind, number, text, the asset's number) of a value.

    The kinds of values are 0 for numbers, 1 for texts and 2 for booleans.
    """

    part: int
    key: Key


@dataclass(frozen=True, slots=True)
class AssetQuestion:
    """Whose assets are looked for, by what, and in which order. Cursors lead on in the answer to the same one."""

    organisation_id: OrganisationId
    narrowed_to: AssetFilter
    order: AssetOrder

    def encode(self, position: SearchPosition) -> str:
        key = position.key
        if _PARTS[self.order.by][position.part] is _VALUED:
            kind, number, text, asset = key
            key = (kind, repr(float(number)), text, asset)
        return encode_cursor(*key, asked=self)

    def decode(self, cursor: str) -> SearchPosition:
        """:raises CursorMalformedError: this is not a cursor of the answer to this question."""
        for part, kinds in enumerate(_PARTS[self.order.by]):
            try:
                key = decode_cursor(cursor, kinds, asked=self)
            except CursorMalformedError:
                continue
            if any(isinstance(value, str) and "\0" in value for value in key):
                raise CursorMalformedError
            return SearchPosition(part, _value(key) if kinds is _VALUED else key)
        raise CursorMalformedError


def _value(key: Key) -> Key:
    kind, number, text, asset = key
    try:
        number = float(number)
    except ValueError:
        raise CursorMalformedError from None
    if kind not in _KINDS or math.isnan(number) or not 0 < asset <= _MAX_NUMBER:
        raise CursorMalformedError
    return kind, number, text, asset
