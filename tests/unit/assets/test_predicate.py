"""Which predicates are read, what of them an index can help with, and what they are refused for."""

from contextlib import suppress
from math import inf

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from iotsphere.assets.predicate import (
    MAX_BYTES,
    MAX_CONDITIONS,
    MAX_LEVELS,
    MAX_PATTERN_CHARACTERS,
    MAX_STEPS,
    Predicate,
    Range,
    read_predicate,
)
from iotsphere.kernel.errors import RuleViolationError
from tests.factories.predicates import mutated_predicates, predicates


def refusal_of(text: str) -> RuleViolationError:
    with pytest.raises(RuleViolationError) as refusal:
        read_predicate(text)
    assert list(refusal.value.errors) == ["path"]
    return refusal.value


def message_of(text: str) -> str:
    (message,) = refusal_of(text).errors["path"]
    return message


@pytest.mark.parametrize(
    ("sent", "rendered"),
    [
        ("$.a == 1", '$."a" == 1'),
        ("\t$ . a\n[ * ] .b\f>=\r-1.5e-3 ", '$."a"[*]."b" >= -1.5e-3'),
        ('$."rated power" < 5', '$."rated power" < 5'),
        ("$.größe_2 == true", '$."größe_2" == true'),
        ("$.true == null || false != $.exists", '$."true" == null || $."exists" != false'),
        ("5<$.a", '$."a" > 5'),
        ("5>=$.a", '$."a" <= 5'),
        ("5 <> $.a", '$."a" <> 5'),
        ("$.a[0].b == 1", '$."a"[0]."b" == 1'),
        (r'$.a == "\u00e4\/\"\\\n\ud83d\ude00"', '$."a" == "ä/\\"\\\\\\n😀"'),
        ('$.a starts with "SN-"', '$."a" starts with "SN-"'),
        (r'$.a like_regex "^SN-0[0-9a-f]+\\..*$"', r'$."a" like_regex "^SN-0[0-9a-f]+\\..*$"'),
        ("exists ( $.a )", 'exists($."a")'),
        ("!exists($.a) && !($.b == 1)", '!exists($."a") && !($."b" == 1)'),
        ("$.a == 1 || $.b == 2 && ($.c == 3 || $.d == 4)", '$."a" == 1 || $."b" == 2 && ($."c" == 3 || $."d" == 4)'),
        (
            'exists($.pumps[*] ? (@.kw > 5 && @.maker == "x"))',
            'exists($."pumps"[*] ?(@."kw" > 5 && @."maker" == "x"))',
        ),
        ("$.a?(@ > 1)?(@ < 9).b == 1", '$."a" ?(@ > 1) ?(@ < 9)."b" == 1'),
    ],
)
def test_what_is_read_is_written_anew(sent: str, rendered: str | None) -> None:
    if rendered is None:
        refusal_of(sent)
    else:
        assert read_predicate(sent).text == rendered


INDEXED = "($.b == 1 || $.c == 1) && exists($.d ? (@.e == 1))"


@pytest.mark.parametrize(
    ("text", "indexed"),
    [
        ("$.a == 1", True),
        ('"x" == $.a.b', True),
        ("$.a[*].b[3] == null", True),
        ("$.a != 1", False),
        ("$.a > 1", False),
        ('$.a starts with "x"', False),
        ('$.a like_regex "x"', False),
        ("exists($.a)", False),
        ("exists($.a ? (@.b == 1))", True),
        ("exists($.a ? (@.b > 1))", False),
        ("!($.a == 1)", False),
        ("!exists($.a ? (@.b == 1))", False),
        ("$.a == 1 && $.b > 1", "$.a == 1"),
        ("$.a == 1 && $.b == 2", True),
        ('$.a starts with "x" && ($.b == 1 || $.c == 1) && exists($.d ? (@.e == 1))', INDEXED),
        ("($.a == 1 && $.b > 1) || $.c == 1 && $.d != 1", "($.a == 1) || $.c == 1"),
        ("$.a > 1 && $.b > 1", False),
        ("$.a == 1 || $.b == 1", True),
        ("$.a == 1 || $.b > 1", False),
        ("($.a == 1 || $.b > 1) && $.c == 1", "$.c == 1"),
        ("$.a ? (@.b == 1).c > 1", False),
        ("$.a ? (@.b > 1).c == 1", True),
    ],
)
def test_tells_of_which_part_the_index_helps(text: str, indexed: bool | str) -> None:
    predicate = read_predicate(text)

    assert predicate.is_indexed is bool(indexed)
    if predicate.is_indexed:
        assert predicate.indexed == (read_predicate(indexed).text if isinstance(indexed, str) else predicate.text)


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        ("$.a.b > 5", [Range(("a", "b"), at_least=5)]),
        ("5 >= $.a", [Range(("a",), at_most=5)]),
        ("$.a == -1.5", [Range(("a",), -1.5, -1.5)]),
        ("$.a != 5", []),
        ('$.a > "5"', []),
        ("$ > 5", []),
        ("$.a[*].b[0] < 5", [Range(("a", "b"), at_most=5)]),
        ("$.a > 5 && $.a < 9", [Range(("a",), at_least=5), Range(("a",), at_most=9)]),
        ("$.a > 5 || $.a < 9", []),
        ("!($.a > 5)", []),
        ("exists($.p[*] ? (@.kw > 5 && @.n == 2).q)", [Range(("p", "kw"), at_least=5), Range(("p", "n"), 2, 2)]),
        ('$.p ? (@ > 5).maker starts with "x"', [Range(("p",), at_least=5)]),
        ("$.a > 9007199254740993", [Range(("a",), at_least=2.0**53)]),
        ("$.a > 0.1", [Range(("a",), at_least=0.1)]),
    ],
)
def test_tells_which_numbers_there_must_be(text: str, ranges: list[Range]) -> None:
    assert read_predicate(text).ranges == tuple(ranges)


@pytest.mark.parametrize(
    ("text", "begins_with"),
    [
        ("", "At character 1: the end cannot stand here, but $, exists, !, ( or a number"),
        ("$.a", "At character 4: the end"),
        ("$.a ==", "At character 7: the end cannot stand here, but a number, a text in double quotes"),
        ("$.a = 1", "At character 5: ="),
        ("$.a == $.b", "At character 8: $"),
        ("$.a[*] == $.b[*]", "At character 11: $"),
        ("1 == 1", "At character 6: 1"),
        ("$.a == $x", "At character 8: $x cannot"),
        ("$x == 1", "At character 1: $x cannot stand here, but $, exists, !, ( or"),
        ('$starts with "x"', "At character 1: $starts cannot"),
        ('$"x" == 1', 'At character 2: "x" cannot'),
        ("@.a == 1", "At character 1: @"),
        ("$.a ? ($.b == 1).c == 1", "At character 8: $"),
        ("$.a ? (@.b ? (@.c == 1).d == 1).e == 1", "At character 12: ?"),
        ("$.** == 1", "At character 3: *"),
        ("$.* == 1", "At character 3: *"),
        ("$.a.size() == 1", "At character 9: ("),
        ("$.a[0 to 1] == 1", "At character 7: to"),
        ("$.a[last] == 1", "At character 5: last"),
        ("$.a[-1] == 1", "At character 5: -1"),
        ("$.a[131072] == 1", "At character 5: 131072"),
        ("$.a[0, 1] == 1", "At character 6: ,"),
        ("$.a + 1 == 1", "At character 5: +"),
        ("-$.a == 1", "At character 1: -"),
        ("strict $.a == 1", "At character 1: strict"),
        ("($.a == 1) is unknown", "At character 12: is"),
        ("!$.a == 1", "At character 2: $"),
        ("$.a == 1 &&", "At character 12: the end"),
        ("$.a == 1 $.b", "At character 10: $"),
        ("($.a == 1", "At character 10: the end cannot stand here, but &&, || or ) can."),
        ("$.a == 1)", "At character 9: ) cannot stand here, but &&, || or the end can."),
        ("$.a == 01", "At character 8: 0"),
        ("$.a == 1.", "At character 8: 1"),
        ("$.a == 1x", "At character 8: 1"),
        ("$.a == 1e-1000", "At character 8: 1e-1000 cannot stand here, but a number"),
        ("$.a == 1.5.2", "At character 8: 1.5.2 cannot stand here, but a number"),
        ("$.a == 007", "At character 8: 007 cannot stand here, but a number"),
        ("$.a == 1e999", "At character 8: 1e999 cannot stand here, but a number within"),
        ("$.a < -17976931348623157" + "0" * 292, "At character 7: -1797693"),
        ("$.a == 'x'", "At character 8: '"),
        ('$.a == "x', 'At character 8: "x'),
        ('$.a == "\\x41"', 'At character 8: "\\x41"'),
        ('$.a == "\n"', 'At character 8: "'),
        ('$.a == "\\u0000"', 'At character 8: "\\u0000" cannot stand here, but a text without'),
        ('$."\\ud800" == 1', 'At character 3: "\\ud800"'),
        ("$.a == \ud800", "At character 8: half of a surrogate pair"),
        ("$.a\u00a0== 1", "At character 4: \u00a0"),
        ("$.a == 1 /* x */", "At character 10: /"),
        ('$.a like_regex "x" flag "i"', "At character 20: flag"),
        ("$.a like_regex $.b", "At character 16: $"),
        ("$.a starts $.b", "At character 12: $ cannot stand here, but with can."),
        ("\0", "At character 1: \0"),
        ("$.a == 1; DROP TABLE assets", "At character 9: ;"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place_and_with_what_can(text: str, begins_with: str) -> None:
    assert message_of(text).startswith(begins_with)
    assert refusal_of(text).code == "assets.predicate.malformed"


def test_what_is_found_is_shown_from_where_it_begins() -> None:
    assert message_of('$.a == "' + "x" * 1000).startswith('At character 8: "' + "x" * 31 + " cannot")


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "^$",
        "SN-0.*7",
        "[A-Za-z_.-]*",
        "[^0-9 ]+x?",
        r"a\\.b\\\\",
        "größe",
        "-a/b",
        "[ж-я]",
        "[*+?(){}$|.]",
        "a+b+",
    ],
)
def test_simple_patterns_are_taken(pattern: str) -> None:
    assert read_predicate(f'$.a like_regex "{pattern}"').text == f'$."a" like_regex "{pattern}"'


@pytest.mark.parametrize(
    ("pattern", "place"),
    [
        ("(a)", 1),
        ("a|b", 2),
        ("a{3}", 2),
        ("a**", 3),
        ("a*?", 3),
        ("*", 1),
        ("***:a", 1),
        ("^*", 2),
        ("a^", 2),
        ("$a", 2),
        (r"\\d", 1),
        (r"\\1", 1),
        (r"\\", 1),
        ("[", 1),
        ("[]", 1),
        ("[^]", 1),
        ("[a", 1),
        ("]", 1),
        ("[[:alpha:]]", 1),
        (r"[\\w]", 1),
        ("[a-b-c]", 1),
        ("(?i)a", 1),
    ],
)
def test_other_patterns_are_refused(pattern: str, place: int) -> None:
    text = f'$.a like_regex "{pattern}"'

    assert message_of(text).startswith("At character 16: the pattern cannot be used: ")
    assert f"as its character {place} is" in message_of(text)
    assert refusal_of(text).code == "assets.predicate.pattern_unsupported"


def test_a_range_of_characters_goes_upwards() -> None:
    assert "z-a is no range" in message_of('$.a like_regex "[0-9z-a]"')


@pytest.mark.parametrize(
    ("fits", "exceeds"),
    [
        ('$.a == "{}"'.format("x" * (MAX_BYTES - 9)), '$.a == "{}"'.format("x" * (MAX_BYTES - 8))),
        ('$.a == "{}"'.format("ä" * ((MAX_BYTES - 9) // 2)), '$.a == "{}"'.format("ä" * (MAX_BYTES // 2 - 4))),
        ("(" * MAX_LEVELS + "$.a == 1" + ")" * MAX_LEVELS, "(" * (MAX_LEVELS + 1) + "$.a == 1"),
        ("&&".join(["$==1"] * MAX_CONDITIONS), "&&".join(["exists($)"] * (MAX_CONDITIONS + 1))),
        (f"${'[*]' * MAX_STEPS} == 1", f"exists(${'[*]' * MAX_STEPS} ?(@ == 1))"),
        (
            '$ like_regex "{}"'.format("." * MAX_PATTERN_CHARACTERS),
            '$ like_regex ".{0}" || $ like_regex "{0}"'.format("." * (MAX_PATTERN_CHARACTERS // 2)),
        ),
    ],
)
def test_what_asks_for_too_much_is_refused(fits: str, exceeds: str) -> None:
    read_predicate(fits)
    assert refusal_of(exceeds).code == "assets.predicate.too_large"


@given(predicates())
def test_whatever_is_of_the_grammar_is_read_and_written_anew_read_as_the_same(text: str) -> None:
    predicate = read_predicate(text)

    assert read_predicate(predicate.text) == predicate
    for found in predicate.ranges:
        assert found.keys
        assert -inf <= found.at_least <= found.at_most <= inf


@given(st.one_of(st.text(), mutated_predicates()))
@example("$." * 2000)
@example("!" * 4000)
@example("(" * 4000)
@example("$.a" + "?(@" * 1000)
@example('$.a like_regex "' + "[a" * 1000 + '"')
@example("9" * 4096)
@example('"' + "\\" * 4000)
def test_any_other_text_is_refused_and_nothing_else_happens(text: str) -> None:
    with suppress(RuleViolationError):
        assert isinstance(read_predicate(text), Predicate)
