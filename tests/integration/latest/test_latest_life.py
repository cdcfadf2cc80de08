"""Any course of writes, readings and losses, in two processes on a real Redis, shows what a model says."""

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from redis.asyncio import Redis

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.model import Reading, Selection
from tests.fakes.telemetry import InMemoryTelemetryUnitOfWork, TelemetryData
from tests.integration.latest.conftest import LatestPeer

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
peers, minutes, numbers = st.integers(0, 1), st.integers(0, 4), st.integers(0, 9)
values = st.dictionaries(st.sampled_from(["a", "b", "c"]), numbers, min_size=1)
batches = st.lists(st.tuples(minutes, values), min_size=1, max_size=3)


class OneAtATime(InMemoryTelemetryUnitOfWork):
    """Has the device's line for itself, as who writes in the real one."""

    def __init__(self, data: TelemetryData, lock: asyncio.Lock) -> None:
        super().__init__(data)
        self._lock = lock

    async def __aenter__(self) -> Self:
        await self._lock.acquire()
        return await super().__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await super().__aexit__(kind, error, traceback)
        self._lock.release()


class LifeOfLatestValues(RuleBasedStateMachine):
    """The telemetry database is the plain one in memory; Redis is a real one, and what is asked of it too."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.data = TelemetryData()
        self.device_id = DeviceId(uuid4())
        self.unit_of_work = partial(OneAtATime, self.data, asyncio.Lock())
        self.peers = [LatestPeer(self.url, self.unit_of_work, answer_seconds=5) for _ in range(2)]

    def run(self, what: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(what)

    @rule(peer=peers, batch=batches, replaces=st.booleans())
    def write(self, peer: int, batch: list[tuple[int, dict[str, int]]], *, replaces: bool) -> None:
        self.run(self.peers[peer].append(*self._readings(batch), replaces=replaces))

    @rule(batches=st.tuples(batches, batches), replaces=st.booleans())
    def write_at_once(self, batches: Any, *, replaces: bool) -> None:
        async def write() -> None:
            await asyncio.gather(
                *(
                    peer.append(*self._readings(batch), replaces=replaces)
                    for peer, batch in zip(self.peers, batches, strict=True)
                )
            )

        self.run(write())

    @rule(peer=peers, batch=batches)
    def write_in_vain(self, peer: int, batch: list[tuple[int, dict[str, int]]]) -> None:
        async def write() -> None:
            async with self.peers[peer].intake() as uow:
                await uow.points.append(self._readings(batch), replace=True)

        self.run(write())

    @rule(peer=peers, batch=batches)
    def write_and_end(self, peer: int, batch: list[tuple[int, dict[str, int]]]) -> None:
        """Mark and commit, and tell nobody any more."""

        async def write() -> None:
            await self.peers[peer].store.mark([self.device_id])
            async with self.unit_of_work() as uow:
                await uow.points.append(self._readings(batch), replace=True)
                await uow.commit()

        self.run(write())

    @rule(peer=peers, start=minutes, length=minutes, metric=st.sampled_from(["a", "b"]))
    def remove(self, peer: int, start: int, length: int, metric: str) -> None:
        begin = NOON + timedelta(minutes=start)
        selection = Selection(self.device_id, (metric,), begin, begin + timedelta(minutes=length))
        self.run(self.peers[peer].remove(selection))

    @rule()
    def write_unmarked(self) -> None:
        """Do what a process does that cannot reach Redis."""

        async def write() -> None:
            cut_off = LatestPeer("unix:///nowhere.sock", self.unit_of_work)
            await cut_off.append(*self._readings([(4, {"a": len(self.data.points) + 10})]), replaces=True)
            await cut_off.store.close()

        self.run(write())

    @rule()
    def lose(self) -> None:
        async def lose() -> None:
            async with Redis.from_url(self.url) as redis:
                await redis.delete(f"iotsphere:latest:{self.device_id}")

        self.run(lose())

    @rule(peer=peers, metrics=st.sampled_from([(), ("a",), ("c", "b", "unknown")]))
    def read(self, peer: int, metrics: tuple[str, ...]) -> None:
        shown = self.run(self.peers[peer].read(self.device_id, *metrics))

        async def find() -> dict[str, Any]:
            async with InMemoryTelemetryUnitOfWork(self.data) as uow:
                return {
                    point.metric: point.value for point in await uow.points.latest(self.device_id, metrics or None)
                }

        assert shown == self.run(find())

    def _readings(self, batch: list[tuple[int, dict[str, int]]]) -> list[Reading]:
        return [Reading(self.device_id, NOON + timedelta(minutes=minute), own) for minute, own in batch]

    def teardown(self) -> None:
        for peer in self.peers:
            self.run(peer.store.close())
        self.runner.close()


def test_what_is_shown_is_what_the_database_would_say(shadow_url: str) -> None:
    class Life(LifeOfLatestValues):
        url = shadow_url

    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
        ),
    )
