"""What the journal keeps of changes, and how it is read."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.kernel.pagination import CursorMalformedError, encode_cursor
from iotsphere.shadow.history import rebuild
from iotsphere.shadow.keeping import KEPT_EVERY
from iotsphere.shadow.model import (
    ChangeKind,
    DesiredRefusal,
    DesiredRequest,
    NamedShadow,
    RequestState,
    Shadow,
    ShadowChange,
    ShadowHead,
    ShadowKey,
    ShadowPatch,
)
from iotsphere.shadow.ports import JournalUnitOfWorkFactory
from tests.factories.journal import BEGIN, MOVES, STEP, make_history, reporting, wanting

MANY = 1000


async def append(unit_of_work: JournalUnitOfWorkFactory, changes: Sequence[ShadowChange]) -> None:
    async with unit_of_work() as uow:
        await uow.journal.append(changes)
        await uow.commit()


async def list_all(unit_of_work: JournalUnitOfWorkFactory, key: ShadowKey, **narrowed: Any) -> list[ShadowChange]:
    """List page by page, three at a time."""
    cursor, found = None, list[ShadowChange]()
    async with unit_of_work() as uow:
        while True:
            page = await uow.journal.list(
                key, start=narrowed.get("start"), end=narrowed.get("end"), limit=3, cursor=cursor
            )
            assert len(page.items) <= 3
            found += page.items
            cursor = page.next_cursor
            if cursor is None:
                return found


async def list_requests(
    unit_of_work: JournalUnitOfWorkFactory, key: ShadowKey, state: RequestState | None = None
) -> list[DesiredRequest]:
    cursor, found = None, list[DesiredRequest]()
    async with unit_of_work() as uow:
        while True:
            page = await uow.journal.list_requests(key, state=state, limit=3, cursor=cursor)
            assert len(page.items) <= 3
            found += page.items
            cursor = page.next_cursor
            if cursor is None:
                return found


async def everything(unit_of_work: JournalUnitOfWorkFactory, key: ShadowKey) -> Any:
    async with unit_of_work() as uow:
        head = await uow.journal.find_head(key)
        whole = [
            list(await uow.journal.list_since_kept(key, version=version))
            for version in range(1, (head.shadow.version if head else 0) + 1)
        ]
    # As text, for 1 and 1.0 and true are equal to Python, and the order of keys is nothing to it.
    changes, requests = await list_all(unit_of_work, key), await list_requests(unit_of_work, key)
    return [repr(part) for part in (head, whole, changes, requests)]


def numbered(count: int) -> list[ShadowPatch]:
    return [reporting({"count": number}) for number in range(1, count + 1)]


async def test_lists_changes_the_newest_first_as_they_were_told(
    unit_of_work: JournalUnitOfWorkFactory, key: ShadowKey
) -> None:
    refusals = {"/b": DesiredRefusal("hot", "Too hot.")}
    changes = make_history(
        key, [wanting({"b": 1.0, "a": [1, {}]}), reporting({"a": []}, refusals), ShadowPatch(None), None]
    )
    await append(unit_of_work, changes)

    listed = await list_all(unit_of_work, key)

    assert [change.version for change in listed] == [4, 3, 2, 1]
    assert [change.kind for change in listed] == [ChangeKind.DELETED, *[ChangeKind.UPDATED] * 3]
    assert [change.patch for change in listed] == [
        None,
        ShadowPatch(None),
        reporting({"a": []}, refusals),
        wanting({"b": 1.0, "a": [1, {}]}),
    ]
    assert repr(listed[-1].patch) == repr(changes[0].patch)
    assert [change.at for change in listed] == [change.at for change in reversed(changes)]
    assert {(change.actor, change.correlation_id) for change in listed} == {
        (changes[0].actor, changes[0].correlation_id)
    }


async def test_lists_what_was_changed_between_two_times(
    unit_of_work: JournalUnitOfWorkFactory, key: ShadowKey
) -> None:
    await append(unit_of_work, make_history(key, numbered(8)))

    between = await list_all(unit_of_work, key, start=BEGIN + STEP, end=BEGIN + 6 * STEP)

    assert [change.version for change in between] == [6, 5, 4, 3, 2]
    assert await list_all(unit_of_work, key, start=BEGIN + 8 * STEP) == []
    assert await list_all(unit_of_work, key, end=BEGIN) == []


async def test_pages_through_changes_of_one_moment(unit_of_work: JournalUnitOfWorkFactory, key: ShadowKey) -> None:
    changes = [
        replace(change, shadow=replace(change.shadow, changed_at=BEGIN)) for change in make_history(key, numbered(7))
    ]
    await append(unit_of_work, changes)

    assert [change.version for change in await list_all(unit_of_work, key)] == [7, 6, 5, 4, 3, 2, 1]
    async with unit_of_work() as uow:
        assert await uow.journal.find_version_at(key, BEGIN) == 7


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "not base64!",
        encode_cursor(),
        encode_cursor(1),
        encode_cursor(BEGIN),
        encode_cursor("yesterday", 1),
        encode_cursor(BEGIN, "1"),
        encode_cursor(BEGIN, 1.5),
        encode_cursor(BEGIN, -1),
        encode_cursor(BEGIN, 2**63),
        encode_cursor(BEGIN.replace(tzinfo=None), 1),
        encode_cursor(BEGIN, 1, 1),
    ],
)
async def test_refuses_a_cursor_of_something_else(
    unit_of_work: JournalUnitOfWorkFactory, key: ShadowKey, cursor: str
) -> None:
    async with unit_of_work() as uow:
        with pytest.raises(CursorMalformedError):
            await uow.journal.list(key, start=None, end=None, limit=3, cursor=cursor)


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        encode_cursor(1),
        encode_cursor("1", "/a"),
        encode_cursor(2**63, "/a"),
        encode_cursor(-1, "/a"),
        encode_cursor(1, "/\0"),
        encode_cursor(1, 1),
        encode_cursor(BEGIN, 1),
    ],
)
async def test_refuses_a_cursor_of_something_else_for_requests(
    unit_of_work: JournalUnitOfWorkFactory, key: ShadowKey, cursor: str
) -> None:
    async with unit_of_work() as uow:
        with pytest.raises(CursorMalformedError):
            await uow.journal.list_requests(key, state=None, limit=3, cursor=cursor)


async def test_finds_the_version_of_a_time(unit_of_work: JournalUnitOfWorkFactory, key: ShadowKey) -> None:
    await append(unit_of_work, make_history(key, numbered(3)))

    async with unit_of_work() as uow:
        moments = [BEGIN - timedelta(microseconds=1), BEGIN, BEGIN + STEP, BEGIN + 3 * STEP / 2, BEGIN + MANY * STEP]
        found = [await uow.journal.find_version_at(key, at) for at in moments]

    assert found == [None, 1, 2, 2, 3]


async def test_gives_what_every_version_is_made_of(unit_of_work: JournalUnitOfWorkFactory, key: ShadowKey) -> None:
    changes = make_history(key, [*numbered(40), None, *numbered(60)])
    await append(unit_of_work, changes)

    for change in changes:
        async with unit_of_work() as uow:
            since_kept = await uow.journal.list_since_kept(key, version=change.version)
        assert len(since_kept) <= KEPT_EVERY
        assert repr(rebuild(since_kept)) == repr(change.shadow)


@pytest.mark.parametrize("missing", [1, 2, 33, 40])
async def test_gives_no_version_behind_a_gap_but_those_behind_the_next_that_is_kept(
    unit_of_work: JournalUnitOfWorkFactory, key: ShadowKey, missing: int
) -> None:
    changes = make_history(key, numbered(100))
    await append(unit_of_work, [change for change in changes if change.version != missing])

    async with unit_of_work() as uow:
        found = {
            change.version for change in changes if await uow.journal.list_since_kept(key, version=change.version)
        }

    next_kept = next(version for version in range(missing + 1, 200) if version % KEPT_EVERY == 1)
    assert found == set(range(1, 101)) - set(range(missing, next_kept))


async def test_a_restored_shadow_is_made_of_nothing_before_it(
    unit_of_work: JournalUnitOfWorkFactory, key: ShadowKey
) -> None:
    *_, last = make_history(key, numbered(3))
    jumped = replace(last.shadow, version=1_000_003)
    restored = replace(last, kind=ChangeKind.RESTORED, shadow=jumped, patch=None, generation=2)
    await append(unit_of_work, [restored])

    async with unit_of_work() as uow:
        (kept,) = await uow.journal.list_since_kept(key, version=1_000_003)
        assert kept.shadow == jumped
        assert await uow.journal.list_since_kept(key, version=1_000_002) == []
        assert await uow.journal.find_head(key) == ShadowHead(key, jumped, 2)


async def test_shadows_are_told_apart_by_device_and_name(unit_of_work: JournalUnitOfWorkFactory) -> None:
    one, other = DeviceId(uuid4()), DeviceId(uuid4())
    keys = [ShadowKey(one), ShadowKey(one, "a"), ShadowKey(one, "A"), ShadowKey(other), ShadowKey(other, "a")]
    for count, key in enumerate(keys, start=1):
        await append(unit_of_work, make_history(key, [wanting({"count": count})] * count))

    for count, key in enumerate(keys, start=1):
        assert len(await list_all(unit_of_work, key)) == count
        assert [request.value for request in await list_requests(unit_of_work, key)] == [count] * count
        async with unit_of_work() as uow:
            head = await uow.journal.find_head(key)
        assert head is not None
        assert (head.key, head.shadow.version) == (key, count)
    async with unit_of_work() as uow:
        assert await uow.journal.find_head(ShadowKey(other, "A")) is None


async def test_lists_heads_in_the_order_of_their_keys(unit_of_work: JournalUnitOfWorkFactory) -> None:
    # Highest of all, so that those of other tests come before.
    device_id = DeviceId(uuid4())
    names = [None, "Z", "_", "a", "b"]
    keys = [ShadowKey(device_id, name) for name in names]
    await append(unit_of_work, [change for key in reversed(keys) for change in make_history(key, numbered(2))])

    async with unit_of_work() as uow:
        listed = await uow.journal.list_heads(after=None, limit=MANY)
        ours = [head for head in listed if head.key.device_id == device_id]
        behind = await uow.journal.list_heads(after=keys[1], limit=2)

    assert [head.key for head in ours] == keys
    assert {head.shadow.version for head in ours} == {2}
    order = [(head.key.device_id.int, head.key.name or "") for head in listed]
    assert order == sorted(order)
    assert [head.key for head in behind] == keys[2:4]


async def test_gives_the_heads_that_are_asked_for_and_are_there(
    unit_of_work: JournalUnitOfWorkFactory, key: ShadowKey
) -> None:
    others = [ShadowKey(key.device_id, "a"), ShadowKey(key.device_id, "b"), ShadowKey(DeviceId(uuid4()), "a")]
    for known in [key, *others]:
        await append(unit_of_work, make_history(known, numbered(2)))
    asked = [key, *others[1:], ShadowKey(key.device_id, "c"), ShadowKey(DeviceId(uuid4()))]

    async with unit_of_work() as uow:
        found = {head.key: head for head in await uow.journal.find_heads(asked)}
        expected = {known: await uow.journal.find_head(known) for known in [key, *others[1:]]}
        nothing = await uow.journal.find_heads([])

    assert found == expected
    assert nothing == []


async def test_heads_that_somebody_goes_on_from_are_given_to_nobody_else_meanwhile(
    unit_of_work: JournalUnitOfWorkFactory, key: ShadowKey
) -> None:
    first, second = make_history(key, numbered(2))
    await append(unit_of_work, [first])

    async def read() -> list[ShadowHead]:
        async with unit_of_work() as uow:
            return await uow.journal.find_heads([key], for_update=True)

    async with unit_of_work() as uow:
        assert [head.shadow.version for head in await uow.journal.find_heads([key], for_update=True)] == [1]
        reading = asyncio.create_task(read())
        await asyncio.sleep(0.05)
        assert not reading.done()
        await uow.journal.append([second])
        await uow.commit()

    assert [head.shadow.version for head in await reading] == [2]


async def test_lists_the_named_shadows_that_are_there(unit_of_work: JournalUnitOfWorkFactory, key: ShadowKey) -> None:
    for name in (None, "b", "gone", "a", "c"):
        named = ShadowKey(key.device_id, name)
        await append(unit_of_work, make_history(named, [*numbered(2), *([None] if name == "gone" else [])]))

    async with unit_of_work() as uow:
        first = await uow.journal.list_named(key.device_id, limit=2, cursor=None)
        rest = await uow.journal.list_named(key.device_id, limit=2, cursor=first.next_cursor)
        with pytest.raises(CursorMalformedError):
            await uow.journal.list_named(key.device_id, limit=2, cursor=encode_cursor(7))

    assert first.items == [NamedShadow("a", 2), NamedShadow("b", 2)]
    assert rest.items == [NamedShadow("c", 2)]
    assert rest.next_cursor is None


async def test_tells_what_became_of_every_desired_value(
    unit_of_work: JournalUnitOfWorkFactory, key: ShadowKey
) -> None:
    hot = DesiredRefusal("hot", "Too hot.")
    changes = make_history(
        key,
        [
            wanting({"a": 1, "b": {"c": "x", "d": []}}),
            reporting({"a": 1}, {"/b/c": hot}),
            wanting({"a": 2, "b": {"d": {}}}),
            wanting({"a": None}),
        ],
    )
    await append(unit_of_work, changes)

    listed = await list_requests(unit_of_work, key)

    assert [(request.requested_version, request.path, request.value) for request in listed] == [
        (3, "/b/d", {}),
        (3, "/a", 2),
        (1, "/b/d", []),
        (1, "/b/c", "x"),
        (1, "/a", 1),
    ]
    assert [(request.state, request.settled_version) for request in listed] == [
        (RequestState.PENDING, None),
        (RequestState.CLEARED, 4),
        (RequestState.SUPERSEDED, 3),
        (RequestState.REFUSED, 2),
        (RequestState.APPLIED, 2),
    ]
    assert [request.refusal for request in listed] == [None, None, None, hot, None]
    assert listed[1].requested_at == BEGIN + 2 * STEP
    assert listed[1].settled_at == BEGIN + 3 * STEP
    assert {request.requested_by for request in listed} == {changes[0].actor}
    assert await list_requests(unit_of_work, key, RequestState.REFUSED) == [listed[3]]
    assert await list_requests(unit_of_work, key, RequestState.PENDING) == [listed[0]]


async def test_says_nothing_of_a_request_of_which_only_the_end_is_known(
    unit_of_work: JournalUnitOfWorkFactory, key: ShadowKey
) -> None:
    asked, settled = make_history(key, [wanting({"a": 1}), reporting({"a": 1})])

    await append(unit_of_work, [settled])
    assert await list_requests(unit_of_work, key) == []
    await append(unit_of_work, [asked])

    (request,) = await list_requests(unit_of_work, key)
    assert (request.state, request.settled_version) == (RequestState.APPLIED, 2)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=st.lists(MOVES, min_size=1, max_size=2), data=st.data())
async def test_repeating_and_reordering_make_no_difference(
    unit_of_work: JournalUnitOfWorkFactory, moves: list[list[ShadowPatch | None]], data: st.DataObject
) -> None:
    device_id = DeviceId(uuid4())
    once = [make_history(ShadowKey(device_id, f"once{place}"), part) for place, part in enumerate(moves)]
    again = [make_history(ShadowKey(device_id, f"again{place}"), part) for place, part in enumerate(moves)]
    for changes in once:
        await append(unit_of_work, changes)

    shuffled = [change for changes in again for change in changes]
    shuffled += data.draw(st.lists(st.sampled_from(shuffled), max_size=5))
    shuffled = data.draw(st.permutations(shuffled))
    while shuffled:
        size = data.draw(st.integers(1, len(shuffled)))
        await append(unit_of_work, shuffled[:size])
        shuffled = shuffled[size:]

    for straight, crooked in zip(once, again, strict=True):
        expected = await everything(unit_of_work, straight[0].key)
        assert expected[2] != "[]"
        found = await everything(unit_of_work, crooked[0].key)
        assert found == [part.replace("once", "again") for part in expected]
        assert f"{straight[-1].shadow!r}" in expected[0]


async def test_takes_more_than_one_statement_may_hold(unit_of_work: JournalUnitOfWorkFactory, key: ShadowKey) -> None:
    many = {f"leaf{number:04}": number for number in range(2500)}
    changes = make_history(key, [wanting(many), wanting(many), *[wanting({"a": "x" * 30_000})] * 100])
    await append(unit_of_work, changes)

    assert len(await list_all(unit_of_work, key)) == 102
    async with unit_of_work() as uow:
        superseded = await uow.journal.list_requests(key, state=RequestState.SUPERSEDED, limit=6000, cursor=None)
        pending = await uow.journal.list_requests(key, state=RequestState.PENDING, limit=6000, cursor=None)
    assert len(superseded.items) == 2500 + 99
    assert len(pending.items) == 2500 + 1


async def test_keeps_the_longest_path_that_there_can_be(
    unit_of_work: JournalUnitOfWorkFactory, key: ShadowKey
) -> None:
    state: Any = 1
    for place in range(8):
        state = {f"{place}" + "~" * 127: state}
    await append(unit_of_work, make_history(ShadowKey(key.device_id, "n" * 64), [wanting(state)]))

    (request,) = await list_requests(unit_of_work, ShadowKey(key.device_id, "n" * 64))
    assert len(request.path) == 8 * (1 + 1 + 2 * 127)


async def test_keeps_nothing_without_commit(unit_of_work: JournalUnitOfWorkFactory, key: ShadowKey) -> None:
    async with unit_of_work() as uow:
        await uow.journal.append(make_history(key, numbered(1)))
        assert await uow.journal.find_head(key) is not None

    async with unit_of_work() as uow:
        assert await uow.journal.find_head(key) is None
    assert await list_all(unit_of_work, key) == []


async def test_an_unknown_shadow_has_nothing(unit_of_work: JournalUnitOfWorkFactory, key: ShadowKey) -> None:
    async with unit_of_work() as uow:
        assert await uow.journal.find_head(key) is None
        assert await uow.journal.find_version_at(key, BEGIN) is None
        assert await uow.journal.list_since_kept(key, version=1) == []
        await uow.journal.append([])
    assert await list_all(unit_of_work, key) == []
    assert await list_requests(unit_of_work, key) == []
    assert Shadow().version == 0
