import asyncio
from collections.abc import Awaitable, Sequence

import pytest
from prometheus_client import REGISTRY

from iotsphere.kernel.actor import ActorKind
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.throttling.errors import RateLimitedError
from iotsphere.throttling.leases import LEASE_SECONDS, Leases
from iotsphere.throttling.model import SECOND, Demand, Limit, RequestLimits, Taking
from iotsphere.throttling.service import Throttle
from tests.factories.identity import build_actor
from tests.fakes.throttling import CountingThrottleStore, Seconds


class Bench:
    """A throttle with a clock that is set by hand."""

    def __init__(self, **limits: Limit | None) -> None:
        self.clock = Seconds()
        self.store = CountingThrottleStore(self.clock)
        self.throttle = self.another_process(**limits)

    def another_process(self, **limits: Limit | None) -> Throttle:
        return Throttle(store=self.store, limits=RequestLimits(**limits), monotonic=self.clock)


async def admitted(*requests: Awaitable[None]) -> int:
    results = await asyncio.gather(*requests, return_exceptions=True)
    assert all(result is None or isinstance(result, RateLimitedError) for result in results)
    return results.count(None)


def throttled(limit: str) -> float:
    return REGISTRY.get_sample_value("iotsphere_throttled_total", {"limit": limit}) or 0


async def test_no_more_is_admitted_than_the_limit_and_then_one_as_time_goes_by() -> None:
    bench, actor = Bench(user=Limit("user", SECOND // 2, 10)), build_actor()
    refused_before = throttled("user")

    assert await admitted(*(bench.throttle.admit(actor) for _ in range(50))) == 10
    assert throttled("user") == refused_before + 40
    with pytest.raises(RateLimitedError) as refusal:
        await bench.throttle.admit(actor)
    assert refusal.value.retry_after_seconds == pytest.approx(0.5)
    bench.clock.now += 1
    assert await admitted(*(bench.throttle.admit(actor) for _ in range(50))) == 2


async def test_of_a_large_limit_most_requests_ask_nobody() -> None:
    bench, actor = Bench(), build_actor()

    for _ in range(200):
        await bench.throttle.admit(actor)

    assert bench.store.asked == [("user", 200), ("organisation", 1000)]


async def test_requests_that_come_at_once_ask_once_for_all() -> None:
    bench, actor = Bench(organisation=None), build_actor()

    assert await admitted(*(bench.throttle.admit(actor) for _ in range(150))) == 150

    assert bench.store.asked == [("user", 200)]


async def test_of_a_small_limit_all_that_wait_ask_together() -> None:
    bench, actor = Bench(user=Limit("user", SECOND, 30), organisation=None), build_actor()

    assert await admitted(*(bench.throttle.admit(actor) for _ in range(50))) == 30

    assert sum(wanted for _, wanted in bench.store.asked) < 200
    assert len(bench.store.asked) <= 3


async def test_what_is_in_hand_lapses() -> None:
    bench, actor = Bench(organisation=None), build_actor()
    await bench.throttle.admit(actor)

    bench.clock.now += LEASE_SECONDS
    await bench.throttle.admit(actor)

    assert bench.store.asked == [("user", 200), ("user", 200)]


async def test_who_is_refused_asks_again_only_when_there_is_room() -> None:
    bench, actor = Bench(user=Limit("user", SECOND, 1), organisation=None), build_actor()
    assert await admitted(*(bench.throttle.admit(actor) for _ in range(5))) == 1
    asked = len(bench.store.asked)

    assert await admitted(*(bench.throttle.admit(actor) for _ in range(100))) == 0

    assert len(bench.store.asked) == asked
    bench.clock.now += 1
    assert await admitted(bench.throttle.admit(actor)) == 1


async def test_processes_share_a_limit() -> None:
    bench, actor = Bench(user=Limit("user", SECOND, 500)), build_actor()
    processes = [bench.another_process(user=Limit("user", SECOND, 500)) for _ in range(4)]

    numbers = [await admitted(*(process.admit(actor) for _ in range(200))) for process in processes]

    # What one has in hand of a block, and the others have not: never more than the limit, and hardly less.
    assert 500 - 4 * 5 <= sum(numbers) <= 500


async def test_each_subject_has_an_allowance_of_its_own() -> None:
    bench = Bench(user=Limit("user", SECOND, 1), key=Limit("key", SECOND, 1), organisation=None)
    users = [build_actor() for _ in range(3)]
    integrations = [build_actor(kind=ActorKind.INTEGRATION) for _ in range(3)]

    assert await admitted(*(bench.throttle.admit(actor) for actor in (users + integrations) * 2)) == 6


async def test_all_keys_of_a_device_count_together() -> None:
    bench = Bench(key=Limit("key", SECOND, 2))
    device = build_actor(kind=ActorKind.DEVICE, device_id=DeviceId(build_actor().id))
    keys = [
        build_actor(kind=ActorKind.DEVICE, device_id=device.device_id, organisation_id=device.organisation_id)
        for _ in range(4)
    ]

    assert await admitted(*(bench.throttle.admit(key) for key in keys)) == 2


async def test_an_organisation_has_one_allowance_and_what_it_refuses_costs_its_user_nothing() -> None:
    bench = Bench(user=Limit("user", 100 * SECOND, 3), organisation=Limit("organisation", SECOND, 2))
    ada = build_actor()
    bob = build_actor(organisation_id=ada.organisation_id)

    assert await admitted(*(bench.throttle.admit(actor) for actor in (ada, bob, ada, ada, ada))) == 2
    bench.clock.now += 1
    assert await admitted(bench.throttle.admit(ada)) == 1
    bench.clock.now += 1
    assert await admitted(bench.throttle.admit(ada)) == 1
    bench.clock.now += 1
    with pytest.raises(RateLimitedError, match="this user"):
        await bench.throttle.admit(ada)


async def test_a_stranger_is_known_by_the_address() -> None:
    bench = Bench(address=Limit("address", SECOND, 2))
    addresses = ["192.0.2.1"] * 3 + ["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::1"]

    assert await admitted(*(bench.throttle.admit_stranger(address) for address in addresses)) == 2 + 2 + 1


async def test_what_is_off_limits_nobody_and_asks_nothing() -> None:
    bench = Bench(user=None, key=None, organisation=None, address=None)
    requests = [bench.throttle.admit(build_actor()), bench.throttle.admit_stranger("192.0.2.1")]

    assert await admitted(*requests) == 2
    assert bench.store.asked == []


async def test_of_too_many_leases_the_oldest_is_forgotten_and_its_limit_kept() -> None:
    clock = Seconds()
    leases = Leases(CountingThrottleStore(clock), monotonic=clock, most_leases=2)
    limit = Limit("user", SECOND, 1)

    first = [await leases.spend(leases.of(limit, subject)) for subject in "abc"]
    again = [await leases.spend(leases.of(limit, subject)) for subject in "abc"]

    assert (first, again) == ([0, 0, 0], [1, 1, 1])


class HeldThrottleStore(CountingThrottleStore):
    """Answers when it is told to."""

    def __init__(self, clock: Seconds) -> None:
        super().__init__(clock)
        self.may_answer = asyncio.Event()

    async def take(self, demands: Sequence[Demand]) -> Taking:
        await self.may_answer.wait()
        return await super().take(demands)


async def test_a_request_that_goes_away_while_it_asks_leaves_nobody_waiting() -> None:
    store = HeldThrottleStore(Seconds())
    throttle = Throttle(store=store, limits=RequestLimits(organisation=None), monotonic=Seconds())
    actor = build_actor()
    requests = [asyncio.ensure_future(throttle.admit(actor)) for _ in range(3)]
    await asyncio.sleep(0)

    requests[0].cancel()
    await asyncio.gather(requests[0], return_exceptions=True)
    store.may_answer.set()

    assert await asyncio.wait_for(admitted(*requests[1:]), 5) == 2
