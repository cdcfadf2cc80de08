"""A shadow as it was is made again from the journal, on every engine, exactly as it was."""

from datetime import timedelta
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.shadow.errors import ShadowNotFoundError
from iotsphere.shadow.history import ShadowHistoryService
from iotsphere.shadow.model import Shadow, ShadowKey, ShadowPatch
from iotsphere.shadow.ports import JournalUnitOfWorkFactory
from tests.factories.journal import BEGIN, MOVES, STEP, make_history, reporting
from tests.fakes.journal import QuietRecovery
from tests.fakes.shadow import InMemoryChangeStream, InMemoryShadowStore


@pytest.fixture
def history(unit_of_work: JournalUnitOfWorkFactory) -> ShadowHistoryService:
    stream = InMemoryChangeStream(InMemoryShadowStore.begun())
    return ShadowHistoryService(unit_of_work=unit_of_work, stream=stream, recovery=QuietRecovery())


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=MOVES, before=st.integers(0, 40), name=st.sampled_from([None, "pump"]))
async def test_every_version_is_as_it_was_and_so_is_every_moment(
    unit_of_work: JournalUnitOfWorkFactory,
    history: ShadowHistoryService,
    moves: list[ShadowPatch | None],
    before: int,
    name: str | None,
) -> None:
    key = ShadowKey(DeviceId(uuid4()), name)
    # The moves come at all places between two versions that are kept whole.
    changes = make_history(key, [*[reporting({"count": number}) for number in range(before)], *moves])
    async with unit_of_work() as uow:
        await uow.journal.append(changes)
        await uow.commit()

    for change in changes[-len(moves) - 2 :]:
        moments = [change.at, change.at + STEP - timedelta(microseconds=1)]
        if change.shadow.is_deleted:
            with pytest.raises(ShadowNotFoundError, match=f"deleted with version {change.version}"):
                await history.get_version(key=key, version=change.version)
            with pytest.raises(ShadowNotFoundError):
                await history.get_at(key=key, at=moments[0])
            continue
        was = repr(change.shadow)
        assert repr(await history.get_version(key=key, version=change.version)) == was
        assert [repr(await history.get_at(key=key, at=at)) for at in moments] == [was, was]


async def test_before_everything_the_unnamed_shadow_was_empty_and_a_named_one_was_not_there(
    unit_of_work: JournalUnitOfWorkFactory, history: ShadowHistoryService, key: ShadowKey
) -> None:
    named = ShadowKey(key.device_id, "pump")
    async with unit_of_work() as uow:
        await uow.journal.append([*make_history(key, [reporting({})]), *make_history(named, [reporting({})])])
        await uow.commit()
    earlier = BEGIN - timedelta(microseconds=1)

    assert await history.get_at(key=key, at=earlier) == Shadow()
    assert await history.get_version(key=key, version=0) == Shadow()
    with pytest.raises(ShadowNotFoundError, match="at that time"):
        await history.get_at(key=named, at=earlier)
