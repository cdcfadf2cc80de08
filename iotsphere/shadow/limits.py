"""What a shadow may hold. Everything over a limit is refused as a whole; nothing is cut to fit."""

import math
import unicodedata
from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec

from iotsphere.kernel.errors import RuleViolationError
from iotsphere.shadow.convergence import is_pointer, measure_pointers
from iotsphere.shadow.documents import JsonObject
from iotsphere.shadow.errors import ShadowTooLargeError
from iotsphere.shadow.model import DesiredRefusal, ShadowPatch

MAX_STATE_BYTES = 32 * 1024
MAX_DEPTH = 8
MAX_KEY_BYTES = 128
MAX_INTEGER = 2**53
MAX_CLIENT_TOKEN_BYTES = 64
# What was asked is kept leaf by leaf: many leaves below long keys would take far more room than the state itself.
MAX_POINTERS_BYTES = 512 * 1024
MAX_REFUSALS = 100
# Of the deepest key there can be, with every character of it escaped.
MAX_POINTER_BYTES = MAX_DEPTH * (1 + 2 * MAX_KEY_BYTES)
MAX_REFUSAL_CODE_BYTES = 64
MAX_REFUSAL_DETAIL_BYTES = 512
# One wrong value in a large array would otherwise be answered by a list as long as the array.
MAX_ERRORS = 20

Violation = tuple[str, str]


def check_patch(patch: ShadowPatch) -> None:
    """:raises RuleViolationError: something in the patch is over a limit, named by its path."""
    errors: dict[str, list[str]] = {}
    for path, message in islice(_patch_violations(patch), MAX_ERRORS):
        errors.setdefault(path, []).append(message)
    if errors:
        raise RuleViolationError("The shadow cannot hold this. See errors.", errors)


def check_size(state: JsonObject) -> None:
    """:raises ShadowTooLargeError: the sections together are too large."""
    size = len(msgspec.json.encode(state))
    if size > MAX_STATE_BYTES:
        raise ShadowTooLargeError(
            f"The state would take {size} bytes as compact JSON; {MAX_STATE_BYTES} are allowed. Nothing was changed."
        )


def check_requests(desired: JsonObject) -> None:
    """:raises RuleViolationError: naming all the values that are desired takes too much room."""
    if measure_pointers(desired) > MAX_POINTERS_BYTES:
        message = f"The paths of all values together must have {MAX_POINTERS_BYTES} bytes at the most: shorten keys."
        raise RuleViolationError("The shadow cannot hold this. See errors.", {"state.desired": [message]})


def _patch_violations(patch: ShadowPatch) -> Iterator[Violation]:
    if patch.client_token is not None and len(patch.client_token.encode()) > MAX_CLIENT_TOKEN_BYTES:
        yield "client_token", f"Must have {MAX_CLIENT_TOKEN_BYTES} bytes at the most."
    for name, section in patch.sections.items():
        if section is not None:
            yield from _object_violations(section, f"state.{name}", depth=0, in_array=False)
    if len(patch.refusals) > MAX_REFUSALS:
        yield "refusals", f"Must name {MAX_REFUSALS} values at the most."
        return
    for pointer, refusal in patch.refusals.items():
        yield from _refusal_violations(pointer, refusal)


def _refusal_violations(pointer: str, refusal: DesiredRefusal) -> Iterator[Violation]:
    if len(pointer.encode()) > MAX_POINTER_BYTES or not is_pointer(pointer) or any(map(_is_control, pointer)):
        # Shown where it stands: the pointer itself may be endless, or unfit to be shown.
        yield "refusals", f"Each must be named by a JSON pointer (RFC 6901) of {MAX_POINTER_BYTES} bytes at the most."
        return
    if not 1 <= len(refusal.code.encode()) <= MAX_REFUSAL_CODE_BYTES or any(map(_is_control, refusal.code)):
        yield f"refusals.{pointer}.code", f"Must have 1 to {MAX_REFUSAL_CODE_BYTES} bytes and no control characters."
    if len(refusal.detail.encode()) > MAX_REFUSAL_DETAIL_BYTES:
        yield f"refusals.{pointer}.detail", f"Must have {MAX_REFUSAL_DETAIL_BYTES} bytes at the most."


def _object_violations(value: JsonObject, path: str, *, depth: int, in_array: bool) -> Iterator[Violation]:
    for key, item in value.items():
        if not 1 <= len(key.encode()) <= MAX_KEY_BYTES or any(map(_is_control, key)):
            # Shown where it stands: the key itself may be endless, or unfit to be shown.
            yield path, f"A key must have 1 to {MAX_KEY_BYTES} bytes and no control characters."
            return
        yield from _value_violations(item, f"{path}.{key}", depth=depth + 1, in_array=in_array)


def _value_violations(value: Any, path: str, *, depth: int, in_array: bool) -> Iterator[Violation]:
    if depth > MAX_DEPTH:
        yield path, f"Is nested deeper than {MAX_DEPTH} levels."
    elif isinstance(value, dict):
        yield from _object_violations(value, path, depth=depth, in_array=in_array)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _value_violations(item, f"{path}.{index}", depth=depth + 1, in_array=True)
    elif value is None and in_array:
        yield path, "Must not be null: an array is replaced as a whole, so null has nothing to delete in it."
    elif isinstance(value, int) and abs(value) > MAX_INTEGER:
        yield path, "Must be an integer within ±2^53, beyond which readers of JSON lose digits."
    elif isinstance(value, float) and not math.isfinite(value):
        yield path, "Must be a finite number."


def _is_control(character: str) -> bool:
    return unicodedata.category(character) == "Cc"
