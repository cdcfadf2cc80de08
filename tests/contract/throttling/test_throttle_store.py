import asyncio
import time
from uuid import uuid4

import pytest

from iotsphere.throttling.model import SECOND, Demand, Limit
from iotsphere.throttling.ports import ThrottleStore

# So slow that nothing comes back while a test runs.
FIVE = Limit("five", 1000 * SECOND, 5)
TWO = Limit("two", 3000 * SECOND, 2)


@pytest.fixture
def subject() -> str:
    return uuid4().hex


async def test_no_more_is_granted_than_there_is(store: ThrottleStore, subject: str) -> None:
    assert (await store.take([Demand(FIVE, subject, 3)])).granted == (3,)
    assert (await store.take([Demand(FIVE, subject, 3)])).granted == (2,)

    refused = await store.take([Demand(FIVE, subject, 3)])

    assert (refused.granted, refused.refused_by) == ((), FIVE)
    assert refused.retry_after_seconds == pytest.approx(1000, abs=60)


async def test_of_fifty_at_once_exactly_five_are_granted(store: ThrottleStore, subject: str) -> None:
    takings = await asyncio.gather(*(store.take([Demand(FIVE, subject)]) for _ in range(50)))

    assert sum(len(taking.granted) for taking in takings) == 5


async def test_what_was_taken_comes_back_one_by_one(store: ThrottleStore, subject: str) -> None:
    quick = Limit("quick", SECOND // 50, 2)
    began = time.monotonic()
    taken = 0
    while time.monotonic() < began + 0.5:
        taken += sum((await store.take([Demand(quick, subject, 5)])).granted)
        await asyncio.sleep(0.001)
    elapsed = time.monotonic() - began

    assert 2 + 5 < taken <= 2 + elapsed * 50 + 1


async def test_one_that_refuses_costs_the_others_nothing(store: ThrottleStore, subject: str) -> None:
    demands = [Demand(FIVE, subject), Demand(TWO, subject)]
    assert [(await store.take(demands)).granted for _ in range(2)] == [(1, 1), (1, 1)]

    refused = [await store.take(demands) for _ in range(5)]

    assert {taking.refused_by for taking in refused} == {TWO}
    assert refused[0].retry_after_seconds == pytest.approx(3000, abs=60)
    assert (await store.take([Demand(FIVE, subject, 9)])).granted == (3,)


async def test_who_asks_for_none_only_looks(store: ThrottleStore, subject: str) -> None:
    looks = [await store.take([Demand(TWO, subject, 0)]) for _ in range(5)]
    assert {look.granted for look in looks} == {(0,)}

    await store.take([Demand(TWO, subject, 2)])

    assert (await store.take([Demand(TWO, subject, 0)])).refused_by == TWO


async def test_what_is_given_back_can_be_taken_again_and_no_more(store: ThrottleStore, subject: str) -> None:
    demands = [Demand(FIVE, subject, 2), Demand(TWO, subject, 2)]
    await store.take(demands)

    await store.give_back(demands)

    assert (await store.take([Demand(FIVE, subject, 9), Demand(TWO, subject, 9)])).granted == (5, 2)


async def test_giving_back_what_was_never_taken_adds_nothing(store: ThrottleStore, subject: str) -> None:
    for _ in range(3):
        await store.give_back([Demand(TWO, subject)])

    assert (await store.take([Demand(TWO, subject, 9)])).granted == (2,)


async def test_subjects_and_limits_have_nothing_to_do_with_each_other(store: ThrottleStore, subject: str) -> None:
    await store.take([Demand(TWO, subject, 2)])

    assert (await store.take([Demand(TWO, f"{subject}x", 9), Demand(FIVE, subject, 9)])).granted == (2, 5)


async def test_the_largest_and_the_slowest_limits_are_exact(store: ThrottleStore, subject: str) -> None:
    largest, slowest = Limit("largest", 1, 1_000_000), Limit("slowest", 1000 * SECOND, 1_000_000)

    assert (await store.take([Demand(slowest, subject, 999_999)])).granted == (999_999,)
    assert [sum((await store.take([Demand(slowest, subject)])).granted) for _ in range(3)] == [1, 0, 0]
    assert (await store.take([Demand(largest, subject, 2_000_000)])).granted == (1_000_000,)


async def test_a_place_is_familiar_to_the_account_that_was_there(store: ThrottleStore, subject: str) -> None:
    assert not await store.find_familiar(subject, "192.0.2.1")

    await store.add_familiar(subject, "192.0.2.1")

    assert await store.find_familiar(subject, "192.0.2.1")
    assert not await store.find_familiar(subject, "192.0.2.2")
    assert not await store.find_familiar(f"{subject}x", "192.0.2.1")
