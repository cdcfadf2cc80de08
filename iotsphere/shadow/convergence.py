"""What becomes of the values that a device is asked to take: each is a request, and each is settled once.

A request is for a leaf of what is desired: anything but an object that holds something. Those not settled are kept as
a document in the shape of the desired state, with the version that asked in place of each leaf. Paths are JSON
pointers (RFC 6901) relative to the desired state. All of it is pure, and costs as much as the documents are large.
"""

import re
from collections.abc import Iterator
from typing import Any

from iotsphere.shadow.documents import JsonObject, delta
from iotsphere.shadow.model import (
    DESIRED,
    REPORTED,
    DesiredRefusal,
    RequestState,
    Settlement,
    Shadow,
    ShadowPatch,
)

_POINTER = re.compile(r"(?:/(?:[^~/]|~[01])*)*")


def is_pointer(text: str) -> bool:
    return _POINTER.fullmatch(text) is not None


def leaves(document: JsonObject, above: str = "") -> Iterator[tuple[str, Any]]:
    """Give every leaf with its JSON pointer, in the order of the document; an empty document has none."""
    for key, value in document.items():
        pointer = _step(above, key)
        if isinstance(value, dict) and value:
            yield from leaves(value, pointer)
        else:
            yield pointer, value


def value_at(document: JsonObject, pointer: str) -> Any:
    """Give what stands at a JSON pointer; None where nothing does. Arrays are not looked into."""
    value: Any = document
    for key in _keys(pointer):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def measure_pointers(document: JsonObject, above: int = 0) -> int:
    """Tell how many bytes the pointers of all leaves take together."""
    total = 0
    for key, value in document.items():
        length = above + len(_step("", key).encode())
        total += measure_pointers(value, length) if isinstance(value, dict) and value else length
    return total


def settle(before: Shadow, after: Shadow, patch: ShadowPatch | None) -> tuple[JsonObject, list[Settlement]]:
    """Tell what is pending after a change, and which requests it settled; without a patch, the shadow was deleted.

    A request is superseded by one for the same place, above it or below it; cleared when its value is taken away;
    applied when the device reports what is wanted, be it already so; and refused by the device. What is reported
    counts more than a refusal of it, and a refusal of one value more than that of all around it.
    """
    pending, settlements = before.pending, list[Settlement]()
    sections = {DESIRED: None} if patch is None else patch.sections
    if DESIRED in sections:
        pending = _ask(pending, sections[DESIRED], after, settlements)
    if pending and (DESIRED in sections or REPORTED in sections):
        pending = _apply(pending, after.desired.state, after.reported.state, "", settlements)
    if pending and patch is not None and patch.refusals:
        pending = _refuse(pending, patch.refusals, settlements)
    return pending, settlements


def _ask(pending: JsonObject, patch: JsonObject | None, after: Shadow, settlements: list[Settlement]) -> JsonObject:
    if patch is None:
        settlements += _settled(pending, "", RequestState.CLEARED)
        return {}
    return _Asking(after.version, settlements).merge(pending, patch, after.desired.state, "")


class _Asking:
    """Merges a desired patch into what is pending: every leaf that it names is asked for at this version."""

    def __init__(self, version: int, settlements: list[Settlement]) -> None:
        self._version = version
        self._settlements = settlements

    def merge(self, pending: JsonObject, patch: JsonObject, state: JsonObject, above: str) -> JsonObject:
        """``state`` is what the patch has made of the place that is ``above``."""
        merged = dict(pending)
        for key, value in patch.items():
            asked = self._merge_value(merged.pop(key, None), value, state.get(key), _step(above, key))
            if asked is not None:
                merged[key] = asked
        return merged

    def _merge_value(self, pending: Any, value: Any, now: Any, pointer: str) -> Any:
        if now is None:
            return self._settle(pending, pointer, RequestState.CLEARED)
        if not isinstance(value, dict) or value == now == {}:
            self._settle(pending, pointer, RequestState.SUPERSEDED)
            return self._version
        if now == {} and not isinstance(pending, dict):
            # It was empty before: what the patch takes away in it was not there.
            return pending
        if value and not isinstance(pending, dict):
            self._settle(pending, pointer, RequestState.SUPERSEDED)
            pending = {}
        return self.merge(pending or {}, value, now, pointer) or None

    def _settle(self, pending: Any, pointer: str, state: RequestState) -> None:
        self._settlements += _settled(pending, pointer, state)


def _apply(
    pending: JsonObject, desired: JsonObject, reported: JsonObject, above: str, settlements: list[Settlement]
) -> JsonObject:
    """Settle what the device reports as it is wanted, and give the rest."""
    rest: JsonObject = {}
    for key, asked in pending.items():
        wanted, present, pointer = desired[key], reported.get(key), _step(above, key)
        if isinstance(asked, dict):
            inner = _apply(asked, wanted, present, pointer, settlements) if isinstance(present, dict) else asked
            if inner:
                rest[key] = inner
        elif delta({key: wanted}, reported):
            rest[key] = asked
        else:
            settlements.append(Settlement(pointer, asked, RequestState.APPLIED))
    return rest


def _refuse(pending: JsonObject, refusals: dict[str, DesiredRefusal], settlements: list[Settlement]) -> JsonObject:
    """Settle what refusals name, the closest one counting, and give the rest."""
    root = {"": _copy(pending)}
    for pointer in sorted(refusals, key=len, reverse=True):
        refused = _take(root, ["", *_keys(pointer)])
        settlements += _settled(refused, pointer, RequestState.REFUSED, refusals[pointer])
    rest: JsonObject = root.get("", {})
    return rest


def _copy(pending: JsonObject) -> JsonObject:
    return {key: _copy(asked) if isinstance(asked, dict) else asked for key, asked in pending.items()}


def _take(place: Any, keys: list[str]) -> Any:
    """Take out what stands at a place, and what is empty without it; None where nothing does."""
    key, *below = keys
    found = place.get(key) if isinstance(place, dict) else None
    if found is None:
        return None
    taken = _take(found, below) if below else found
    if not below or not found:
        del place[key]
    return taken


def _settled(
    pending: Any, pointer: str, state: RequestState, refusal: DesiredRefusal | None = None
) -> Iterator[Settlement]:
    """Settle all that is pending at a place, be it one request, several, or none."""
    if isinstance(pending, dict):
        for path, asked in leaves(pending, pointer):
            yield Settlement(path, asked, state, refusal)
    elif pending is not None:
        yield Settlement(pointer, pending, state, refusal)


def _step(above: str, key: str) -> str:
    return f"{above}/{key.replace('~', '~0').replace('/', '~1')}"


def _keys(pointer: str) -> list[str]:
    return [key.replace("~1", "/").replace("~0", "~") for key in pointer.split("/")[1:]]
