from typing import Any

import msgspec
import pytest

from iotsphere.kernel.errors import RuleViolationError
from iotsphere.shadow.errors import ShadowTooLargeError
from iotsphere.shadow.limits import MAX_ERRORS, MAX_STATE_BYTES, check_patch, check_size
from iotsphere.shadow.model import ShadowPatch


def nested(depth: int, leaf: Any) -> dict[str, Any]:
    value = leaf
    for _ in range(depth):
        value = {"k": value}
    assert isinstance(value, dict)
    return value


def errors_of(desired: Any, client_token: str | None = None) -> dict[str, list[str]]:
    with pytest.raises(RuleViolationError) as refused:
        check_patch(ShadowPatch({"desired": desired}, client_token=client_token))
    return refused.value.errors


@pytest.mark.parametrize(
    "section",
    [
        {},
        nested(8, 1),
        nested(8, {}),
        nested(7, [1]),
        {"k": None, "o": {"k": None}},
        {"é" * 64: 1},
        {"k": 2**53, "l": -(2**53), "m": 1e300},
        {"k": "a text may hold a\nline break"},
    ],
)
def test_what_is_within_the_limits_is_accepted(section: Any) -> None:
    check_patch(ShadowPatch({"desired": section, "reported": section}, client_token="é" * 32))


@pytest.mark.parametrize(
    ("section", "path"),
    [
        (nested(9, 1), "state.desired.k.k.k.k.k.k.k.k.k"),
        (nested(8, [1]), "state.desired.k.k.k.k.k.k.k.k.0"),
        ({"k": [None]}, "state.desired.k.0"),
        ({"k": [[{"l": None}]]}, "state.desired.k.0.0.l"),
        ({"k": 2**53 + 1}, "state.desired.k"),
        ({"k": [-(2**53) - 1]}, "state.desired.k.0"),
        ({"k": 10**400}, "state.desired.k"),
        ({"k": float("inf")}, "state.desired.k"),
        ({"k": float("nan")}, "state.desired.k"),
        ({"": 1}, "state.desired"),
        ({"k": {"l" * 129: 1}}, "state.desired.k"),
        ({"é" * 65: 1}, "state.desired"),
        ({"a\x00": 1}, "state.desired"),
        ({"a\x1f": 1}, "state.desired"),
        ({"a\x85": 1}, "state.desired"),
        ({"k": [{"\x7f": 1}]}, "state.desired.k.0"),
    ],
)
def test_what_is_over_a_limit_is_named_by_its_path(section: Any, path: str) -> None:
    assert list(errors_of(section)) == [path]


def test_a_nesting_far_beyond_the_limit_costs_no_recursion() -> None:
    assert len(errors_of(nested(100_000, 1))) == 1


def test_a_thousand_wrong_values_are_not_all_listed() -> None:
    assert len(errors_of({"k": [None] * 1000})) == MAX_ERRORS


def test_a_client_token_is_measured_in_bytes() -> None:
    assert list(errors_of({}, client_token="é" * 33)) == ["client_token"]


def test_the_size_is_that_of_both_sections_as_compact_json_in_utf_8() -> None:
    room = MAX_STATE_BYTES - len('{"desired":{"k":""},"reported":{"k":"é"}}'.encode())
    check_size({"desired": {"k": "x" * room}, "reported": {"k": "é"}})

    with pytest.raises(ShadowTooLargeError, match=f"{MAX_STATE_BYTES + 1} bytes"):
        check_size({"desired": {"k": "x" * room}, "reported": {"k": "éx"}})


def test_the_size_counts_what_is_stored_not_how_it_was_written() -> None:
    assert len(msgspec.json.encode({"k": "é"})) == len('{"k":"é"}'.encode())
