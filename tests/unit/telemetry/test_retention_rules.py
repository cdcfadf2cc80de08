import time
from datetime import UTC, datetime, timedelta

import pytest

from iotsphere.telemetry.model import EARLIEST
from iotsphere.telemetry.retention_rules import (
    METRICS_PATTERN,
    MOST_ERAS,
    Allotment,
    Era,
    IntakeTerms,
    RetentionRule,
    RetentionRules,
)

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 23, tzinfo=UTC)
DAY = timedelta(days=1)


def rules(*given: RetentionRule) -> RetentionRules:
    return RetentionRules(1, given)


@pytest.mark.parametrize(
    ("pattern", "metric", "is_like_it"),
    [
        ("a*", "a", True),
        ("a*", "abc", True),
        ("a*", "ba", False),
        ("*.temp", "pump.temp", True),
        ("*.temp", "pump.temperature", False),
        ("p?mp", "pump", True),
        ("p?mp", "pmp", False),
        ("a.b", "a-b", False),
        ("A", "a", False),
        (None, "anything", True),
    ],
)
def test_a_pattern_is_for_metrics_like_it(pattern: str | None, metric: str, *, is_like_it: bool) -> None:
    assert rules(RetentionRule(5, None, pattern)).classes_of(None, [metric]) == bytes([5 if is_like_it else 0])


def test_the_first_rule_that_matches_decides_and_types_are_told_apart() -> None:
    given = rules(RetentionRule(1, "pump", "a*"), RetentionRule(2, None, "ab"), RetentionRule(3, "fan", None))

    assert list(given.classes_of("pump", ["a", "ab", "b"])) == [1, 1, 0]
    assert list(given.classes_of("fan", ["a", "ab", "b"])) == [3, 2, 3]
    assert list(given.classes_of(None, ["a", "ab", "b"])) == [0, 2, 0]


def test_no_pattern_takes_long() -> None:
    hostile = ("*a" * 64)[:128]
    assert METRICS_PATTERN.fullmatch(hostile)
    began = time.perf_counter()

    assert list(rules(RetentionRule(1, None, hostile)).classes_of(None, ["a" * 127 + "b"] * 100)) == [0] * 100

    assert time.perf_counter() - began < 1


@pytest.mark.parametrize("pattern", ["", "[a]", "(a|b)+", "a b", "a\n", "a" * 129, "ä", "{a}"])
def test_what_is_no_pattern_is_told(pattern: str) -> None:
    assert METRICS_PATTERN.fullmatch(pattern) is None


def test_what_was_always_of_the_default_class_needs_no_eras() -> None:
    nothing = Allotment().extended(0, bytes(2)).moved(bytes(2), now=NOON)

    assert nothing == Allotment()
    assert set(nothing.numbers) == {0}
    assert nothing.at(NOON) == b""


def test_metrics_move_at_a_midnight_two_days_ahead() -> None:
    moved = Allotment().moved(b"\0\3", now=NOON)

    assert moved.eras == (Era(EARLIEST, b"\0\0"), Era(MIDNIGHT, b"\0\3"))
    assert moved.at(MIDNIGHT - timedelta(microseconds=1)) == b"\0\0"
    assert moved.at(MIDNIGHT) == b"\0\3"
    assert moved.numbers == {0, 3}
    assert Allotment().moved(b"\1", now=MIDNIGHT).eras[-1].since == MIDNIGHT + 2 * DAY


def test_a_move_that_has_not_come_yet_is_taken_back_or_changed() -> None:
    moved = Allotment().moved(b"\1", now=NOON)

    assert moved.moved(b"\2", now=NOON).eras == (Era(EARLIEST, b"\0"), Era(MIDNIGHT, b"\2"))
    assert moved.moved(b"\0", now=NOON).eras == (Era(EARLIEST, b"\0"),)
    # To a clock that is behind it has not come either.
    assert moved.moved(b"\2", now=NOON - 5 * DAY).eras == (Era(EARLIEST, b"\0"), Era(MIDNIGHT, b"\2"))
    assert moved.moved(b"\2", now=NOON + DAY).eras[1:] == (Era(MIDNIGHT, b"\1"), Era(MIDNIGHT + DAY, b"\2"))


def test_a_new_metric_is_of_its_class_since_ever() -> None:
    moved = Allotment().moved(b"\1", now=NOON).extended(1, b"\2")

    assert moved.eras == (Era(EARLIEST, b"\0\2"), Era(MIDNIGHT, b"\1\2"))
    assert Allotment().extended(2, b"\2").eras == (Era(EARLIEST, b"\0\0\2"),)


def test_a_device_follows_so_many_changes_and_no_more() -> None:
    allotment = Allotment()
    for day in range(2 * MOST_ERAS):
        allotment = allotment.moved(bytes([day % 2 + 1]), now=NOON + day * DAY)

    assert len(allotment.eras) == MOST_ERAS


def test_a_class_that_nobody_knows_yet_keeps_everything() -> None:
    terms = IntakeTerms(NOON, {0: NOON - DAY})

    assert terms.is_expired(0, NOON - 2 * DAY)
    assert not terms.is_expired(1, EARLIEST)
