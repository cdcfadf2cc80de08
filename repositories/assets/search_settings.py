"""What the server is told of connections to the asset database, and of those of searches beside."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.assets.errors import SearchTooCostlyError
from repositories.assets.search_narrowing import Narrowing
from repositories.sql import COMMAND_SECONDS

SECONDS = COMMAND_SECONDS * 0.9
"""How long a search may take, with all of its statements."""
SEARCH_SETTINGS = {
    "statement_timeout": f"{SECONDS * 1000:.0f}ms",
    # What is common in one organisation is rare in the next one, so a plan is made for each question.
    "plan_cache_mode": "force_custom_plan",
    # Two of a machine's processors are not for one request.
    "max_parallel_workers_per_gather": "0",
}
"""What the server is told when a connection to the asset database is opened."""
SET = sa.text("""
SELECT set_config('statement_timeout', :milliseconds, :is_local), set_config('enable_seqscan', 'off', :is_local),
       set_config('enable_indexscan', :indexscan, :is_local),
       set_config('enable_indexonlyscan', :indexscan, :is_local), set_config('enable_sort', :sort, :is_local),
       set_config('plan_cache_mode', :plans, :is_local)
""")
# Where it stands what a connection was told last.
TOLD = "search_settings"
# A statement that begins so early may take as long as if it were the first.
EARLY = 0.95

KEPT, EACH_TIME = "force_generic_plan", "force_custom_plan"
FULL = f"{SECONDS * 1000:.0f}"
Settings = dict[str, Any]


class SearchSettings:
    """Says how long a statement may take, and of which plans the planner is not to think.

    A plan that goes through a table is none. By which way a search goes is settled before, and to plan that anew
    takes longer than many a search, so plans are kept. What a connection was told already is not said again.

    :param remaining_seconds: tells how long the search may still take.
    """

    def __init__(
        self, connection: AsyncConnection, remaining_seconds: Callable[[], float], *, is_local: bool
    ) -> None:
        self._connection = connection
        self._remaining_seconds = remaining_seconds
        # In a transaction it is told what goes with it.
        self._is_local = is_local
        told: Settings = connection.info.setdefault(TOLD, {"milliseconds": FULL})
        self._told = dict(told) if is_local else told

    async def begin(self) -> None:
        """Have all the time there is, of which the search before may have left little."""
        if self._told.get("milliseconds") != FULL:
            await self._tell(milliseconds=FULL, indexscan="on", sort="on", plans=EACH_TIME)

    async def for_walk(self) -> None:
        """None begins with a sort of all that an organisation has.

        :raises SearchTooCostlyError: there is no time left.
        """
        await self._plan(indexscan="on", sort="off", plans=KEPT)

    async def for_candidates(self, way: Narrowing) -> None:
        """What has to come from a bitmap does so.

        Else the planner would take what it believes to be so common that enough of it is found soon on another way.

        :raises SearchTooCostlyError: there is no time left.
        """
        plans = EACH_TIME if way.is_contested else KEPT
        await self._plan(indexscan="off" if way.is_bitmap else "on", sort="on", plans=plans)

    async def _plan(self, **settings: str) -> None:
        remaining = self._remaining_seconds()
        if remaining <= 0:
            raise SearchTooCostlyError
        is_early = remaining >= SECONDS * EARLY
        await self._tell(milliseconds=FULL if is_early else f"{max(1, remaining * 1000):.0f}", **settings)

    async def _tell(self, **settings: str) -> None:
        if self._told != settings:
            # Nobody knows what holds if this should fail.
            self._told.clear()
            await self._connection.execute(SET, settings | {"is_local": self._is_local})
            self._told.update(settings)
