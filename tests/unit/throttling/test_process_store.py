from iotsphere.throttling.model import FAMILIAR_SECONDS, SECOND, Demand, Limit
from iotsphere.throttling.process import ProcessThrottleStore

ONCE = Limit("once", SECOND, 1)


async def test_of_too_many_subjects_the_one_not_seen_for_longest_is_forgotten() -> None:
    store = ProcessThrottleStore(microseconds=lambda: 0, most_subjects=2)
    for subject in "abc":
        await store.take([Demand(ONCE, subject)])

    assert [(await store.take([Demand(ONCE, subject, 0)])).refused_by for subject in "abc"] == [None, ONCE, ONCE]


async def test_of_too_many_familiar_places_the_one_not_seen_for_longest_is_forgotten() -> None:
    store = ProcessThrottleStore(microseconds=lambda: 0, most_subjects=2)
    for network in "abac":
        await store.add_familiar("ada", network)

    assert [await store.find_familiar("ada", network) for network in "abc"] == [True, False, True]


async def test_a_place_is_familiar_for_thirty_days() -> None:
    now = 0
    store = ProcessThrottleStore(microseconds=lambda: now)
    await store.add_familiar("ada", "192.0.2.1")

    now = FAMILIAR_SECONDS * SECOND - 1
    assert await store.find_familiar("ada", "192.0.2.1")
    now += 1
    assert not await store.find_familiar("ada", "192.0.2.1")
