import pytest
from prometheus_client import REGISTRY

from iotsphere.throttling.fallback import FallbackThrottleStore
from iotsphere.throttling.model import SECOND, Demand, Limit
from tests.fakes.throttling import CountingThrottleStore, Seconds

THREE = Limit("three", SECOND, 3)


class Bench:
    """A store that others share, and the process's own."""

    def __init__(self) -> None:
        self.clock = Seconds()
        self.shared = CountingThrottleStore(self.clock)
        self.store = FallbackThrottleStore(self.shared, CountingThrottleStore(self.clock))

    async def take(self, number: int) -> int:
        return sum([len((await self.store.take([Demand(THREE, "subject")])).granted) for _ in range(number)])


@pytest.fixture
def bench() -> Bench:
    return Bench()


def is_fallback_at_work() -> bool:
    return bool(REGISTRY.get_sample_value("iotsphere_throttle_fallback"))


async def test_while_the_shared_store_is_down_the_process_limits_by_itself(bench: Bench) -> None:
    assert await bench.take(2) == 2
    assert not is_fallback_at_work()

    bench.shared.is_down = True
    assert await bench.take(10) == 3
    assert is_fallback_at_work()

    bench.shared.is_down = False
    assert await bench.take(10) == 1
    assert not is_fallback_at_work()


async def test_what_was_taken_here_is_given_back_here(bench: Bench) -> None:
    bench.shared.is_down = True
    await bench.take(3)

    await bench.store.give_back([Demand(THREE, "subject")])

    assert await bench.take(3) == 1


async def test_the_owner_is_no_stranger_at_home_while_the_store_is_down(bench: Bench) -> None:
    await bench.store.add_familiar("ada", "192.0.2.1")
    assert await bench.store.find_familiar("ada", "192.0.2.1")

    bench.shared.is_down = True

    assert await bench.store.find_familiar("ada", "192.0.2.1")
    assert not await bench.store.find_familiar("ada", "192.0.2.2")
