import pytest

from iotsphere.kernel.errors import UnavailableError
from repositories.availability import CLOSED_SECONDS, FULL_SECONDS, StoreGate


class Bench:
    """A gate with a clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.gate = StoreGate("registry", monotonic=lambda: self.now)

    def is_open(self) -> bool:
        try:
            self.gate.enter()
        except UnavailableError:
            return False
        return True

    def fail(self) -> None:
        assert isinstance(self.gate.failed(), UnavailableError)

    def wait_until_it_may_be_tried(self) -> None:
        self.now += CLOSED_SECONDS


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_an_open_gate_lets_everybody_in(bench: Bench) -> None:
    assert all(bench.is_open() for _ in range(10))


def test_an_outage_closes_the_gate_at_once(bench: Bench) -> None:
    bench.fail()

    assert not bench.is_open()
    bench.now += CLOSED_SECONDS - 0.001
    assert not bench.is_open()


def test_after_a_moment_one_is_let_through_to_try(bench: Bench) -> None:
    bench.fail()
    bench.wait_until_it_may_be_tried()

    assert [bench.is_open() for _ in range(5)] == [True, False, False, False, False]


def test_a_trial_that_succeeds_opens_the_gate_for_everybody(bench: Bench) -> None:
    bench.fail()
    bench.wait_until_it_may_be_tried()
    assert bench.is_open()

    bench.gate.succeeded()

    assert all(bench.is_open() for _ in range(10))


def test_a_trial_that_fails_closes_the_gate_for_another_moment(bench: Bench) -> None:
    bench.fail()
    bench.wait_until_it_may_be_tried()
    assert bench.is_open()

    bench.fail()

    assert not bench.is_open()
    bench.wait_until_it_may_be_tried()
    assert [bench.is_open() for _ in range(2)] == [True, False]


def test_a_trial_that_never_reports_back_does_not_close_the_gate_for_ever(bench: Bench) -> None:
    bench.fail()
    bench.wait_until_it_may_be_tried()
    assert bench.is_open()

    bench.now += 5 * CLOSED_SECONDS

    assert [bench.is_open() for _ in range(2)] == [True, False]


def test_a_request_from_before_the_outage_that_ends_well_opens_the_gate(bench: Bench) -> None:
    bench.fail()

    bench.gate.succeeded()

    assert bench.is_open()


def test_a_long_outage_is_one_trial_a_moment(bench: Bench) -> None:
    trials = 0
    for _ in range(100):
        for _ in range(20):
            if bench.is_open():
                trials += 1
                bench.fail()
        bench.now += CLOSED_SECONDS / 10

    assert trials == 1 + 9


def test_the_refusal_names_the_store_and_what_to_do(bench: Bench) -> None:
    assert bench.gate.failed("Run it.").detail == "The registry store does not answer. Run it."
    with pytest.raises(UnavailableError) as refusal:
        bench.gate.enter()

    assert (refusal.value.store, refusal.value.code) == ("registry", "registry.store.unavailable")
    assert refusal.value.detail == "The registry store does not answer. Try again shortly."


def test_a_store_without_room_is_used_on_and_that_is_told_for_a_while(bench: Bench) -> None:
    assert bench.gate.find_remark() is None

    assert "no room left" in bench.gate.full().detail

    assert bench.is_open()
    bench.now += FULL_SECONDS - 1
    assert "no room left" in (bench.gate.find_remark() or "")
    bench.now += 1
    assert bench.gate.find_remark() is None
