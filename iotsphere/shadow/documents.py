"""What happens to JSON in a shadow: merging a patch, stamping it with a time, and telling what is still wanted.

All of it is pure: nothing given is changed, and a result may share parts with what was given.

The metadata of a section is kept as a document of its own, in the shape of the state, with the epoch seconds of the
last change in place of every scalar. Because the merge looks at shapes alone, a patch whose scalars are replaced by
the time (``stamp``) merges into the metadata exactly as the patch itself merges into the state.
"""

from typing import Any

JsonObject = dict[str, Any]


def merge(document: JsonObject, patch: JsonObject) -> JsonObject:
    """Merge ``patch`` into ``document``: objects key by key, arrays and scalars whole; null deletes a key.

    Nulls inside an object that is new are dropped, and with them an object that holds nothing else.
    """
    merged = dict(document)
    for key, value in patch.items():
        new = _merge_value(merged.get(key), value)
        if new is None:
            merged.pop(key, None)
        else:
            merged[key] = new
    return merged


def _merge_value(old: Any, new: Any) -> Any:
    if not isinstance(new, dict):
        return new
    if isinstance(old, dict):
        return merge(old, new)
    kept = merge({}, new)
    return kept if kept or not new else None


def stamp(value: Any, at: int) -> Any:
    """Put the time ``at`` in place of every scalar but null, which still says that a key goes."""
    if isinstance(value, dict):
        return {key: stamp(item, at) for key, item in value.items()}
    if isinstance(value, list):
        return [stamp(item, at) for item in value]
    return None if value is None else at


def show_stamps(stamps: Any) -> Any:
    """Write metadata as the contract shows it: ``{"timestamp": epoch seconds}`` at every leaf."""
    if isinstance(stamps, dict):
        # Leaves are most of it: to call for each would take twice the time.
        return {key: {"timestamp": item} if type(item) is int else show_stamps(item) for key, item in stamps.items()}
    if isinstance(stamps, list):
        return [show_stamps(item) for item in stamps]
    return {"timestamp": stamps}


def delta(desired: JsonObject, reported: JsonObject) -> JsonObject:
    """Tell which desired values are missing in ``reported`` or differ there; arrays are compared as a whole."""
    difference: JsonObject = {}
    for key, wanted in desired.items():
        present = reported.get(key)
        if isinstance(wanted, dict) and isinstance(present, dict):
            inner = delta(wanted, present)
            if inner:
                difference[key] = inner
        elif not _are_equal(wanted, present):
            difference[key] = wanted
    return difference


def _are_equal(one: Any, other: Any) -> bool:
    """Compare as JSON does: 1 equals 1.0, but true is no number, although Python counts it as 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_are_equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_are_equal, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)
