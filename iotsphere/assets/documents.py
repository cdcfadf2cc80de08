"""JSON documents as the asset database keeps them.

What is stored keeps its JSON exactly: integers of any size, ``1.0`` beside ``1``, ``[]`` beside ``{}``, every key.
JSONB normalises three things, none of which changes a value: the order of an object's keys, the notation of
numbers (``1e2`` becomes ``100``, ``1e22`` the integer of 23 digits, ``-0.0`` becomes ``0.0``), and the last of two
equal keys wins. Numbers with a fraction or an exponent are IEEE doubles, as everywhere on the way here.
"""

import math
import re
from decimal import Decimal
from typing import Any

import msgspec

from iotsphere.kernel.errors import RuleViolationError

JsonObject = dict[str, Any]

MAX_DEPTH = 32
# A key is shown in the path to a mistake up to here, so that the report of one stays short.
SHOWN_KEY_LENGTH = 64

_EXPONENT = re.compile(rb"[0-9]e")


def merge(target: Any, patch: Any) -> Any:
    """Give what RFC 7396 makes of ``target``; neither argument is changed."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def is_same(one: Any, other: Any) -> bool:
    """Tell whether two documents are the same JSON; Python takes True for 1 and for 1.0, JSON does not."""
    if one is other:
        # As what a patch does not touch is.
        return True
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    return type(one) is type(other) and bool(one == other)


def find_patch(before: JsonObject, after: JsonObject) -> JsonObject | None:
    """Give the merge patch that makes ``after`` of ``before``; None if none does: a patch cannot say a new null."""
    patch = _differences(before, after)
    return patch if is_same(merge(before, patch), after) else None


def _differences(before: JsonObject, after: JsonObject) -> JsonObject:
    patch: JsonObject = dict.fromkeys(before.keys() - after.keys())
    for key, value in after.items():
        known = before.get(key)
        if key in before and known is value:
            continue
        if isinstance(known, dict) and isinstance(value, dict):
            if inner := _differences(known, value):
                patch[key] = inner
        elif key not in before or not is_same(known, value):
            patch[key] = value
    return patch


def size_of(document: Any) -> int:
    """Give the bytes of a document as compact JSON in UTF-8, with all digits of its numbers, as it is kept."""
    written = msgspec.json.encode(document)
    return len(written) + (_count_further_digits(document) if _EXPONENT.search(written) else 0)


def _count_further_digits(document: Any) -> int:
    """Tell by how much the numbers are longer without an exponent."""
    if isinstance(document, dict):
        return sum(map(_count_further_digits, document.values()))
    if isinstance(document, list):
        return sum(map(_count_further_digits, document))
    if isinstance(document, float):
        return len(f"{Decimal(repr(document)):f}") - len(msgspec.json.encode(document))
    return 0


def count_values(document: Any) -> int:
    """Count the values in a storable document, itself included: scalars, objects and arrays."""
    if isinstance(document, dict):
        return 1 + sum(map(count_values, document.values()))
    return 1 + sum(map(count_values, document)) if isinstance(document, list) else 1


def check_storable(document: Any, path: str, *, levels: int = MAX_DEPTH) -> None:
    """Refuse what PostgreSQL cannot keep as JSON, or nests objects and arrays more than ``levels`` deep.

    :raises RuleViolationError: names the first offending place below ``path``.
    """
    if isinstance(document, dict | list) and levels == 0:
        raise refusal(path, f"Nested too deep: no more than {MAX_DEPTH} levels.")
    if isinstance(document, dict):
        for key, member in document.items():
            _check_text(key, path)
            check_storable(member, f"{path}.{key[:SHOWN_KEY_LENGTH]}", levels=levels - 1)
    elif isinstance(document, list):
        for index, element in enumerate(document):
            check_storable(element, f"{path}.{index}", levels=levels - 1)
    elif isinstance(document, str):
        _check_text(document, path)
    elif isinstance(document, float) and not math.isfinite(document):
        raise refusal(path, "Not a finite number.")


def refusal(path: str, message: str) -> RuleViolationError:
    return RuleViolationError(f"{path}: {message}", {path: [message]})


def _check_text(text: str, path: str) -> None:
    if "\0" in text:
        raise refusal(path, "Holds the character U+0000, which cannot be stored.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise refusal(path, "Holds half of a surrogate pair, which is no character.") from error
