import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotsphere.api.conditional import (
    NO_VERSION,
    PreconditionMalformedError,
    entity_tag,
    expected_version,
    is_unmodified,
)

MALFORMED = [
    "3",
    '" 3"',
    '"3',
    '3"',
    "'3'",
    "",
    " ",
    ",",
    '"3" "4"',
    'w/"3"',
    'W/ "3"',
    '"é"',
    '"\0"',
    '"3"\n4',
    "**",
    '"a"b"',
]
HEADERS = st.text() | st.lists(st.sampled_from(['"', "3", "W/", ",", " ", "*", "\t"])).map("".join)


@given(st.integers(1, 2**31 - 1))
def test_a_version_is_found_again_in_its_tag(version: int) -> None:
    assert expected_version(entity_tag(version)) == version
    assert is_unmodified(entity_tag(version), version)
    assert not is_unmodified(entity_tag(version), version + 1)


@pytest.mark.parametrize("if_match", [None, "*", " * "])
def test_without_a_version_any_is_expected(if_match: str | None) -> None:
    assert expected_version(if_match) is None


@pytest.mark.parametrize("tag", ['""', '"abc"', '"-1"', '"3.0"', '"1_0"', 'W/"3"', '"' + "9" * 19 + '"'])
def test_a_tag_that_no_version_has_matches_nothing(tag: str) -> None:
    assert expected_version(tag) == NO_VERSION
    assert not is_unmodified(tag, 4)


@pytest.mark.parametrize("header", MALFORMED)
def test_a_header_that_is_no_tag_is_malformed(header: str) -> None:
    with pytest.raises(PreconditionMalformedError, match="If-Match"):
        expected_version(header)
    with pytest.raises(PreconditionMalformedError, match="If-None-Match"):
        is_unmodified(header, 3)
    with pytest.raises(PreconditionMalformedError, match="If-None-Match"):
        is_unmodified(header, None)


@pytest.mark.parametrize("tag", [None, "*", '"3"', '"None"', '"-1"'])
def test_nobody_has_what_has_no_version(tag: str | None) -> None:
    assert not is_unmodified(tag, None)


@pytest.mark.parametrize(
    ("if_none_match", "is_known"),
    [
        (None, False),
        ("*", True),
        ('"3"', True),
        ('W/"3"', True),
        ('"1", "2","3"', True),
        ('"1" ,W/"2"', False),
        ('"03"', False),
        ('"1,3"', False),
    ],
)
def test_a_client_that_has_the_version_need_not_get_it_again(if_none_match: str | None, is_known: bool) -> None:
    assert is_unmodified(if_none_match, 3) is is_known


@given(HEADERS, st.integers(1))
def test_a_header_of_any_kind_is_read_or_malformed(header: str, version: int) -> None:
    try:
        expected = expected_version(header)
        assert expected is None or expected >= NO_VERSION
        is_unmodified(header, version)
    except PreconditionMalformedError:
        return
