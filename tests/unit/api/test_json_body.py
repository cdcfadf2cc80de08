import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotsphere.api.json_body import JsonMalformedError, decode_json, decode_storable_json, encode_json
from iotsphere.kernel.errors import RuleViolationError

DEEP = 100_000

Json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b" ", id="a space"),
        pytest.param(b"NaN", id="NaN"),
        pytest.param(b"[Infinity]", id="Infinity"),
        pytest.param(b'{"a":-Infinity}', id="-Infinity"),
        pytest.param(b"1e400", id="over the largest double"),
        pytest.param(b"-1e400", id="under the smallest double"),
        pytest.param(b"9" * 10_000, id="10 000 digits"),
        pytest.param(b"-" + b"9" * 10_000, id="10 000 digits below zero"),
        pytest.param(b"[" * DEEP, id="arrays that never end"),
        pytest.param(b"[" * DEEP + b"]" * DEEP, id="arrays 100 000 deep"),
        pytest.param(b'{"a":' * DEEP + b"1" + b"}" * DEEP, id="objects 100 000 deep"),
        pytest.param(b'"\xff"', id="a byte that is no UTF-8"),
        pytest.param(b'"\xc0\x80"', id="an overlong NUL"),
        pytest.param(b'"\xed\xa0\x80"', id="a surrogate in UTF-8"),
        pytest.param(b'{"\xff":1}', id="a key that is no UTF-8"),
        pytest.param(rb'"\ud800"', id="half a surrogate pair"),
        pytest.param(rb'"\udc00"', id="the other half"),
        pytest.param(rb'{"\ud800":1}', id="half a surrogate pair as key"),
        pytest.param(rb'"\ud800\u0041"', id="half a surrogate pair and a letter"),
        pytest.param(b"\xef\xbb\xbf{}", id="a byte order mark"),
        pytest.param("{}".encode("utf-16"), id="UTF-16"),
        pytest.param(b'"\x00"', id="a raw NUL"),
        pytest.param(b'"\n"', id="a raw line feed"),
        pytest.param(b"{}{}", id="two documents"),
        pytest.param(b"[1,]", id="a comma too many"),
        pytest.param(b"{'a':1}", id="single quotes"),
        pytest.param(b"01", id="a leading zero"),
        pytest.param(b"1.", id="nothing after the point"),
        pytest.param(b"+1", id="a plus sign"),
        pytest.param(b"0x10", id="hexadecimal"),
        pytest.param(b"[1] // why", id="a comment"),
        pytest.param(b'{"a":1', id="cut off"),
    ],
)
def test_what_is_not_json_is_malformed(body: bytes) -> None:
    with pytest.raises(JsonMalformedError) as refusal:
        decode_json(body)

    assert refusal.value.code == "request.json.malformed"
    assert len(refusal.value.detail) < 200


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b" {} ", {}),
        (b'{"a":1,"a":2}', {"a": 2}),
        (rb'"\ud83d\ude00"', "\U0001f600"),
        (b"0.1e-999999", 0.0),
        (b"-0", 0),
        (str(2**70).encode(), 2**70),
        (b"[" * 500 + b"]" * 500, None),
    ],
)
def test_what_is_unusual_is_still_json(body: bytes, value: Any) -> None:
    decoded = decode_json(body)

    assert value is None or decoded == value


@given(Json)
def test_json_comes_through_as_it_is(value: object) -> None:
    assert decode_json(encode_json(value)) == value


@given(st.binary() | st.text().map(str.encode))
def test_bytes_of_any_kind_are_json_or_malformed(body: bytes) -> None:
    try:
        decoded = decode_json(body)
    except JsonMalformedError:
        return
    assert decoded == json.loads(body)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (rb'"\u0000"', "body"),
        (rb'{"\u0000":1}', "body"),
        (rb'{"":"\u0000"}', "body"),
        (rb'{"name":"a\u0000b"}', "name"),
        (rb'{"a":{"b":[0,"\u0000"]}}', "a.b.1"),
        (rb'{"a":[{"b\u0000":1}]}', "a.0"),
        (rb'["ok",["\u0000"]]', "1.0"),
    ],
)
def test_a_character_that_no_store_keeps_is_named_by_its_path(body: bytes, path: str) -> None:
    with pytest.raises(RuleViolationError) as refusal:
        decode_storable_json(body)

    assert refusal.value.errors == {path: ["Must not contain the character U+0000."]}


def test_a_backslash_before_u0000_is_no_such_character() -> None:
    assert decode_storable_json(rb'"\\u0000"') == r"\u0000"


@pytest.mark.parametrize("opening", [b"[", b'{"' + b"k" * 400 + b'":'])
def test_a_hostile_body_costs_no_more_than_its_size(opening: bytes) -> None:
    closing = b"]" if opening == b"[" else b"}"
    many = b"[" + b",".join([rb'"\\u0000"'] * 20_000 + [rb'"\u0000"']) + b"]"

    with pytest.raises(RuleViolationError) as refusal:
        decode_storable_json(opening * 900 + many + closing * 900)

    assert next(iter(refusal.value.errors)).endswith(".20000")
