from dataclasses import replace
from uuid import UUID

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.shadow.acknowledged import AcknowledgedChanges
from iotsphere.shadow.model import Shadow, ShadowChange, ShadowKey
from tests.factories.shadow import build_change

KEY = ShadowKey(DeviceId(UUID(int=1)))


def change_at(position: int) -> ShadowChange:
    return replace(build_change(KEY, Shadow(position)), generation=1, position=position)


def test_no_more_is_remembered_than_there_is_room_for_and_that_is_told() -> None:
    changes = AcknowledgedChanges(most_changes=3)

    for position in range(1, 6):
        changes.remember(change_at(position))

    assert [change.position for change in changes.list_waiting()] == [3, 4, 5]
    assert changes.last_position(1) == 5
    assert not changes.is_complete


def test_it_is_complete_again_when_the_journal_has_all_that_was_let_go() -> None:
    changes = AcknowledgedChanges(most_changes=2)
    # Answers may come in another order than that of the changes.
    for position in (3, 1, 2, 4):
        changes.remember(change_at(position))

    completeness = []
    for oldest in (3, 4):
        changes.settle(changes.mark(1), generation=1, oldest_waiting=oldest)
        completeness.append(changes.is_complete)

    assert completeness == [False, True]
    assert [change.position for change in changes.list_waiting()] == [4]
