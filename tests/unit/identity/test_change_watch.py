"""The watch on a feed whose every step the test decides."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

import pytest_asyncio
import structlog

from iotsphere.identity.change_watch import ChangeWatch
from iotsphere.identity.model import KeyHolder
from iotsphere.identity.ports import CatchUp
from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.lease import LeasedCache
from tests.factories.identity import build_key_holder


class FeedByHand:
    """Says that it has caught up as often as it is let; ``break_off`` is the end of a connection."""

    def __init__(self) -> None:
        self.tell: Callable[[UUID], None] | None = None
        self.is_up = True
        self._turns: asyncio.Queue[bool] = asyncio.Queue()
        self.asked = asyncio.Semaphore(0)
        self.refused = asyncio.Semaphore(0)

    @asynccontextmanager
    async def listen(self, tell: Callable[[UUID], None]) -> AsyncIterator[CatchUp]:
        if not self.is_up:
            self.refused.release()
            raise UnavailableError("registry", "It does not answer.")
        self.tell = tell
        yield self._catch_up

    async def _catch_up(self) -> None:
        self.asked.release()
        if not await self._turns.get():
            raise UnavailableError("registry", "It has gone away.")

    def let_catch_up(self) -> None:
        self._turns.put_nowait(True)

    def break_off(self) -> None:
        self._turns.put_nowait(False)


class Bench:
    def __init__(self) -> None:
        self.feed = FeedByHand()
        self.cache = LeasedCache[KeyHolder]()
        self.watch = ChangeWatch(caches=[self.cache], feed=self.feed)

    def remember(self) -> KeyHolder:
        holder = build_key_holder()
        self.cache.remember(holder.key_id, holder, generation=self.cache.generation)
        return holder

    async def catches_up(self) -> None:
        """Let it catch up, and wait until it asks the next time: by then it has taken in that it had."""
        self.feed.let_catch_up()
        await self.asks()

    async def asks(self) -> None:
        async with asyncio.timeout(5):
            await self.feed.asked.acquire()


@pytest_asyncio.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    task = asyncio.create_task(bench.watch.keep_watching())
    await bench.asks()
    yield bench
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_keys_are_recalled_once_it_has_caught_up(bench: Bench) -> None:
    holder = bench.remember()
    assert bench.cache.recall(holder.key_id) is None

    await bench.catches_up()

    assert bench.cache.recall(holder.key_id) == holder


async def test_a_key_of_which_there_is_word_is_forgotten(bench: Bench) -> None:
    holder = bench.remember()
    await bench.catches_up()
    assert bench.feed.tell is not None

    bench.feed.tell(holder.key_id)

    assert bench.cache.recall(holder.key_id) is None


async def test_a_lost_feed_silences_the_cache_at_once_and_empties_it(bench: Bench) -> None:
    holder = bench.remember()
    await bench.catches_up()

    bench.feed.break_off()
    await bench.asks()
    assert bench.cache.recall(holder.key_id) is None
    await bench.catches_up()

    assert bench.cache.recall(holder.key_id) is None
    newcomer = bench.remember()
    assert bench.cache.recall(newcomer.key_id) == newcomer


async def test_what_was_being_looked_up_when_the_feed_was_lost_is_not_remembered(bench: Bench) -> None:
    holder, generation = build_key_holder(), bench.cache.generation

    bench.feed.break_off()
    await bench.asks()
    bench.cache.remember(holder.key_id, holder, generation=generation)
    await bench.catches_up()

    assert bench.cache.recall(holder.key_id) is None


async def test_an_outage_is_reported_once_and_ends_by_itself(bench: Bench) -> None:
    with structlog.testing.capture_logs() as logs:
        bench.feed.is_up = False
        bench.feed.break_off()
        async with asyncio.timeout(5):
            for _ in range(2):
                await bench.feed.refused.acquire()
        bench.feed.is_up = True
        await bench.asks()

    assert [entry["event"] for entry in logs] == ["identity.changes.unheard"]
    await bench.catches_up()
    holder = bench.remember()
    assert bench.cache.recall(holder.key_id) == holder


async def test_the_cache_is_silent_when_nobody_watches_any_more() -> None:
    bench = Bench()
    task = asyncio.create_task(bench.watch.keep_watching())
    await bench.asks()
    await bench.catches_up()
    holder = bench.remember()

    task.cancel()
    await asyncio.wait([task])

    assert bench.cache.recall(holder.key_id) is None
