"""What a process remembers until the journal has it, and when it cannot be sure to remember everything."""

from uuid import UUID

import pytest

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.shadow.acknowledged import DOUBT_SECONDS, AcknowledgedChanges
from iotsphere.shadow.model import Shadow, ShadowChange, ShadowKey
from tests.factories.shadow import build_change

KEY = ShadowKey(DeviceId(UUID(int=7)))
SIZE = 100


class Memory(AcknowledgedChanges):
    """Remembers at most three changes of one size, at a time that the test says."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(monotonic=lambda: self.now, most_bytes=3 * SIZE)

    def hear(self, *positions: int, generation: int = 1, size_bytes: int = SIZE) -> None:
        for position in positions:
            self.remember(change_at(position, generation=generation, size_bytes=size_bytes))

    def look(self, *, oldest: int | None, generation: int = 1) -> None:
        self.settle(self.mark(generation), generation=generation, oldest_waiting=oldest)

    @property
    def positions(self) -> list[int]:
        return [change.position for change in self.list_waiting()]


def change_at(position: int, *, generation: int = 1, size_bytes: int = SIZE) -> ShadowChange:
    return build_change(KEY, Shadow(position), generation=generation, position=position, size_bytes=size_bytes)


@pytest.fixture
def memory() -> Memory:
    return Memory()


def test_what_is_remembered_is_listed_in_the_order_in_which_it_was_made(memory: Memory) -> None:
    memory.hear(20, 10)
    memory.hear(5, generation=2)

    assert memory.positions == [10, 20, 5]
    assert memory.is_complete


@pytest.mark.parametrize(("oldest", "left"), [(None, []), (10, [10, 20]), (20, [20]), (21, [])])
def test_what_is_older_than_all_that_waits_is_forgotten(memory: Memory, oldest: int | None, left: list[int]) -> None:
    memory.hear(10, 20)

    memory.look(oldest=oldest)

    assert memory.positions == left


@pytest.mark.parametrize("oldest", [None, 40])
def test_what_was_acknowledged_while_the_store_was_asked_stays(memory: Memory, oldest: int | None) -> None:
    memory.hear(10)
    mark = memory.mark(1)
    memory.hear(30)

    memory.settle(mark, generation=1, oldest_waiting=oldest)

    assert memory.positions == [30]


def test_what_was_acknowledged_in_a_life_before_is_kept_until_it_was_handed_over(memory: Memory) -> None:
    memory.hear(10)
    memory.hear(20, generation=2)

    memory.look(oldest=None, generation=2)

    assert memory.positions == [10]
    assert memory.has_older_than(2)
    memory.forget([change_at(10)])
    assert not memory.has_older_than(2)


def test_the_last_position_is_known_after_it_was_forgotten_and_is_that_of_one_life(memory: Memory) -> None:
    memory.hear(10, 20)
    memory.look(oldest=None)

    assert (memory.last_position(1), memory.last_position(2)) == (20, 0)
    memory.hear(5, generation=2)
    assert (memory.last_position(1), memory.last_position(2)) == (0, 5)


def test_more_than_can_be_kept_lets_go_of_the_oldest_and_says_so_until_the_journal_is_past_it(
    memory: Memory,
) -> None:
    memory.hear(10, 20, 30, 40)

    assert memory.positions == [20, 30, 40]
    assert memory.last_position(1) == 40
    assert not memory.is_complete
    memory.look(oldest=10)
    assert not memory.is_complete
    memory.look(oldest=11)
    assert memory.is_complete


def test_answers_in_another_order_than_that_of_the_changes_let_go_of_no_more(memory: Memory) -> None:
    memory.hear(30, 10, 20, 40)

    assert memory.positions == [10, 20, 40]
    memory.look(oldest=30)
    assert not memory.is_complete
    memory.look(oldest=40)
    assert memory.positions == [40]
    assert memory.is_complete


def test_a_large_change_takes_the_room_of_many_small_ones(memory: Memory) -> None:
    memory.hear(10, 20, 30)
    memory.hear(40, size_bytes=3 * SIZE - 1)

    assert memory.positions == [40]


def test_what_was_handed_over_or_has_reached_the_journal_takes_no_room(memory: Memory) -> None:
    memory.hear(10, 20)
    memory.forget([change_at(10), change_at(10)])
    memory.look(oldest=None)

    memory.hear(30, 40, 50)

    assert memory.positions == [30, 40, 50]
    assert memory.is_complete


def test_what_was_let_go_of_is_not_made_up_for_by_handing_over_the_rest(memory: Memory) -> None:
    memory.hear(10, 20, 30, 40)

    memory.forget(memory.list_waiting())

    assert not memory.positions
    assert not memory.is_complete


def test_the_next_life_makes_up_for_what_was_let_go_of_in_the_one_before(memory: Memory) -> None:
    memory.hear(10, 20, 30, 40)

    memory.look(oldest=None, generation=2)

    assert memory.is_complete


def test_a_doubt_lasts_as_long_as_the_change_can_still_be_made(memory: Memory) -> None:
    memory.doubt()
    memory.now = DOUBT_SECONDS - 0.1
    memory.look(oldest=None)
    assert not memory.is_complete

    memory.now = DOUBT_SECONDS
    memory.look(oldest=None)
    assert memory.is_complete


def test_a_look_that_began_before_a_doubt_was_old_does_not_end_it(memory: Memory) -> None:
    memory.doubt()
    mark = memory.mark(1)
    memory.now = DOUBT_SECONDS

    memory.settle(mark, generation=1, oldest_waiting=None)

    assert not memory.is_complete


def test_a_doubt_stays_while_changes_wait_that_may_be_older_than_it(memory: Memory) -> None:
    memory.doubt()
    memory.now = DOUBT_SECONDS
    memory.look(oldest=50)
    assert not memory.is_complete

    memory.hear(60, 70)
    memory.look(oldest=60)
    assert not memory.is_complete
    memory.look(oldest=61)
    assert memory.is_complete


def test_a_new_doubt_begins_anew(memory: Memory) -> None:
    memory.doubt()
    memory.now = DOUBT_SECONDS
    memory.hear(60)
    memory.doubt()

    memory.look(oldest=None)
    memory.now = 2 * DOUBT_SECONDS
    memory.look(oldest=61)

    assert not memory.is_complete
