"""Places for queries: nobody has more than a part of them, and who waits is served in turn, or told to come again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from iotsphere.kernel.identifiers import OrganisationId
from iotsphere.telemetry.errors import QueryBusyError
from iotsphere.telemetry.query_room import QueryRoom

OURS, THEIRS = OrganisationId(uuid4()), OrganisationId(uuid4())


class Crowd:
    """Queries that last until they are told to end."""

    def __init__(self, room: QueryRoom) -> None:
        self._room = room
        self.inside: list[str] = []
        self._ends: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def ask(self, name: str, organisation_id: OrganisationId | None) -> None:
        self._ends[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._stay(name, organisation_id))
        await settled()

    async def _stay(self, name: str, organisation_id: OrganisationId | None) -> None:
        async with self._room.place(organisation_id):
            self.inside.append(name)
            await self._ends[name].wait()
            self.inside.remove(name)

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await settled()


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@asynccontextmanager
async def crowd_in(room: QueryRoom) -> AsyncIterator[Crowd]:
    crowd = Crowd(room)
    try:
        yield crowd
    finally:
        for task in crowd.tasks.values():
            task.cancel()
        await asyncio.gather(*crowd.tasks.values(), return_exceptions=True)


async def test_an_organisation_that_asks_for_much_leaves_places_to_others() -> None:
    async with crowd_in(QueryRoom(places=3, places_of_one=2)) as crowd:
        for number in range(5):
            await crowd.ask(f"ours {number}", OURS)
        assert crowd.inside == ["ours 0", "ours 1"]

        await crowd.ask("theirs", THEIRS)

        assert crowd.inside == ["ours 0", "ours 1", "theirs"]


async def test_who_waits_is_served_in_turn() -> None:
    async with crowd_in(QueryRoom(places=2, places_of_one=2)) as crowd:
        for number in range(4):
            await crowd.ask(f"ours {number}", OURS)
        await crowd.ask("theirs", THEIRS)

        for name in ("ours 0", "ours 1"):
            await crowd.end(name)

        # Behind those who were inside, whoever else came first: no more of ours stood in line than may be inside.
        assert crowd.inside == ["theirs", "ours 2"]


async def test_queries_of_nobodys_organisation_share_their_places() -> None:
    async with crowd_in(QueryRoom(places=3, places_of_one=1)) as crowd:
        await crowd.ask("one", None)
        await crowd.ask("another", None)

        assert crowd.inside == ["one"]


async def test_who_waits_too_long_is_told_when_to_come_again_and_holds_nothing() -> None:
    room = QueryRoom(places=1, places_of_one=1, longest_wait_seconds=0.01)
    async with room.place(OURS):
        for asking in (OURS, THEIRS):
            with pytest.raises(QueryBusyError) as refused:
                await enter(room, asking)
            assert refused.value.retry_after_seconds > 0

    for asking in (OURS, THEIRS):
        await enter(room, asking)


async def test_who_goes_away_while_waiting_takes_no_place_along() -> None:
    room = QueryRoom(places=1, places_of_one=1)
    async with crowd_in(room) as crowd:
        await crowd.ask("first", OURS)
        for name, organisation_id in (("ours", OURS), ("theirs", THEIRS)):
            await crowd.ask(name, organisation_id)
            crowd.tasks[name].cancel()
            await settled()
        await crowd.end("first")

        for asking in (OURS, THEIRS):
            await enter(room, asking)


async def test_the_time_that_a_query_takes_is_its_own_affair() -> None:
    room = QueryRoom(longest_wait_seconds=0.01)

    async def last() -> None:
        async with room.place(OURS):
            await asyncio.sleep(0.03)
            raise TimeoutError("of the query itself")

    await fails_with(last, TimeoutError)


async def enter(room: QueryRoom, organisation_id: OrganisationId) -> None:
    async with room.place(organisation_id):
        pass


async def fails_with(ask: Callable[[], Awaitable[None]], error: type[Exception]) -> None:
    with pytest.raises(error, match="of the query itself"):
        await ask()
