"""Who is next, and who finds room, checked on senders of any greed."""

import itertools
from collections import Counter
from typing import TypeVar

from hypothesis import given
from hypothesis import strategies as st

from iotsphere.telemetry.turns import FairQueue, Sender, WaitingRoom

T = TypeVar("T")
ONE, TWO, ELSEWHERE = Sender("a", 1), Sender("a", 2), Sender("b", 3)
SENDERS = st.sampled_from([ONE, TWO, ELSEWHERE])


def taken(queue: FairQueue[T], count: int) -> Counter[T]:
    return Counter(found[1] for _ in range(count) if (found := queue.pop()) is not None)


def test_what_is_put_in_comes_out_once_and_that_of_a_sender_in_its_order() -> None:
    queue: FairQueue[int] = FairQueue()
    for number in range(10):
        queue.put(ONE if number % 3 else TWO, 1, number)

    found = [*taken(queue, 10)]

    assert [number for number in found if number % 3] == [1, 2, 4, 5, 7, 8]
    assert sorted(found) == list(range(10))
    assert queue.pop() is None
    assert not queue


def test_senders_share_by_size_and_not_by_number() -> None:
    queue: FairQueue[Sender] = FairQueue()
    for _ in range(1_000):
        queue.put(ONE, 10, ONE)
        queue.put(TWO, 1, TWO)

    found = taken(queue, 1_000)

    assert 9 < found[TWO] / found[ONE] < 11


def test_organisations_share_evenly_whatever_the_number_of_their_devices() -> None:
    queue: FairQueue[str] = FairQueue()
    for number in range(100):
        for device in range(20):
            queue.put(Sender("a", device), 1, "a")
        for _ in range(10):
            queue.put(Sender("b", number % 2), 1, "b")

    found = taken(queue, 1_000)

    assert abs(found["a"] - found["b"]) < 50


def test_who_comes_again_each_time_is_not_ahead_of_who_waits() -> None:
    queue: FairQueue[Sender] = FairQueue()
    for _ in range(100):
        queue.put(ONE, 1, ONE)
    found: Counter[Sender] = Counter()
    for _ in range(100):
        queue.put(ELSEWHERE, 1, ELSEWHERE)
        found += taken(queue, 1)

    assert 45 <= found[ONE] <= 55


def test_what_has_no_room_stays_next() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.put(ONE, 5, "large")
    queue.put(TWO, 1, "small")

    assert queue.pop(4) is None
    assert [queue.pop(5), queue.pop(5)] == [(5, "large"), (1, "small")]


def test_it_forgets_who_has_nothing_waiting() -> None:
    queue: FairQueue[int] = FairQueue()
    queue.put(ELSEWHERE, 1, 0)
    for device in range(10_000):
        # Never empty, as under load.
        queue.put(Sender("a", device), 1, device)
        queue.pop()

    inner = queue._lanes["a"]
    assert isinstance(inner, FairQueue)
    assert len(inner._lanes) < 100


def test_who_waits_is_not_overtaken_by_no_end_of_others_who_come_new() -> None:
    queue: FairQueue[int] = FairQueue()
    for _ in range(10):
        queue.put(Sender("a", -1), 1, -1)
    for device in range(1_000):
        queue.put(Sender("a", device), 1, device)
        queue.put(Sender(device, 1), 1, device)
    for device in range(1_000, 2_000):
        queue.put(Sender("a", device), 1, device)
        taken(queue, 1)
    assert taken(queue, 4_000)[-1] < 10


@given(asked=st.lists(st.tuples(SENDERS, st.integers(0, 40)), max_size=200))
def test_however_greedy_some_are_whoever_comes_new_finds_room(asked: list[tuple[Sender, int]]) -> None:
    room = WaitingRoom(1_000)
    held: Counter[Sender] = Counter()
    for sender, size in asked:
        if room.enter(sender, size):
            held[sender] += size

    assert held.total() <= 1_000
    assert room.enter(Sender("c", 4), 1)
    for sender, size in held.items():
        room.leave(sender, size)
    assert room.enter(ONE, 500)


def test_one_device_ends_at_a_half_and_one_organisation_at_two_thirds() -> None:
    room = WaitingRoom(1_000)
    assert sum(itertools.takewhile(bool, (room.enter(ONE, 1) for _ in range(1_000)))) in range(498, 503)

    crowded = WaitingRoom(1_000)
    entered = sum(crowded.enter(Sender("a", device), 1) for _ in range(100) for device in range(100))
    assert 650 < entered < 670
    assert sum(crowded.enter(ELSEWHERE, 1) for _ in range(1_000)) > 150
