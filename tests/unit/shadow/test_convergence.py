"""Requests are settled as a plain model of them says, which knows nothing but a flat table of leaves."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotsphere.kernel.times import EPOCH
from iotsphere.shadow.convergence import is_pointer, leaves, measure_pointers, settle, value_at
from iotsphere.shadow.documents import JsonObject, delta
from iotsphere.shadow.model import DESIRED, REPORTED, DesiredRefusal, RequestState, Settlement, Shadow, ShadowPatch

KEYS = st.sampled_from(["a", "b", "/", "~"])
SCALARS = st.sampled_from([0, 1, 1.0, True, "x"])
SECTIONS = st.dictionaries(
    KEYS,
    st.recursive(
        SCALARS | st.none() | st.just([1]), lambda inner: st.dictionaries(KEYS, inner, max_size=3), max_leaves=5
    ),
    max_size=3,
)
POINTERS = st.lists(KEYS.map(lambda key: {"/": "~1", "~": "~0"}.get(key, key)), max_size=3).map(
    lambda keys: "".join(f"/{key}" for key in keys)
)
REFUSALS = st.dictionaries(POINTERS, st.builds(DesiredRefusal, st.sampled_from(["hot", "cold"])), max_size=3)
PATCHES = (
    st.builds(ShadowPatch, st.fixed_dictionaries({DESIRED: SECTIONS | st.none()}))
    | st.builds(ShadowPatch, st.fixed_dictionaries({DESIRED: SECTIONS, REPORTED: SECTIONS}))
    | st.builds(ShadowPatch, st.fixed_dictionaries({REPORTED: SECTIONS}), refusals=REFUSALS)
    | st.builds(ShadowPatch, st.just({}), refusals=REFUSALS)
)
HISTORIES = st.lists(PATCHES | st.none(), max_size=8)
HOT = DesiredRefusal("hot", "It is too hot.")

Requests = dict[tuple[str, int], RequestState]


def step(before: Shadow, patch: ShadowPatch | None) -> tuple[Shadow, list[Settlement]]:
    after = before.delete(EPOCH) if patch is None else before.change(patch.sections, EPOCH)
    pending, settlements = settle(before, after, patch)
    return Shadow(after.version, after.desired, after.reported, pending), settlements


def history_of(*patches: ShadowPatch | None) -> list[tuple[Shadow, list[Settlement]]]:
    shadow, steps = Shadow(), []
    for patch in patches:
        shadow, settlements = step(shadow, patch)
        steps.append((shadow, settlements))
    return steps


def wanting(state: Any) -> ShadowPatch:
    return ShadowPatch({DESIRED: state})


def reporting(state: Any, refusals: dict[str, DesiredRefusal] | None = None) -> ShadowPatch:
    return ShadowPatch({REPORTED: state}, refusals=refusals or {})


def outcome(*patches: ShadowPatch | None) -> dict[str, str]:
    """Tell what became of each request, by ``<pointer>@<version>``."""
    steps = history_of(*patches)
    settled = {f"{one.path}@{one.requested_version}": one.state.value for _, made in steps for one in made}
    return settled | {f"{path}@{asked}": "pending" for path, asked in leaves(steps[-1][0].pending)}


class Model:
    """What was asked and what became of it, told leaf by leaf, one against all others."""

    def __init__(self) -> None:
        self.requests: Requests = {}

    def pending(self) -> dict[str, int]:
        return {path: asked for (path, asked), state in self.requests.items() if state is RequestState.PENDING}

    def step(self, before: Shadow, after: Shadow, patch: ShadowPatch | None) -> None:
        sections = {DESIRED: None} if patch is None else patch.sections
        standing = dict(leaves(after.desired.state))
        if DESIRED in sections:
            named = {
                path
                for path, value in leaves(sections[DESIRED] or {})
                if path in standing and (value != {} or standing[path] == {})
            }
            for path, asked in self.pending().items():
                if path in named or (path not in standing and any(_meet(path, other) for other in named)):
                    self.requests[path, asked] = RequestState.SUPERSEDED
                elif path not in standing:
                    self.requests[path, asked] = RequestState.CLEARED
            self.requests |= {(path, after.version): RequestState.PENDING for path in named}
        for path, asked in self.pending().items():
            if not delta({"v": standing[path]}, {"v": value_at(after.reported.state, path)}):
                self.requests[path, asked] = RequestState.APPLIED
        for path, asked in self.pending().items():
            if patch is not None and any(_holds(pointer, path) for pointer in patch.refusals):
                self.requests[path, asked] = RequestState.REFUSED


def _holds(above: str, path: str) -> bool:
    return path == above or path.startswith(f"{above}/")


def _meet(one: str, other: str) -> bool:
    return _holds(one, other) or _holds(other, one)


@given(HISTORIES)
def test_every_request_becomes_what_the_model_says_and_is_settled_once(history: list[ShadowPatch | None]) -> None:
    model, settled, shadow = Model(), dict[tuple[str, int], RequestState](), Shadow()
    for patch in history:
        before = shadow
        shadow, settlements = step(before, patch)
        model.step(before, shadow, patch)
        for one in settlements:
            assert (one.path, one.requested_version) not in settled
            settled[one.path, one.requested_version] = one.state
        assert dict(leaves(shadow.pending)) == model.pending()
        assert settled == {
            request: state for request, state in model.requests.items() if state is not RequestState.PENDING
        }


def holds_nothing_else(pending: JsonObject, desired: JsonObject) -> bool:
    return all(
        key in desired
        and (
            isinstance(desired[key], dict) and bool(asked) and holds_nothing_else(asked, desired[key])
            if isinstance(asked, dict)
            else type(asked) is int and (not isinstance(desired[key], dict) or not desired[key])
        )
        for key, asked in pending.items()
    )


@given(HISTORIES)
def test_what_is_pending_has_the_shape_of_what_is_desired_and_is_never_larger(history: list[Any]) -> None:
    for shadow, _ in history_of(*history):
        assert holds_nothing_else(shadow.pending, shadow.desired.state)


@given(HISTORIES, PATCHES)
def test_settling_changes_nothing_that_it_is_given(history: list[Any], patch: ShadowPatch) -> None:
    before = history_of(*history)[-1][0] if history else Shadow()
    text = repr((before, patch))

    step(before, patch)

    assert repr((before, patch)) == text


@pytest.mark.parametrize(
    ("patches", "expected"),
    [
        ([wanting({"a": 1})], {"/a@1": "pending"}),
        ([wanting({"a": 1}), reporting({"a": 1.0})], {"/a@1": "applied"}),
        ([wanting({"a": 1}), reporting({"a": True})], {"/a@1": "pending"}),
        ([wanting({"a": [1, 2]}), reporting({"a": [1]})], {"/a@1": "pending"}),
        ([wanting({"a": [1, {"b": 2}]}), reporting({"a": [1.0, {"b": 2}]})], {"/a@1": "applied"}),
        ([wanting({"a": {}}), reporting({"a": {"b": 1}})], {"/a@1": "applied"}),
        ([wanting({"a": {}}), reporting({"a": []})], {"/a@1": "pending"}),
        ([reporting({"a": 1}), wanting({"a": 1})], {"/a@2": "applied"}),
        ([wanting({"a": 1}), wanting({"a": 1})], {"/a@1": "superseded", "/a@2": "pending"}),
        ([wanting({"a": 1}), wanting({"a": {"b": 1}})], {"/a@1": "superseded", "/a/b@2": "pending"}),
        ([wanting({"a": {"b": 1, "c": 2}}), wanting({"a": 1})],
         {"/a/b@1": "superseded", "/a/c@1": "superseded", "/a@2": "pending"}),
        ([wanting({"a": {"b": 1}}), wanting({"a": {}})], {"/a/b@1": "pending"}),
        ([wanting({"a": {"b": 1}}), wanting({"a": {"b": None}})], {"/a/b@1": "cleared"}),
        ([wanting({"a": {"b": 1}}), wanting({"a": {"b": None, "c": 1}})], {"/a/b@1": "cleared", "/a/c@2": "pending"}),
        ([wanting({"a": {}}), wanting({"a": {"b": None}})], {"/a@1": "pending"}),
        ([wanting({"a": 1}), wanting({"a": {"b": None}})], {"/a@1": "cleared"}),
        ([wanting({"a": {}}), wanting({"a": {"b": 1}})], {"/a@1": "superseded", "/a/b@2": "pending"}),
        ([wanting({"a": 1}), wanting(None)], {"/a@1": "cleared"}),
        ([wanting({"a": 1}), ShadowPatch(None)], {"/a@1": "cleared"}),
        ([wanting({"a": 1}), None], {"/a@1": "cleared"}),
        ([wanting({"a": 1}), reporting({}, {"/a": HOT})], {"/a@1": "refused"}),
        ([wanting({"a": {"b": 1, "c": 2}}), reporting({}, {"/a": HOT})], {"/a/b@1": "refused", "/a/c@1": "refused"}),
        ([wanting({"a": 1, "b": 2}), reporting({}, {"": HOT})], {"/a@1": "refused", "/b@1": "refused"}),
        ([wanting({"a": [1]}), reporting({}, {"/a/0": HOT, "/b": HOT, "/a/": HOT})], {"/a@1": "pending"}),
        ([wanting({"a": 1}), reporting({"a": 1}, {"/a": HOT})], {"/a@1": "applied"}),
        ([wanting({"a": 1}), reporting({}, {"/a": HOT}), reporting({"a": 1})], {"/a@1": "refused"}),
        ([wanting({"a/b": {"~1": 1}}), reporting({}, {"/a~1b/~01": HOT})], {"/a~1b/~01@1": "refused"}),
    ],
)  # fmt: skip
def test_a_request_is_settled_by_what_happens_to_it(patches: Any, expected: Any) -> None:
    assert outcome(*patches) == expected


def test_the_closest_refusal_of_a_value_counts() -> None:
    cold = DesiredRefusal("cold")

    *_, (_, settlements) = history_of(
        wanting({"a": {"b": 1, "c": 2}}), reporting({}, {"": HOT, "/a": HOT, "/a/b": cold})
    )

    assert {one.path: one.refusal for one in settlements} == {"/a/b": cold, "/a/c": HOT}


@pytest.mark.parametrize(
    ("pointer", "value"),
    [("", {"a": {"": 0}, "m~n": [1]}), ("/a/", 0), ("/m~0n", [1]), ("/m~0n/0", None), ("/b", None)],
)
def test_a_pointer_finds_what_it_names(pointer: str, value: Any) -> None:
    assert value_at({"a": {"": 0}, "m~n": [1]}, pointer) == value


@given(SECTIONS)
def test_every_leaf_is_found_by_its_pointer(document: JsonObject) -> None:
    for pointer, value in leaves(document):
        assert is_pointer(pointer)
        assert value_at(document, pointer) is value
    assert measure_pointers(document) == sum(len(pointer) for pointer, _ in leaves(document))


@pytest.mark.parametrize("text", ["a", "a/b", "/~", "/~2", "/a~", "#/a", " /a", "/a~/b"])
def test_what_is_no_pointer_is_told(text: str) -> None:
    assert not is_pointer(text)


def test_the_largest_document_below_the_longest_keys_is_settled_at_once() -> None:
    deep: JsonObject = {str(number): 1 for number in range(4000)}
    for level in range(7):
        deep = {f"{level}" * 128: deep}
    refusals = {f"/{'6' * 128}/{number}": HOT for number in range(4000)} | {"/" * 2000: HOT, "": HOT}

    began = time.process_time()
    assert len(outcome(wanting(deep), wanting(deep), reporting({"x": 1}, refusals))) == 8000
    assert time.process_time() - began < 2
