"""Turns at trees: an organisation whose trees are busy keeps nobody else waiting, and who waits is served in turn."""

import asyncio
from uuid import uuid4

import pytest

from iotsphere.assets.errors import TreeBusyError
from iotsphere.assets.turns import Turns
from iotsphere.kernel.identifiers import OrganisationId

OURS, THEIRS = OrganisationId(uuid4()), OrganisationId(uuid4())


async def enter(turns: Turns, organisation_id: OrganisationId) -> None:
    async with turns.turn(organisation_id):
        pass


async def test_who_waits_too_long_is_told_when_to_come_again_and_others_do_not_wait() -> None:
    turns = Turns(TreeBusyError, places_of_one=2, longest_wait_seconds=0.01)

    async with turns.turn(OURS), turns.turn(OURS):
        with pytest.raises(TreeBusyError) as refused:
            await enter(turns, OURS)
        await enter(turns, THEIRS)

    assert refused.value.retry_after_seconds > 0
    await enter(turns, OURS)


async def test_who_waits_is_served_in_turn() -> None:
    turns = Turns(TreeBusyError, places_of_one=1)
    served: list[int] = []

    async def wait(number: int) -> None:
        async with turns.turn(OURS):
            served.append(number)

    async with turns.turn(OURS):
        waiting = [asyncio.create_task(wait(number)) for number in range(3)]
        await asyncio.sleep(0)
        assert served == []
    await asyncio.gather(*waiting)

    assert served == [0, 1, 2]


async def test_who_goes_away_while_waiting_takes_no_turn_along() -> None:
    turns = Turns(TreeBusyError, places_of_one=1)
    async with turns.turn(OURS):
        gone = asyncio.create_task(enter(turns, OURS))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)

    await enter(turns, OURS)


async def test_a_failure_during_a_turn_is_its_own_affair_and_ends_it() -> None:
    turns = Turns(TreeBusyError, places_of_one=1, longest_wait_seconds=0.01)

    with pytest.raises(TimeoutError, match="of the store"):
        async with turns.turn(OURS):
            raise TimeoutError("of the store")

    await enter(turns, OURS)
