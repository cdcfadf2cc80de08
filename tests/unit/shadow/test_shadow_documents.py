from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotsphere.shadow.documents import delta, merge, show_stamps, stamp

KEYS = st.text(min_size=1, max_size=3) | st.sampled_from("abc")
SCALARS = (
    st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.sampled_from([0, 1, 1.0, True, False])
)
Grow = Callable[[st.SearchStrategy[Any]], st.SearchStrategy[Any]]
grow_state: Grow = lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4)  # noqa: E731
VALUES = st.recursive(SCALARS, grow_state, max_leaves=8)
STATES = st.dictionaries(KEYS, VALUES, max_size=5)
PATCHES = st.dictionaries(
    KEYS,
    st.recursive(
        SCALARS | st.none() | st.lists(VALUES, max_size=3),
        lambda inner: st.dictionaries(KEYS, inner, max_size=4),
        max_leaves=8,
    ),
    max_size=5,
)

# Documents in which a key holds either objects or values everywhere: neither ever takes the place of the other.
FITTING = st.recursive(
    st.dictionaries(st.sampled_from("ab"), SCALARS | st.lists(VALUES, max_size=2), max_size=2),
    lambda inner: st.builds(
        lambda values, objects: values | objects,
        st.dictionaries(st.sampled_from("ab"), SCALARS, max_size=2),
        st.dictionaries(st.sampled_from("op"), inner, max_size=2),
    ),
    max_leaves=8,
)


def holds_null(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(holds_null, value.values()))
    return value is None or (isinstance(value, list) and any(map(holds_null, value)))


def equal(wanted: Any, present: Any) -> bool:
    """Equality as JSON has it, written another way than the code: equal text, where whole floats are integers."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in sorted(value.items())}
        if isinstance(value, list):
            return [plain(item) for item in value]
        return int(value) if isinstance(value, float) and value.is_integer() else value

    return msgspec.json.encode(plain(wanted)) == msgspec.json.encode(plain(present))


def is_contained(wanted: Any, present: Any) -> bool:
    if isinstance(wanted, dict) and isinstance(present, dict):
        return all(key in present and is_contained(value, present[key]) for key, value in wanted.items())
    return equal(wanted, present)


def same_shape(state: Any, stamps: Any) -> bool:
    if isinstance(state, dict):
        return (
            isinstance(stamps, dict)
            and state.keys() == stamps.keys()
            and all(same_shape(value, stamps[key]) for key, value in state.items())
        )
    if isinstance(state, list):
        return isinstance(stamps, list) and len(state) == len(stamps) and all(map(same_shape, state, stamps))
    return type(stamps) is int


@pytest.mark.parametrize(
    ("document", "patch", "merged"),
    [
        ({"a": 1}, {}, {"a": 1}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, {"a": {"b": 3, "c": 2}}),
        ({"a": 1, "b": 2}, {"a": None}, {"b": 2}),
        ({"a": 1}, {"b": None}, {"a": 1}),
        ({"a": {"b": 1}}, {"a": {"b": None}}, {"a": {}}),
        ({"a": [1, 2, 3]}, {"a": [4]}, {"a": [4]}),
        ({"a": [1]}, {"a": []}, {"a": []}),
        ({"a": 1}, {"a": {}}, {"a": {}}),
        ({"a": 1}, {"a": {"b": 2}}, {"a": {"b": 2}}),
        ({"a": [1]}, {"a": {"b": 2}}, {"a": {"b": 2}}),
        ({"a": {"b": 1}}, {"a": 2}, {"a": 2}),
        ({"a": {"b": 1}}, {"a": {}}, {"a": {"b": 1}}),
        ({}, {"a": {}}, {"a": {}}),
        ({}, {"a": {"b": None}}, {}),
        ({}, {"a": {"b": None, "c": 1}}, {"a": {"c": 1}}),
        ({}, {"a": {"b": {"c": None}}}, {}),
        ({}, {"a": {"b": {}, "c": None}}, {"a": {"b": {}}}),
        ({"a": 1}, {"a": {"b": None}}, {}),
    ],
)
def test_a_patch_merges_key_by_key(document: Any, patch: Any, merged: Any) -> None:
    assert merge(document, patch) == merged


@given(STATES, PATCHES)
def test_what_is_given_is_not_changed(document: Any, patch: Any) -> None:
    before = msgspec.json.encode([document, patch])

    merge(document, patch)

    assert msgspec.json.encode([document, patch]) == before


@given(STATES, PATCHES)
def test_merging_twice_is_merging_once(document: Any, patch: Any) -> None:
    once = merge(document, patch)

    assert msgspec.json.encode(merge(once, patch)) == msgspec.json.encode(once)


@given(FITTING, FITTING, FITTING)
def test_merging_is_associative_where_nothing_is_taken_away(one: Any, two: Any, three: Any) -> None:
    assert repr(merge(merge(one, two), three)) == repr(merge(one, merge(two, three)))


@given(STATES)
def test_merging_nothing_and_merging_into_nothing_change_nothing(state: Any) -> None:
    assert repr(merge(state, {})) == repr(merge({}, state)) == repr(state)


@given(STATES, PATCHES)
def test_no_null_ever_enters_a_document(document: Any, patch: Any) -> None:
    assert not holds_null(merge(document, patch))


@given(STATES)
def test_a_new_document_is_the_patch_value_for_value_and_key_for_key(state: Any) -> None:
    through_storage = msgspec.json.decode(msgspec.json.encode(merge({}, state)))

    assert repr(through_storage) == repr(state)


@given(STATES, PATCHES)
def test_keys_the_patch_does_not_name_stay_and_keep_their_order(document: Any, patch: Any) -> None:
    merged = merge(document, patch)

    untouched = [key for key in document if key not in patch]
    assert [key for key in merged if key in untouched] == untouched
    assert all(merged[key] is document[key] for key in untouched)


@given(STATES, PATCHES)
def test_the_metadata_always_has_the_shape_of_the_state(document: Any, patch: Any) -> None:
    merged = merge(document, patch)
    stamps = merge(stamp(document, 1), stamp(patch, 2))

    assert same_shape(merged, stamps)


@given(STATES, PATCHES)
def test_only_leaves_that_the_patch_set_get_its_time(document: Any, patch: Any) -> None:
    stamps = merge(stamp(document, 1), stamp(patch, 2))

    assert all(stamps[key] == stamp(document[key], 1) for key in document if key not in patch)
    assert merge(stamps, stamp(patch, 3)) == merge(stamp(document, 1), stamp(patch, 3))


def test_arrays_are_stamped_at_each_element_and_inside_objects_that_are_elements() -> None:
    shown = show_stamps(stamp({"a": [1, {"b": True, "c": []}, [2]], "timestamp": "now", "d": {}}, 7))

    at = {"timestamp": 7}
    assert shown == {"a": [at, {"b": at, "c": []}, [at]], "timestamp": at, "d": {}}


@pytest.mark.parametrize(
    ("desired", "reported", "difference"),
    [
        ({}, {"a": 1}, {}),
        ({"a": 1}, {}, {"a": 1}),
        ({"a": 1}, {"a": 1, "b": 2}, {}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, {"a": {"c": 2}}),
        ({"a": {"b": 1}}, {"a": 5}, {"a": {"b": 1}}),
        ({"a": 5}, {"a": {"b": 1}}, {"a": 5}),
        ({"a": [1, 2]}, {"a": [1, 3]}, {"a": [1, 2]}),
        ({"a": [1, 2]}, {"a": [1, 2, 3]}, {"a": [1, 2]}),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1, "c": 2}]}, {"a": [{"b": 1}]}),
        ({"a": {}}, {}, {"a": {}}),
        ({"a": {}}, {"a": {"b": 1}}, {}),
        ({"a": {}}, {"a": []}, {"a": {}}),
        ({"a": 1}, {"a": 1.0}, {}),
        ({"a": [1, {"b": 2.0}]}, {"a": [1.0, {"b": 2}]}, {}),
        ({"a": True}, {"a": 1}, {"a": True}),
        ({"a": 0}, {"a": False}, {"a": 0}),
        ({"a": [True]}, {"a": [1]}, {"a": [True]}),
        ({"a": [{"b": False}]}, {"a": [{"b": 0}]}, {"a": [{"b": False}]}),
        ({"a": "1"}, {"a": 1}, {"a": "1"}),
        ({"a": 2**53}, {"a": 2**53 - 1}, {"a": 2**53}),
    ],
)
def test_the_delta_is_what_is_desired_and_not_reported(desired: Any, reported: Any, difference: Any) -> None:
    assert delta(desired, reported) == difference
    assert repr(delta(desired, reported)) == repr(difference)


@given(STATES, STATES)
def test_the_delta_is_empty_exactly_when_everything_desired_is_reported(desired: Any, reported: Any) -> None:
    assert (delta(desired, reported) == {}) == is_contained(desired, reported)


@given(STATES, STATES)
def test_a_device_that_reports_the_delta_has_none_left(desired: Any, reported: Any) -> None:
    assert delta(desired, merge(reported, delta(desired, reported))) == {}


@given(STATES, PATCHES)
def test_reporting_what_is_desired_leaves_no_delta_however_it_came_about(document: Any, patch: Any) -> None:
    desired = merge(document, patch)

    assert delta(desired, desired) == {}
