import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.kernel.pagination import CursorMalformedError, encode_cursor
from iotsphere.shadow.model import NamedShadow, Section, Shadow, ShadowKey
from iotsphere.shadow.ports import ShadowRepository
from tests.factories.shadow import build_change

NAMES = ["unnamed", "named"]
SEVENTH = datetime(2026, 11, 7, 12, 30, 0, 123456, tzinfo=UTC)


@pytest.fixture
def device_id() -> DeviceId:
    return DeviceId(uuid4())


@pytest.fixture(params=[None, "firm:ware_1-A"], ids=NAMES)
def key(request: pytest.FixtureRequest, device_id: DeviceId) -> ShadowKey:
    return ShadowKey(device_id, request.param)


def shadow_of(state: Any, version: int = 1, *, is_deleted: bool = False) -> Shadow:
    return Shadow(
        version, desired=Section(state, {"at": 7}, 1), reported=Section(), changed_at=SEVENTH, is_deleted=is_deleted
    )


async def write(shadows: ShadowRepository, device_id: DeviceId, *names: str) -> None:
    for name in names:
        assert await shadows.save(build_change(ShadowKey(device_id, name), shadow_of({})), replacing=0, fsynced=False)


async def names_of(shadows: ShadowRepository, device_id: DeviceId) -> list[str]:
    return [shadow.name for shadow in (await shadows.list(device_id, limit=50, cursor=None)).items]


async def test_a_shadow_never_written_is_not_found(shadows: ShadowRepository, key: ShadowKey) -> None:
    assert await shadows.find(key) is None


@pytest.mark.parametrize("fsynced", [True, False])
async def test_what_is_saved_is_found(shadows: ShadowRepository, key: ShadowKey, fsynced: bool) -> None:
    shadow = shadow_of({"a": 1})

    assert await shadows.save(build_change(key, shadow), replacing=0, fsynced=fsynced)

    assert await shadows.find(key) == shadow


async def test_every_json_value_comes_back_as_it_was(shadows: ShadowRepository, key: ShadowKey) -> None:
    state = {
        "z": [], "a": {}, "integer": 2**53, "minus": -(2**53), "whole": 1.0, "large": 1e300, "small": 5e-324,
        "truth": True, "text": 'zażółć 🌡 \n "quoted"', "é": [[], {}, [1, 1.5, False, ""]], "m": {"z": 1, "a": 2},
    }  # fmt: skip

    await shadows.save(build_change(key, shadow_of(state)), replacing=0, fsynced=False)

    found = await shadows.find(key)
    assert found is not None
    # The text tells an integer from a whole float and shows the order of keys; equality does neither.
    assert repr(found.desired.state) == repr(state)


async def test_a_save_that_replaces_another_version_stores_nothing(shadows: ShadowRepository, key: ShadowKey) -> None:
    first, second = shadow_of({"a": 1}), shadow_of({"a": 2}, 2)
    assert not await shadows.save(build_change(key, second), replacing=1, fsynced=False)
    assert await shadows.find(key) is None

    assert await shadows.save(build_change(key, first), replacing=0, fsynced=False)
    assert not await shadows.save(build_change(key, second), replacing=0, fsynced=True)
    assert not await shadows.save(build_change(key, second), replacing=2, fsynced=True)

    assert await shadows.find(key) == first
    assert await shadows.save(build_change(key, second), replacing=1, fsynced=True)
    assert await shadows.find(key) == second


async def test_of_many_saves_at_once_that_replace_one_version_one_wins(
    shadows: ShadowRepository, key: ShadowKey
) -> None:
    saves = [shadows.save(build_change(key, shadow_of({"a": n})), replacing=0, fsynced=n % 2 == 0) for n in range(20)]

    results = await asyncio.gather(*saves)

    winners = [place for place, stored in enumerate(results) if stored]
    assert len(winners) == 1
    found = await shadows.find(key)
    assert found is not None
    assert found.desired.state == {"a": winners[0]}


async def test_a_deleted_shadow_is_found_as_deleted_and_its_version_goes_on(
    shadows: ShadowRepository, key: ShadowKey
) -> None:
    gone = Shadow(2, changed_at=SEVENTH, is_deleted=True)
    await shadows.save(build_change(key, shadow_of({})), replacing=0, fsynced=False)
    await shadows.save(build_change(key, gone), replacing=1, fsynced=True)

    assert await shadows.find(key) == gone
    assert not await shadows.save(build_change(key, shadow_of({})), replacing=0, fsynced=False)
    assert await shadows.save(build_change(key, shadow_of({}, 3)), replacing=2, fsynced=False)


async def test_named_shadows_are_listed_the_newest_last(shadows: ShadowRepository, device_id: DeviceId) -> None:
    await shadows.save(build_change(ShadowKey(device_id), shadow_of({})), replacing=0, fsynced=False)
    await write(shadows, device_id, "zeta", "alpha", "Mid")
    await shadows.save(build_change(ShadowKey(device_id, "zeta"), shadow_of({}, 2)), replacing=1, fsynced=False)

    page = await shadows.list(device_id, limit=50, cursor=None)

    assert page.items == [NamedShadow("zeta", 2), NamedShadow("alpha", 1), NamedShadow("Mid", 1)]
    assert page.next_cursor is None


async def test_a_device_without_named_shadows_has_an_empty_list(
    shadows: ShadowRepository, device_id: DeviceId
) -> None:
    assert (await shadows.list(device_id, limit=1, cursor=None)).items == []


async def test_a_deleted_name_leaves_the_list_and_comes_back_at_its_end(
    shadows: ShadowRepository, device_id: DeviceId
) -> None:
    await write(shadows, device_id, "a", "b")
    await shadows.save(
        build_change(ShadowKey(device_id, "a"), Shadow(2, is_deleted=True)), replacing=1, fsynced=False
    )
    assert await names_of(shadows, device_id) == ["b"]

    await shadows.save(build_change(ShadowKey(device_id, "a"), shadow_of({}, 3)), replacing=2, fsynced=False)

    assert await names_of(shadows, device_id) == ["b", "a"]


async def test_pages_show_every_name_once_while_others_come_and_go(
    shadows: ShadowRepository, device_id: DeviceId
) -> None:
    await write(shadows, device_id, *(f"s{number}" for number in range(5)))
    seen: list[str] = []
    cursor: str | None = None
    for newcomer in ["0", "zz", "a:b", "last"]:
        page = await shadows.list(device_id, limit=2, cursor=cursor)
        seen += [shadow.name for shadow in page.items]
        cursor = page.next_cursor
        await write(shadows, device_id, newcomer)
        # The one shown last goes: the page after it starts at the right place all the same.
        await shadows.save(
            build_change(ShadowKey(device_id, seen[-1]), Shadow(2, is_deleted=True)), replacing=1, fsynced=False
        )

    assert seen == ["s0", "s1", "s2", "s3", "s4", "0", "zz", "a:b"]


async def test_the_last_page_says_so(shadows: ShadowRepository, device_id: DeviceId) -> None:
    await write(shadows, device_id, "a", "b")

    assert (await shadows.list(device_id, limit=2, cursor=None)).next_cursor is None


async def test_lists_of_two_devices_are_apart(shadows: ShadowRepository, device_id: DeviceId) -> None:
    await write(shadows, device_id, "mine")
    await write(shadows, DeviceId(uuid4()), "theirs")

    assert await names_of(shadows, device_id) == ["mine"]


@pytest.mark.parametrize("cursor", ["", "x", "!", encode_cursor("a"), encode_cursor(1, 2), encode_cursor(1.5)])
async def test_a_damaged_cursor_is_refused(shadows: ShadowRepository, device_id: DeviceId, cursor: str) -> None:
    with pytest.raises(CursorMalformedError):
        await shadows.list(device_id, limit=1, cursor=cursor)


@pytest.mark.parametrize("place", [10**300, 10**400, 2**63, -(10**400), -1])
async def test_a_cursor_made_up_of_any_number_gives_some_page(
    shadows: ShadowRepository, device_id: DeviceId, place: int
) -> None:
    await write(shadows, device_id, "a")

    page = await shadows.list(device_id, limit=1, cursor=encode_cursor(place))

    assert [shadow.name for shadow in page.items] == ([] if place > 0 else ["a"])
