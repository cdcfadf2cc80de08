import asyncio
from collections.abc import Sequence

import pytest

from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.gathering import Gathering


class Store:
    """Takes a lot when it is let, and writes down what it took."""

    def __init__(self) -> None:
        self.lots: list[list[str]] = []
        self.is_down = False
        self.turn = asyncio.Semaphore(0)
        self.asked = asyncio.Semaphore(0)

    async def write(self, lot: Sequence[str]) -> None:
        self.asked.release()
        await self.turn.acquire()
        if self.is_down:
            raise UnavailableError("registry", "It does not answer.")
        if "poison" in lot:
            raise ValueError("Nobody can write this.")
        self.lots.append(list(lot))

    async def is_asked(self) -> None:
        async with asyncio.timeout(5):
            await self.asked.acquire()


@pytest.fixture
def store() -> Store:
    return Store()


async def test_who_comes_alone_is_answered_after_it_is_written(store: Store) -> None:
    gathering = Gathering(store.write)
    adding = asyncio.create_task(gathering.add("a"))
    await store.is_asked()
    assert not adding.done()

    store.turn.release()
    await adding

    assert store.lots == [["a"]]


async def test_those_who_come_while_one_is_written_go_together_and_keep_their_order(store: Store) -> None:
    gathering = Gathering(store.write)
    first = asyncio.create_task(gathering.add("a"))
    await store.is_asked()
    others = [asyncio.create_task(gathering.add(each)) for each in "bcd"]
    store.turn.release()
    await first
    await store.is_asked()
    assert not any(other.done() for other in others)

    store.turn.release()
    await asyncio.gather(*others)

    assert store.lots == [["a"], ["b", "c", "d"]]


async def test_a_lot_that_fails_fails_for_all_in_it_and_for_nobody_else(store: Store) -> None:
    gathering = Gathering(store.write)
    first = asyncio.create_task(gathering.add("a"))
    await store.is_asked()
    others = [asyncio.create_task(gathering.add(each)) for each in "bc"]
    store.turn.release()
    await first
    await store.is_asked()
    store.is_down = True
    late = asyncio.create_task(gathering.add("d"))
    store.turn.release()

    assert [type(each) for each in await asyncio.gather(*others, return_exceptions=True)] == [UnavailableError] * 2

    await store.is_asked()
    store.is_down = False
    store.turn.release()
    await late
    assert store.lots == [["a"], ["d"]]


async def test_what_is_refused_takes_no_other_along(store: Store) -> None:
    gathering = Gathering(store.write)
    first = asyncio.create_task(gathering.add("a"))
    await store.is_asked()
    others = [asyncio.create_task(gathering.add(each)) for each in ("b", "poison", "c")]
    for _ in range(5):
        store.turn.release()

    ends = await asyncio.gather(first, *others, return_exceptions=True)

    assert [type(end) for end in ends] == [type(None), type(None), ValueError, type(None)]
    assert sorted(store.lots) == [["a"], ["b"], ["c"]]


async def test_who_goes_away_takes_nothing_along(store: Store) -> None:
    gathering = Gathering(store.write)
    gone = asyncio.create_task(gathering.add("a"))
    await store.is_asked()
    also_gone, stays = (asyncio.create_task(gathering.add(each)) for each in "bc")
    await asyncio.sleep(0)
    for each in (gone, also_gone):
        each.cancel()
    store.turn.release()
    store.turn.release()

    await stays

    assert store.lots == [["a"], ["b", "c"]]


async def test_no_more_go_together_than_one_transaction_should_take(store: Store) -> None:
    gathering = Gathering(store.write, most=2)
    for _ in range(4):
        store.turn.release()

    await asyncio.gather(*(gathering.add(each) for each in "abcd"))

    assert all(len(lot) <= 2 for lot in store.lots)
    assert [each for lot in store.lots for each in lot] == list("abcd")
