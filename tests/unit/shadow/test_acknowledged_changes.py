from uuid import UUID

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.shadow.acknowledged import AcknowledgedChanges
from iotsphere.shadow.model import Shadow, ShadowChange, ShadowKey
from tests.factories.shadow import build_change

KEY = ShadowKey(DeviceId(UUID(int=1)))


def change_at(position: int, size_bytes: int = 100) -> ShadowChange:
    return build_change(KEY, Shadow(position), generation=1, position=position, size_bytes=size_bytes)


def test_no_more_is_remembered_than_there_is_room_for_and_that_is_told() -> None:
    changes = AcknowledgedChanges(most_bytes=300)

    for position in range(1, 6):
        changes.remember(change_at(position))

    assert [change.position for change in changes.list_waiting()] == [3, 4, 5]
    assert changes.last_position(1) == 5
    assert not changes.is_complete


def test_it_is_complete_again_when_the_journal_has_all_that_was_let_go() -> None:
    changes = AcknowledgedChanges(most_bytes=200)
    # Answers may come in another order than that of the changes.
    for position in (3, 1, 2, 4):
        changes.remember(change_at(position))

    completeness = []
    for oldest in (3, 4):
        changes.settle(changes.mark(1), generation=1, oldest_waiting=oldest)
        completeness.append(changes.is_complete)

    assert completeness == [False, True]
    assert [change.position for change in changes.list_waiting()] == [4]


def test_a_large_change_takes_the_room_of_many_small_ones() -> None:
    changes = AcknowledgedChanges(most_bytes=300)
    for position, size in enumerate((100, 100, 100, 250), 1):
        changes.remember(change_at(position, size))

    assert [change.position for change in changes.list_waiting()] == [4]


def test_what_was_handed_over_or_has_reached_the_journal_takes_no_room() -> None:
    changes = AcknowledgedChanges(most_bytes=300)
    first, second, *more = [change_at(position) for position in range(1, 6)]
    changes.remember(first)
    changes.remember(second)
    changes.forget([first, first])
    changes.settle(changes.mark(1), generation=1, oldest_waiting=None)
    for change in more:
        changes.remember(change)

    assert changes.list_waiting() == more
    assert changes.is_complete
