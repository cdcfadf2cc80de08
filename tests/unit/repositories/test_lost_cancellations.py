"""A cancellation that a driver has lost ends what asks Redis all the same."""

import asyncio

import pytest

from repositories.availability import StoreGate
from repositories.redis import RedisReach

ROUNDS = 100


async def ask_and_lose_a_cancellation() -> None:
    """Do as the driver does on Python 3.11 when it is cancelled in the moment in which it has its answer."""
    try:
        await asyncio.sleep(0.001)
    except asyncio.CancelledError:
        return


async def ask_again_and_again(reach: RedisReach) -> None:
    for _ in range(ROUNDS):
        async with reach.reach(seconds=1):
            await ask_and_lose_a_cancellation()


async def test_who_asks_again_and_again_within_a_time_out_hears_of_its_end() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await ask_again_and_again(RedisReach(StoreGate("shadow")))


async def test_a_task_that_is_cancelled_ends() -> None:
    task = asyncio.create_task(ask_again_and_again(RedisReach(StoreGate("shadow"))))
    await asyncio.sleep(0.005)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_store_that_was_too_slow_is_no_cancellation() -> None:
    reach = RedisReach(StoreGate("shadow"))

    async with reach.reach(seconds=0.01):
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            answer = "just in time"

    assert answer == "just in time"
