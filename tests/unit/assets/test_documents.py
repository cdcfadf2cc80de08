import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotsphere.assets.documents import check_storable, merge, size_of
from iotsphere.kernel.errors import RuleViolationError

# RFC 7396, appendix A.
RFC_EXAMPLES = [
    ('{"a":"b"}', '{"a":"c"}', '{"a":"c"}'),
    ('{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'),
    ('{"a":"b"}', '{"a":null}', "{}"),
    ('{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'),
    ('{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'),
    ('{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'),
    ('{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'),
    ('{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'),
    ('["a","b"]', '["c","d"]', '["c","d"]'),
    ('{"a":"b"}', '["c"]', '["c"]'),
    ('{"a":"foo"}', "null", "null"),
    ('{"a":"foo"}', '"bar"', '"bar"'),
    ('{"e":null}', '{"a":1}', '{"e":null,"a":1}'),
    ("[1,2]", '{"a":"b","c":null}', '{"a":"b"}'),
    ("{}", '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'),
]

KEYS = st.sampled_from(["", "a", "b", "c", "ä"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=3)
)
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)

Leaves = dict[tuple[str, ...], Any]


def leaves(document: Any, path: tuple[str, ...] = ()) -> Leaves:
    """What stands where: an object is the paths that lead through it, and an empty one ends in itself."""
    if not isinstance(document, dict) or not document:
        return {path: document}
    found: Leaves = {}
    for key, member in document.items():
        found |= leaves(member, (*path, key))
    return found


def apply_leaf_by_leaf(target: Any, patch: Any) -> Any:
    """The plain model: walk to each leaf of the patch on its own and do there what it says."""
    result = msgspec.json.decode(msgspec.json.encode(target))
    for path, value in leaves(patch).items():
        if not path:
            return value if not isinstance(value, dict) else result if isinstance(result, dict) else {}
        result = result if isinstance(result, dict) else {}
        place = result
        for key in path[:-1]:
            if not isinstance(place.get(key), dict):
                place[key] = {}
            place = place[key]
        if value is None:
            place.pop(path[-1], None)
        elif value != {} or not isinstance(place.get(path[-1]), dict):
            place[path[-1]] = value
    return result


def as_json(document: Any) -> bytes:
    """Tell 1 from 1.0 and from True, which Python's equality does not; the order of keys does not count."""
    return msgspec.json.encode(document, order="sorted")


@pytest.mark.parametrize(("target", "patch", "result"), RFC_EXAMPLES)
def test_merging_gives_what_the_rfc_says(target: str, patch: str, result: str) -> None:
    merged = merge(msgspec.json.decode(target), msgspec.json.decode(patch))

    assert as_json(merged) == as_json(msgspec.json.decode(result))


@given(target=DOCUMENTS, patch=DOCUMENTS)
def test_merging_agrees_with_the_plain_model(target: Any, patch: Any) -> None:
    assert as_json(merge(target, patch)) == as_json(apply_leaf_by_leaf(target, patch))


@given(target=DOCUMENTS, patch=DOCUMENTS)
def test_merging_twice_is_merging_once(target: Any, patch: Any) -> None:
    merged = merge(target, patch)

    assert as_json(merge(merged, patch)) == as_json(merged)


@given(target=DOCUMENTS, patch=DOCUMENTS)
def test_merging_changes_neither_argument(target: Any, patch: Any) -> None:
    before = as_json([target, patch])

    merge(target, patch)

    assert as_json([target, patch]) == before


@given(document=DOCUMENTS)
def test_ordinary_documents_can_be_stored_and_have_the_size_of_their_json(document: Any) -> None:
    check_storable(document, "properties")

    # Of numbers that are written with an exponent all digits count.
    assert size_of(as_kept(document)) == len(msgspec.json.encode(as_kept(document))) <= size_of(document)


def as_kept(document: Any) -> Any:
    if isinstance(document, dict):
        return {key: as_kept(value) for key, value in document.items()}
    if isinstance(document, list):
        return [as_kept(value) for value in document]
    return 0.5 if isinstance(document, float) else document


def nested(levels: int, *, arrays: bool = False) -> Any:
    document: Any = [] if arrays else {}
    for _ in range(levels - 1):
        document = [document] if arrays else {"a": document}
    return document


@pytest.mark.parametrize("arrays", [False, True])
def test_thirty_two_levels_are_the_deepest(arrays: bool) -> None:
    check_storable(nested(32, arrays=arrays), "properties")

    with pytest.raises(RuleViolationError) as refused:
        check_storable(nested(33, arrays=arrays), "properties")

    assert "32 levels" in str(refused.value)


def test_a_document_deeper_than_the_stack_is_refused_like_any_other() -> None:
    with pytest.raises(RuleViolationError):
        check_storable(nested(100_000), "properties")


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"a": ["b", "c\0"]}, "properties.a.1"),
        ({"a": {"b\0": 1}}, "properties.a"),
        ({"a": "\ud800"}, "properties.a"),
        ({"\udfff": 1}, "properties"),
        ({"a": [math.nan]}, "properties.a.0"),
        ({"a": -math.inf}, "properties.a"),
        ({"k" * 100_000: "\0"}, "properties." + "k" * 64),
    ],
)
def test_what_the_store_cannot_keep_is_refused_where_it_stands(document: Any, path: str) -> None:
    with pytest.raises(RuleViolationError) as refused:
        check_storable(document, "properties")

    assert list(refused.value.errors) == [path]
    # The report goes out as JSON, so it must not repeat what is no text.
    assert msgspec.json.encode(refused.value.errors)
