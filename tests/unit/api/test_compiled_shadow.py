"""What is compiled reads and writes what the schemas read and write."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from iotsphere.api.json_body import decode_storable_json
from iotsphere.api.operation import load
from iotsphere.api.shadow.compiled import decode_patch, encode_change, encode_document
from iotsphere.api.shadow.schemas import ShadowAnswer, ShadowChangeAnswer, UpdateShadowBody
from iotsphere.kernel.errors import DomainError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.shadow.model import DesiredRefusal, Shadow, ShadowDocument, ShadowKey, ShadowPatch, Violation
from tests.factories.shadow import build_change

KEY = ShadowKey(DeviceId(UUID(int=1)))
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5), values, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=5), JSON_VALUES, max_size=4)
SECTIONS = st.fixed_dictionaries({}, optional={"desired": st.none() | OBJECTS, "reported": st.none() | OBJECTS})
REFUSAL = DesiredRefusal("too_hot", "It is too hot.")
VIOLATIONS = {"reported": [Violation("state.reported.target", "must be a number")]}


def mostly(right: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(right, right, right, JSON_VALUES)


BODIES = mostly(
    st.fixed_dictionaries(
        {"state": mostly(st.none() | SECTIONS)},
        optional={
            "version": mostly(st.integers()),
            "client_token": mostly(st.text(max_size=5)),
            "refusals": JSON_VALUES,
            "unknown": JSON_VALUES,
        },
    )
)


def judge(body: bytes) -> ShadowPatch | None:
    """Give what the schema makes of a body; None if it refuses it."""
    try:
        return load(UpdateShadowBody(), decode_storable_json(body))  # type: ignore[no-any-return]
    except DomainError:
        return None


@given(BODIES)
@example({"state": {"desired": {"a": None}, "delta": 1}})
@example({"state": None, "version": 2**70})
@example({"state": {"reported": {"a": "\0"}}})
def test_what_is_decoded_is_what_the_schema_takes(value: Any) -> None:
    body = json.dumps(value).encode()
    decoded = decode_patch(body)

    assert decoded is None or decoded == judge(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"state":{"reported":{"a":1}},"state":{"desired":null}}',
        b'{"state":{"reported":{"a":1,"a":2}}}',
        b'{"state":{"reported":{"a":"\\ud800"}}}',
        b'{"state":{"reported":{"\xff":1}}}',
        b'{"state":{"reported":{"a":NaN}}}',
        b'{"state":{"reported":{"a":1e999}}}',
        b'{"state":{},"version":1.0}',
        b'{"state":{},"version":null}',
        b'{"state":{},"version":true}',
        b'{"state":{},"client_token":null}',
        b'{"state":{"reported":' + b"[" * 100_000,
        b"\xef\xbb\xbf{}",
        b"",
    ],
)
def test_what_is_doubtful_is_left_to_the_schema_or_taken_as_it_takes_it(body: bytes) -> None:
    decoded = decode_patch(body)

    assert decoded is None or decoded == judge(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"state":{"reported":{"a":[{"b":null}]}}}',
        b'{"state":{"desired":null,"reported":{}},"version":7,"client_token":"t"}',
        b'{"state":null}',
    ],
)
def test_what_devices_send_is_decoded(body: bytes) -> None:
    decoded = decode_patch(body)

    assert decoded is not None
    assert decoded == judge(body)


@given(OBJECTS, OBJECTS, st.sampled_from([{}, VIOLATIONS]))
def test_a_document_is_written_as_the_schema_writes_it(
    state: Any, metadata: Any, violations: dict[str, list[Violation]]
) -> None:
    document = ShadowDocument(state, metadata, 7, {"desired": 4, "reported": 3}, 1_795_195_380, violations)

    assert list(json.loads(encode_document(document)).items()) == list(ShadowAnswer().dump(document).items())


@given(st.none() | SECTIONS, st.none() | st.text(max_size=5), st.booleans())
def test_a_change_is_written_as_the_schema_writes_it(state: Any, client_token: str | None, is_refused: bool) -> None:
    patch = ShadowPatch(state, None, client_token, {"/target": REFUSAL} if is_refused else {})
    shadow = Shadow(version=7, changed_at=datetime(2026, 11, 21, tzinfo=UTC))
    change = build_change(KEY, shadow, patch=patch)

    assert list(json.loads(encode_change(change)).items()) == list(ShadowChangeAnswer().dump(change).items())
