from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotsphere.throttling.model import SECOND, Demand, Limit, RequestLimits, account_of, judge, network_of
from iotsphere.throttling.process import ProcessThrottleStore

LIMITS = st.builds(Limit, st.just("limit"), st.integers(1, 10 * SECOND), st.integers(1, 50))
# How long it is since the one before, and how many are asked for.
ASKED = st.lists(st.tuples(st.integers(0, 20 * SECOND) | st.integers(0, 50), st.integers(0, 20)), max_size=60)


class Bucket:
    """The rule as one would say it: so many tokens, and a new one drops in as time goes by, until it is full."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.tokens = Fraction(limit.burst)

    def wait(self, microseconds: int) -> None:
        self.tokens = min(self.tokens + Fraction(microseconds, self.limit.interval), Fraction(self.limit.burst))

    def take(self, wanted: int) -> tuple[int, Fraction]:
        if self.tokens < 1:
            return 0, (1 - self.tokens) * self.limit.interval
        granted = min(int(self.tokens), wanted)
        self.tokens -= granted
        return granted, Fraction(0)


class Hand:
    """A clock of microseconds that is set by hand."""

    def __init__(self) -> None:
        self.now = 10**9

    def __call__(self) -> int:
        return self.now


@given(limit=LIMITS, asked=ASKED)
async def test_an_allowance_is_a_bucket_into_which_tokens_drop(limit: Limit, asked: list[tuple[int, int]]) -> None:
    hand, bucket = Hand(), Bucket(limit)
    store = ProcessThrottleStore(microseconds=hand)

    for microseconds, wanted in asked:
        hand.now += microseconds
        bucket.wait(microseconds)
        taking = await store.take([Demand(limit, "subject", wanted)])
        granted, wait = bucket.take(wanted)
        assert sum(taking.granted) == granted
        assert (taking.refused_by is None) == (wait == 0)
        assert taking.retry_after_seconds == pytest.approx(float(wait / SECOND))


@given(limit=LIMITS, asked=ASKED)
async def test_in_no_stretch_of_time_is_more_granted_than_the_burst_and_the_rate(
    limit: Limit, asked: list[tuple[int, int]]
) -> None:
    hand = Hand()
    store = ProcessThrottleStore(microseconds=hand)
    granted: list[tuple[int, int]] = []
    for microseconds, wanted in asked:
        hand.now += microseconds
        granted.append((hand.now, sum((await store.take([Demand(limit, "subject", wanted)])).granted)))

    for first in range(len(granted)):
        for last in range(first, len(granted)):
            stretch = granted[last][0] - granted[first][0]
            assert sum(number for _, number in granted[first : last + 1]) <= limit.burst + stretch // limit.interval


@given(limit=LIMITS, asked=ASKED)
async def test_who_waits_as_long_as_told_is_granted_one_and_a_moment_earlier_none(
    limit: Limit, asked: list[tuple[int, int]]
) -> None:
    hand = Hand()
    store = ProcessThrottleStore(microseconds=hand)
    for microseconds, wanted in asked:
        hand.now += microseconds
        taking = await store.take([Demand(limit, "subject", wanted)])
    if asked and taking.refused_by:
        hand.now += round(taking.retry_after_seconds * SECOND) - 1
        assert (await store.take([Demand(limit, "subject")])).refused_by == limit
        hand.now += 1
        assert (await store.take([Demand(limit, "subject")])).granted == (1,)


def test_the_longest_wait_is_the_one_that_counts() -> None:
    soon, late = Limit("soon", SECOND, 1), Limit("late", 60 * SECOND, 1)
    demands = [Demand(soon, "a"), Demand(late, "b"), Demand(soon, "c")]

    taking = judge(demands, [SECOND, 60 * SECOND, 0], now=0)

    assert (taking.granted, taking.refused_by, taking.retry_after_seconds) == ((), late, 60)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("unknown", "unknown"),
        ("", ""),
    ],
)
def test_a_party_is_known_by_what_it_has_for_itself(address: str, network: str) -> None:
    assert network_of(address) == network


def test_an_account_is_one_however_its_address_is_written() -> None:
    assert account_of("Ada@Example.org") == account_of("ada@example.ORG")
    assert account_of("\u212aim@example.org") == account_of("kim@example.org")
    assert account_of("\u0130da@example.org") == account_of("ida@example.org")
    assert account_of("ada@example.org") != account_of("ida@example.org")
    assert "ada" not in account_of("ada@example.org")


def test_any_text_may_be_tried_as_an_address() -> None:
    assert account_of("") != account_of("\ud800")


def test_of_large_limits_a_process_takes_a_hundredth_and_of_small_ones_one_by_one() -> None:
    limits = RequestLimits()

    assert [limit.block for limit in (limits.key, limits.user, limits.organisation, limits.address) if limit] == [
        200, 200, 1000, 3,
    ]  # fmt: skip
    assert Limit("small", SECOND, 199).block == 1
