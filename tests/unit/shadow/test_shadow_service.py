import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from iotsphere.kernel.actor import Actor, ActorKind, Role
from iotsphere.kernel.errors import PreconditionFailedError, RuleViolationError
from iotsphere.kernel.identifiers import DeviceId, OrganisationId
from iotsphere.shadow import service as module
from iotsphere.shadow.errors import (
    DesiredStateForbiddenError,
    RefusalForbiddenError,
    ShadowBusyError,
    ShadowChangeUnconfirmedError,
    ShadowDeletionForbiddenError,
    ShadowNotFoundError,
    ShadowsRebuildingError,
    ShadowTooLargeError,
    ShadowVersionConflictError,
    StoreUnverifiedError,
)
from iotsphere.shadow.model import (
    DesiredRefusal,
    NamedShadow,
    RequestState,
    Settlement,
    Shadow,
    ShadowChange,
    ShadowDocument,
    ShadowHead,
    ShadowKey,
    ShadowPatch,
    Violation,
)
from iotsphere.shadow.service import DeviceShadowService
from iotsphere.shadow.written import MAX_BYTES, WrittenShadows
from tests.factories.shadow import attempt_of, build_change
from tests.fakes.shadow import InMemoryShadowRepository, InMemoryShadowStoreKeeper
from tests.fakes.shadow_process import ShadowProcess

ORGANISATION = OrganisationId(UUID(int=1))
DEVICE = DeviceId(UUID(int=2))
UNNAMED = ShadowKey(DEVICE)
NAMED = ShadowKey(DEVICE, "firmware")
OPERATOR = Actor(ActorKind.USER, UUID(int=3), ORGANISATION, role=Role.OPERATOR)
THE_DEVICE = Actor(ActorKind.DEVICE, UUID(int=4), ORGANISATION, device_id=DEVICE)
START = datetime(2026, 11, 20, 17, 23, tzinfo=UTC)
START_SECONDS = int(START.timestamp())
BOTH = pytest.mark.parametrize("key", [UNNAMED, NAMED], ids=["unnamed", "named"])


class CountingRepository(InMemoryShadowRepository):
    """A store that counts how often it is read."""

    reads = 0

    async def find(self, key: ShadowKey) -> Shadow | None:
        self.reads += 1
        return await super().find(key)


class Bench:
    """One process over shadows in memory, or another one beside it, at a time that the test decides."""

    def __init__(self, beside: "Bench | None" = None) -> None:
        self.now = START
        self.process: ShadowProcess = ShadowProcess(lambda: self.now, beside=beside.process if beside else None)
        self.shadows = self.process.shadows
        self.service = self.process.service

    def use(self, shadows: InMemoryShadowRepository) -> None:
        """Put another store in the place of the one that is there."""
        self.shadows = shadows
        self.service = DeviceShadowService(
            shadows=shadows,
            recovery=self.process.recovery,
            rules=self.process.rules,
            journal=self.process.journal,
            unit_of_work=self.process.unit_of_work,
            clock=lambda: self.now,
        )

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    async def patch(self, key: ShadowKey, state: Any, *, actor: Actor = OPERATOR, **given: Any) -> ShadowChange:
        expected = given.pop("expected_version", None)
        patch = ShadowPatch(state, **given)
        return await self.service.update_shadow(
            attempt=attempt_of(actor), key=key, patch=patch, expected_version=expected
        )

    async def get(self, key: ShadowKey) -> ShadowDocument:
        return await self.service.get_shadow(key=key)

    async def delete(self, key: ShadowKey, **given: Any) -> ShadowChange:
        return await self.service.delete_shadow(attempt=attempt_of(OPERATOR), key=key, **given)


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_an_unwritten_unnamed_shadow_is_empty_at_version_0_and_takes_no_room(bench: Bench) -> None:
    shadow = await bench.get(UNNAMED)

    assert shadow == ShadowDocument({}, {}, 0, {"desired": 0, "reported": 0}, START_SECONDS)
    assert bench.shadows.stored == {}


async def test_a_named_shadow_is_not_there_before_it_is_written(bench: Bench) -> None:
    with pytest.raises(ShadowNotFoundError):
        await bench.get(NAMED)


@pytest.mark.parametrize("name", ["", "x" * 65, "a b", "a/b", "é", "a\n", "\u0660"])
def test_no_shadow_has_a_name_outside_the_alphabet(name: str) -> None:
    with pytest.raises(RuleViolationError) as refused:
        ShadowKey(DEVICE, name)
    assert list(refused.value.errors) == ["name"]


@BOTH
async def test_a_change_answers_what_was_sent_its_metadata_and_the_new_version(bench: Bench, key: ShadowKey) -> None:
    await bench.patch(key, {"desired": {"mode": "eco"}})
    bench.wait(60)

    change = await bench.patch(key, {"desired": {"target": 55, "old": None}}, client_token="t-1")

    at = START_SECONDS + 60
    metadata = {"desired": {"target": {"timestamp": at}}}
    assert change.patch == ShadowPatch({"desired": {"target": 55, "old": None}}, client_token="t-1")
    assert (change.metadata, change.version, change.timestamp) == (metadata, 2, at)
    assert (change.actor, change.correlation_id) == (OPERATOR.name, "request-1")


@BOTH
async def test_a_shadow_shows_both_sections_the_delta_and_when_each_leaf_was_set(
    bench: Bench, key: ShadowKey
) -> None:
    await bench.patch(key, {"desired": {"mode": "eco", "target": 55}})
    bench.wait(10)
    await bench.patch(key, {"reported": {"mode": "eco", "target": 54, "rssi": -60}}, actor=THE_DEVICE)
    bench.wait(10)

    first, second = {"timestamp": START_SECONDS}, {"timestamp": START_SECONDS + 10}
    assert await bench.get(key) == ShadowDocument(
        state={
            "desired": {"mode": "eco", "target": 55},
            "reported": {"mode": "eco", "target": 54, "rssi": -60},
            "delta": {"target": 55},
        },
        metadata={
            "desired": {"mode": first, "target": first},
            "reported": {"mode": second, "target": second, "rssi": second},
        },
        version=2,
        versions={"desired": 1, "reported": 1},
        timestamp=START_SECONDS + 20,
    )


async def test_setting_a_leaf_to_the_value_it_has_renews_its_time_and_no_other(bench: Bench) -> None:
    await bench.patch(UNNAMED, {"reported": {"a": 1, "b": 2}})
    bench.wait(5)
    await bench.patch(UNNAMED, {"reported": {"a": 1}})

    metadata = (await bench.get(UNNAMED)).metadata
    assert metadata == {"reported": {"a": {"timestamp": START_SECONDS + 5}, "b": {"timestamp": START_SECONDS}}}


@pytest.mark.parametrize(
    ("patch", "state", "versions"),
    [
        ({"desired": None}, {"reported": {"b": 2}}, {"desired": 2, "reported": 1}),
        (None, {}, {"desired": 2, "reported": 2}),
        ({"desired": {"a": None}}, {"reported": {"b": 2}}, {"desired": 2, "reported": 1}),
        ({}, {"desired": {"a": 1}, "reported": {"b": 2}, "delta": {"a": 1}}, {"desired": 1, "reported": 1}),
        (
            {"reported": {}},
            {"desired": {"a": 1}, "reported": {"b": 2}, "delta": {"a": 1}},
            {"desired": 1, "reported": 2},
        ),
    ],
)
async def test_every_accepted_patch_adds_1_to_the_version_also_one_that_clears_or_changes_nothing(
    bench: Bench, patch: Any, state: Any, versions: Any
) -> None:
    await bench.patch(UNNAMED, {"desired": {"a": 1}, "reported": {"b": 2}})

    change = await bench.patch(UNNAMED, patch)

    shadow = await bench.get(UNNAMED)
    assert (change.version, change.patch and change.patch.state) == (2, patch)
    assert (shadow.version, shadow.state, shadow.versions) == (2, state, versions)
    assert shadow.metadata.keys() == state.keys() - {"delta"}


async def test_an_object_of_nothing_but_nulls_leaves_no_section_behind(bench: Bench) -> None:
    await bench.patch(UNNAMED, {"desired": {"a": {"b": None}}})

    shadow = await bench.get(UNNAMED)
    assert (shadow.version, shadow.state, shadow.metadata) == (1, {}, {})


@pytest.mark.parametrize("version", [0, 1, 3, -1, 10**30])
@BOTH
async def test_a_patch_for_another_version_changes_nothing(bench: Bench, key: ShadowKey, version: int) -> None:
    await bench.patch(key, {"desired": {"a": 1}})
    await bench.patch(key, {"desired": {"a": 2}})
    before = await bench.get(key)

    with pytest.raises(ShadowVersionConflictError, match="at 2"):
        await bench.patch(key, {"desired": {"a": 9}}, version=version)

    assert await bench.get(key) == before


@BOTH
async def test_a_patch_for_the_present_version_is_applied(bench: Bench, key: ShadowKey) -> None:
    assert (await bench.patch(key, {"desired": {"a": 1}}, version=0)).version == 1
    assert (await bench.patch(key, {"desired": {"a": 2}}, version=1)).version == 2


@BOTH
async def test_a_request_that_expects_another_version_changes_nothing(bench: Bench, key: ShadowKey) -> None:
    await bench.patch(key, {"desired": {"a": 1}})
    before = await bench.get(key)

    with pytest.raises(PreconditionFailedError):
        await bench.patch(key, {"desired": {"a": 9}}, expected_version=2)
    with pytest.raises(PreconditionFailedError):
        await bench.delete(key, expected_version=2)

    assert await bench.get(key) == before


@pytest.mark.parametrize("state", [{"desired": {"a": 1}}, {"desired": None}, {"desired": {}, "reported": {}}, None])
async def test_a_device_may_not_touch_what_is_desired(bench: Bench, state: Any) -> None:
    with pytest.raises(DesiredStateForbiddenError):
        await bench.patch(UNNAMED, state, actor=THE_DEVICE)

    assert bench.shadows.stored == {}


async def test_a_device_may_clear_what_it_reported(bench: Bench) -> None:
    await bench.patch(UNNAMED, {"reported": {"a": 1}}, actor=THE_DEVICE)
    await bench.patch(UNNAMED, {"reported": None}, actor=THE_DEVICE)

    assert (await bench.get(UNNAMED)).state == {}


async def test_a_device_may_not_delete_its_shadow(bench: Bench) -> None:
    await bench.patch(UNNAMED, {"reported": {"a": 1}})

    with pytest.raises(ShadowDeletionForbiddenError):
        await bench.service.delete_shadow(attempt=attempt_of(THE_DEVICE), key=UNNAMED)

    assert (await bench.get(UNNAMED)).version == 1


@BOTH
async def test_a_deleted_shadow_is_gone_until_it_is_written_again_and_its_version_goes_on(
    bench: Bench, key: ShadowKey
) -> None:
    await bench.patch(key, {"desired": {"a": 1}, "reported": {"a": 1}})
    bench.wait(5)

    gone = await bench.delete(key)

    assert (gone.version, gone.timestamp) == (2, START_SECONDS + 5)
    with pytest.raises(ShadowNotFoundError):
        await bench.get(key)
    with pytest.raises(ShadowNotFoundError):
        await bench.delete(key)
    with pytest.raises(ShadowVersionConflictError):
        await bench.patch(key, {"desired": {}}, version=1)
    assert (await bench.patch(key, {"desired": {"b": 2}}, version=2)).version == 3
    shadow = await bench.get(key)
    assert (shadow.state["desired"], shadow.versions) == ({"b": 2}, {"desired": 3, "reported": 2})


async def test_deleting_an_unwritten_unnamed_shadow_is_a_change_too(bench: Bench) -> None:
    assert (await bench.delete(UNNAMED)).version == 1
    with pytest.raises(ShadowNotFoundError):
        await bench.get(UNNAMED)


async def test_deleting_a_named_shadow_that_was_never_written_is_refused(bench: Bench) -> None:
    with pytest.raises(ShadowNotFoundError):
        await bench.delete(NAMED)
    assert bench.shadows.stored == {}


async def test_a_state_that_would_grow_too_large_is_refused_whole(bench: Bench) -> None:
    await bench.patch(UNNAMED, {"desired": {"a": "x" * 20_000}})

    with pytest.raises(ShadowTooLargeError):
        await bench.patch(UNNAMED, {"reported": {"a": "x" * 20_000}})

    shadow = await bench.get(UNNAMED)
    assert (shadow.version, shadow.state["desired"]) == (1, {"a": "x" * 20_000})


async def test_shadows_of_one_device_know_nothing_of_each_other(bench: Bench) -> None:
    other = ShadowKey(DEVICE, "config")
    await bench.patch(NAMED, {"desired": {"a": 1}})
    await bench.patch(other, {"desired": {"b": 1}})
    await bench.patch(other, {"desired": {"b": 2}})

    assert (await bench.get(NAMED)).version == 1
    assert (await bench.get(other)).version == 2
    assert (await bench.get(UNNAMED)).version == 0


async def test_writers_at_once_are_applied_one_after_the_other(bench: Bench) -> None:
    # Two services share the store but not the turns, as two processes do.
    second = Bench(beside=bench).service

    await asyncio.gather(
        *(
            service.update_shadow(
                attempt=attempt_of(OPERATOR), key=UNNAMED, patch=ShadowPatch({"desired": {f"{side}{number}": 1}})
            )
            for side, service in enumerate([bench.service, second])
            for number in range(20)
        )
    )

    shadow = await bench.get(UNNAMED)
    assert (shadow.version, len(shadow.state["desired"])) == (40, 40)


async def test_of_writers_at_once_that_name_the_version_exactly_one_wins(bench: Bench) -> None:
    second = Bench(beside=bench).service
    patch = ShadowPatch({"desired": {"a": 1}}, version=0)

    results = await asyncio.gather(
        *(
            service.update_shadow(attempt=attempt_of(OPERATOR), key=UNNAMED, patch=patch)
            for service in [bench.service, second] * 10
        ),
        return_exceptions=True,
    )

    assert sum(isinstance(result, ShadowChange) for result in results) == 1
    assert sum(isinstance(result, ShadowVersionConflictError) for result in results) == 19


class StubbornRepository(InMemoryShadowRepository):
    """A store in which another writer always comes first, or that never answers."""

    answers = True

    async def save(self, change: ShadowChange, *, replacing: int, fsynced: bool) -> ShadowChange | None:
        await asyncio.sleep(0 if self.answers else 60)
        return None


async def test_a_writer_that_keeps_losing_gives_up_and_says_so(monkeypatch: pytest.MonkeyPatch, bench: Bench) -> None:
    monkeypatch.setattr(module, "WRITE_SECONDS", 0.05)
    bench.use(StubbornRepository())

    with pytest.raises(ShadowChangeUnconfirmedError, match="read the shadow"):
        await bench.patch(UNNAMED, {})


async def test_a_change_of_which_no_answer_came_is_doubted(monkeypatch: pytest.MonkeyPatch, bench: Bench) -> None:
    monkeypatch.setattr(module, "WRITE_SECONDS", 0.05)
    stubborn = StubbornRepository()
    stubborn.answers = False
    bench.use(stubborn)

    with pytest.raises(ShadowChangeUnconfirmedError):
        await bench.patch(UNNAMED, {})
    assert bench.process.recovery.doubts == 1


async def test_who_only_waited_for_others_is_told_that_nothing_was_changed(
    monkeypatch: pytest.MonkeyPatch, bench: Bench
) -> None:
    stubborn = StubbornRepository()
    stubborn.answers = False
    bench.use(stubborn)
    monkeypatch.setattr(module, "WRITE_SECONDS", 30)
    first = asyncio.create_task(bench.patch(UNNAMED, {}))
    await asyncio.sleep(0)
    monkeypatch.setattr(module, "WRITE_SECONDS", 0.05)

    with pytest.raises(ShadowBusyError, match="Nothing was changed"):
        await bench.patch(UNNAMED, {})

    assert bench.process.recovery.doubts == 0
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_change_tells_what_it_settles_and_the_shadow_keeps_what_is_pending(bench: Bench) -> None:
    await bench.patch(UNNAMED, {"desired": {"target": 55, "mode": "eco", "light": "on"}})

    hot = DesiredRefusal("too_hot")
    change = await bench.patch(UNNAMED, {"reported": {"mode": "eco"}}, actor=THE_DEVICE, refusals={"/target": hot})

    assert change.settlements == [
        Settlement("/mode", 1, RequestState.APPLIED),
        Settlement("/target", 1, RequestState.REFUSED, hot),
    ]
    assert change.shadow.pending == {"light": 1}
    assert (await bench.delete(UNNAMED)).settlements == [Settlement("/light", 1, RequestState.CLEARED)]


@BOTH
async def test_only_the_device_refuses_what_is_desired_of_it(bench: Bench, key: ShadowKey) -> None:
    with pytest.raises(RefusalForbiddenError):
        await bench.patch(key, {}, refusals={"/a": DesiredRefusal("no")})

    await bench.patch(key, {}, actor=THE_DEVICE, refusals={"/a": DesiredRefusal("no")})
    assert (await bench.get(key)).version == 1


async def test_what_this_process_wrote_last_is_not_read_before_it_is_written_again(bench: Bench) -> None:
    counting = CountingRepository(bench.process.store)
    bench.use(counting)
    await bench.patch(UNNAMED, {"desired": {"a": 1}})
    assert counting.reads == 1

    change = await bench.patch(UNNAMED, {"desired": {"b": 2}})

    assert (change.version, change.shadow.desired.state, counting.reads) == (2, {"a": 1, "b": 2}, 1)


async def test_what_another_process_wrote_meanwhile_is_read_before_anything_is_stored_or_refused(
    bench: Bench,
) -> None:
    other = Bench(beside=bench)
    await bench.patch(UNNAMED, {"desired": {"a": "x" * 30_000}})
    await other.patch(UNNAMED, {"desired": {"a": None}})
    await bench.patch(UNNAMED, {"desired": {"b": "x" * 30_000}}, version=2)
    await other.delete(UNNAMED)

    await bench.patch(UNNAMED, {"desired": {"c": 1}}, expected_version=4)

    shadow = await bench.get(UNNAMED)
    assert (shadow.version, shadow.state["desired"]) == (5, {"c": 1})


def test_the_shadows_written_longest_ago_are_let_go_of_first() -> None:
    written = WrittenShadows()
    keys = [ShadowKey(DEVICE, str(number)) for number in range(100)]
    for key in keys:
        written.save(build_change(key, Shadow().change({"desired": {"a": 1}}, START), size_bytes=30_000))

    kept = [key for key in keys if written.find(key, generation=0)]
    assert kept == keys[-(MAX_BYTES // 30_000) :]


async def test_every_acknowledged_change_is_remembered_until_the_journal_has_it(bench: Bench) -> None:
    desired = await bench.patch(UNNAMED, {"desired": {"a": 1}})
    reported = await bench.patch(UNNAMED, {"reported": {"a": 1}})
    deleted = await bench.delete(UNNAMED)

    assert bench.process.recovery.remembered == [desired, reported, deleted]
    assert bench.process.recovery.doubts == 0


async def test_what_is_desired_and_deleted_is_in_the_journal_before_it_is_answered(bench: Bench) -> None:
    await bench.patch(UNNAMED, {"desired": {"a": 1}})
    await bench.patch(UNNAMED, {"reported": {"a": 1}})
    await bench.delete(UNNAMED)

    assert [version for _, version in bench.process.journal_data.changes] == [1, 3]


async def test_shadows_go_on_while_the_journal_is_away(bench: Bench) -> None:
    bench.process.journal_data.is_away = True

    change = await bench.patch(UNNAMED, {"desired": {"a": 1}})

    assert bench.process.recovery.remembered == [change]


@BOTH
async def test_a_store_that_was_exchanged_is_verified_before_it_is_read_or_written(
    bench: Bench, key: ShadowKey
) -> None:
    await bench.patch(key, {"desired": {"a": 1}})
    bench.process.store.server.restart()
    assert (await bench.get(key)).version == 1
    bench.process.store.server.restart()
    assert (await bench.patch(key, {"desired": {"b": 1}})).version == 2
    bench.process.store.server.restart()
    assert (await bench.service.list_named_shadows(device_id=DEVICE, limit=5, cursor=None)).next_cursor is None


@BOTH
async def test_a_shadow_that_the_store_has_lost_is_restored_before_it_is_read_or_written(
    bench: Bench, key: ShadowKey
) -> None:
    await bench.patch(key, {"desired": {"a": 1}})
    bench.process.store.server.flush()
    assert (await bench.patch(key, {"reported": {"b": 1}})).version == 2
    await bench.process.journal_all()
    bench.process.store.server.flush()

    shadow = await bench.get(key)

    assert (shadow.version, shadow.state["desired"], shadow.state["reported"]) == (2, {"a": 1}, {"b": 1})


async def test_what_was_written_in_another_life_of_the_store_is_not_gone_on_from(bench: Bench) -> None:
    await bench.patch(UNNAMED, {"desired": {"a": 1}})
    bench.process.store.server.flush()
    await bench.process.recovery.verify()
    other = bench.process.journal_data.heads[UNNAMED].shadow.change({"desired": {"a": None, "b": 1}}, START)
    other = replace(other, version=1, pending={})
    await InMemoryShadowStoreKeeper(bench.process.store).restore([ShadowHead(UNNAMED, other, 2)], generation=2)

    change = await bench.patch(UNNAMED, {"reported": {"c": 1}})

    assert change.shadow.state == {"desired": {"b": 1}, "reported": {"c": 1}}


async def test_a_store_that_is_lost_while_a_shadow_is_restored_is_verified_before_it_is_asked_again(
    bench: Bench,
) -> None:
    await bench.patch(UNNAMED, {"desired": {"a": 1}})
    shadows = CountingRepository(bench.process.store)
    bench.use(shadows)
    bench.process.store.server.flush()
    restore = bench.process.recovery.restore

    async def lose(key: ShadowKey) -> None:
        bench.process.recovery.restore = restore  # type: ignore[method-assign]
        bench.process.store.server.flush()
        raise StoreUnverifiedError

    bench.process.recovery.restore = lose  # type: ignore[method-assign]

    assert (await bench.get(UNNAMED)).version == 1
    # Lost when it was asked first and again, unrestored when lost in being restored, unrestored, and there.
    assert shadows.reads == 5


async def test_the_names_are_told_from_the_journal_while_the_store_is_rebuilt(bench: Bench) -> None:
    await bench.patch(NAMED, {"desired": {"a": 1}})
    bench.process.store.server.flush()

    page = await bench.service.list_named_shadows(device_id=DEVICE, limit=5, cursor=None)

    assert page.items == [NamedShadow("firmware", 1)]


async def test_whoever_reads_is_told_when_bringing_the_store_back_takes_too_long(
    monkeypatch: pytest.MonkeyPatch, bench: Bench
) -> None:
    monkeypatch.setattr(module, "READ_SECONDS", 0.05)
    bench.process.store.server.restart()
    bench.process.recovery.verify = asyncio.Event().wait  # type: ignore[method-assign,assignment]  # for ever

    with pytest.raises(ShadowsRebuildingError):
        await bench.get(UNNAMED)


async def test_what_breaks_the_schema_of_the_type_is_not_desired(bench: Bench) -> None:
    bench.process.rules.violations = [
        Violation("state.desired.a", "Is too hot."),
        Violation("state.desired.a", "Is no number."),
    ]

    with pytest.raises(RuleViolationError) as refused:
        await bench.patch(UNNAMED, {"desired": {"a": 1}})

    assert refused.value.errors == {"state.desired.a": ["Is too hot.", "Is no number."]}
    assert bench.shadows.stored == {}


async def test_what_breaks_the_schema_of_the_type_is_stored_and_flagged_where_it_is_reported(bench: Bench) -> None:
    hot = Violation("state.reported.a", "Is too hot.")
    bench.process.rules.violations = [hot]

    change = await bench.patch(UNNAMED, {"reported": {"a": 1}}, actor=THE_DEVICE)
    assert change.violations == {"reported": [hot]}
    await bench.patch(UNNAMED, {"desired": {"a": 1}})
    assert (await bench.get(UNNAMED)).violations == {"reported": [hot]}

    bench.process.rules.violations = []
    assert (await bench.patch(UNNAMED, {"reported": {"a": 0}}, actor=THE_DEVICE)).violations == {}
    assert (await bench.get(UNNAMED)).violations == {}
