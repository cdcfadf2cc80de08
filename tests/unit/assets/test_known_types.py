"""What is remembered of device types, and for how long."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self
from uuid import uuid4

import pytest

from iotsphere.assets.device_type import DeviceType
from iotsphere.assets.known_types import KnownTypes
from iotsphere.assets.shadow_schema import ShadowSchema
from iotsphere.assets.shipped_types import ShippedTypes
from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import OrganisationId
from tests.factories.assets import build_device_type
from tests.fakes.assets import DeviceTypes, InMemoryAssetsUnitOfWork

OURS = OrganisationId(uuid4())


class WatchedStore:
    """An asset database that counts its readers, and may be away, or keep them waiting."""

    def __init__(self) -> None:
        self.stored: DeviceTypes = {}
        self.is_away = False
        self.readers = 0
        self.at_the_door: Callable[[], Any] | None = None
        self.now = 0.0
        self.known_types = KnownTypes(
            unit_of_work=self.open, shipped=ShippedTypes({}), monotonic=lambda: self.now, most_types=3
        )

    def keep(self, **given: Any) -> DeviceType:
        device_type = build_device_type(organisation_id=OURS, name=given.pop("name", "boiler"), **given)
        self.stored[OURS, device_type.name] = device_type
        return device_type

    def open(self) -> InMemoryAssetsUnitOfWork:
        store = self

        class Watched(InMemoryAssetsUnitOfWork):
            async def __aenter__(self) -> Self:
                store.readers += 1
                entered = await super().__aenter__()
                if store.at_the_door is not None:
                    await store.at_the_door()
                if store.is_away:
                    raise UnavailableError("assets", "It is away.")
                return entered

        return Watched({}, self.stored)

    async def find(self, name: str = "boiler") -> ShadowSchema | None:
        return await self.known_types.find_schema(organisation_id=OURS, device_type=name)


@pytest.fixture
def store() -> WatchedStore:
    return WatchedStore()


def refuses(schema: ShadowSchema | None, state: dict[str, Any]) -> bool:
    assert schema is not None
    return schema.violations(state, is_whole=True, limit=1) != []


async def test_it_is_read_once_a_second_at_the_most(store: WatchedStore) -> None:
    store.keep()

    first = await store.find()
    store.now = 0.99
    assert await store.find() is first
    assert store.readers == 1
    store.now = 1.0
    # Nothing has changed, so that nothing is compiled anew.
    assert await store.find() is first
    assert store.readers == 2


async def test_that_there_is_none_is_remembered_too(store: WatchedStore) -> None:
    store.keep(name="plain", shadow_schema=None)

    assert [await store.find(name) for name in ("plain", "unheard-of") * 3] == [None] * 6
    assert store.readers == 2


async def test_what_another_process_changed_counts_a_second_later(store: WatchedStore) -> None:
    kept = store.keep(shadow_schema={"required": ["a"]})
    assert refuses(await store.find(), {})
    store.stored[OURS, "boiler"] = replace(kept, shadow_schema={}, version=2)

    assert refuses(await store.find(), {})
    store.now = 1.0
    assert not refuses(await store.find(), {})


async def test_many_who_ask_at_once_read_once(store: WatchedStore) -> None:
    store.keep()

    found = await asyncio.gather(*(store.find() for _ in range(50)))

    assert len(set(map(id, found))) == 1
    assert store.readers == 1


async def test_while_the_store_is_away_the_last_known_one_goes_on_counting(store: WatchedStore) -> None:
    store.keep(shadow_schema={"required": ["a"]})
    await store.find()
    store.is_away = True

    for store.now in (10.0, 10.5, 100_000.0):
        assert refuses(await store.find(), {})
    # A store that is away is not asked for every write.
    assert store.readers == 3


async def test_what_was_never_known_cannot_be_told_while_the_store_is_away(store: WatchedStore) -> None:
    store.keep()
    store.is_away = True

    for _ in range(2):
        with pytest.raises(UnavailableError):
            await store.find()

    store.is_away = False
    assert await store.find() is not None


async def test_a_store_that_does_not_answer_is_not_waited_for_where_something_is_known(store: WatchedStore) -> None:
    store.keep()
    known = await store.find()
    answering = asyncio.Event()
    store.at_the_door = answering.wait
    store.now = 1.0

    assert await store.find() is known
    answering.set()


async def test_what_was_changed_meanwhile_is_not_remembered_as_it_was(store: WatchedStore) -> None:
    kept = store.keep(shadow_schema={"required": ["a"]})
    let_on = asyncio.Event()
    store.at_the_door = let_on.wait
    reading = asyncio.create_task(store.find())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    store.stored[OURS, "boiler"] = replace(kept, shadow_schema={}, version=2)
    store.known_types.forget(OURS, "boiler")
    store.at_the_door = None

    assert not refuses(await store.find(), {})
    let_on.set()
    assert refuses(await reading, {})
    assert not refuses(await store.find(), {})


async def test_whoever_goes_away_takes_nobodys_answer_along(store: WatchedStore) -> None:
    store.keep()
    let_on = asyncio.Event()
    store.at_the_door = let_on.wait
    leaving, staying = (asyncio.create_task(store.find()) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    let_on.set()

    assert await staying is not None
    assert store.readers == 1


async def test_no_more_types_are_remembered_than_may_be(store: WatchedStore) -> None:
    for name in "abcd":
        store.keep(name=name)
        await store.find(name)

    await store.find("d")
    assert store.readers == 4
    await store.find("a")
    assert store.readers == 5


async def test_the_units_of_its_metrics_are_read_along(store: WatchedStore) -> None:
    plain = {"name": "mode", "unit": "", "type": "string"}
    kept = store.keep(metrics=[{"name": "flow", "unit": "l/min", "type": "number"}, plain])
    await store.find()

    assert await store.known_types.find_units(organisation_id=OURS, device_type="boiler") == {"flow": "l/min"}
    assert store.readers == 1
    store.stored[OURS, "boiler"] = replace(kept, metrics=[plain], version=2)
    store.now = 1.0
    assert await store.known_types.find_units(organisation_id=OURS, device_type="boiler") == {}
    assert await store.known_types.find_units(organisation_id=OURS, device_type="unheard-of") == {}
