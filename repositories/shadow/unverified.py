"""Shadows for as long as nothing verifies the store: whatever is found there is taken as it is."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.kernel.pagination import Page
from iotsphere.shadow.errors import StoreUnverifiedError
from iotsphere.shadow.model import NamedShadow, Shadow, ShadowChange, ShadowKey
from repositories.shadow.keeper import RedisShadowStoreKeeper
from repositories.shadow.shadows import RedisShadowRepository
from repositories.shadow.store import ShadowStore

T = TypeVar("T")


class TrustingShadowRepository:
    """Goes when ``ShadowRecovery`` verifies the store."""

    def __init__(self, store: ShadowStore) -> None:
        self._shadows = RedisShadowRepository(store)
        self._keeper = RedisShadowStoreKeeper(store)

    async def find(self, key: ShadowKey) -> Shadow | None:
        return await self._trusting(lambda: self._shadows.find(key))

    async def save(self, change: ShadowChange, *, replacing: int, fsynced: bool) -> ShadowChange | None:
        return await self._trusting(lambda: self._shadows.save(change, replacing=replacing, fsynced=fsynced))

    async def list(self, device_id: DeviceId, *, limit: int, cursor: str | None) -> Page[NamedShadow]:
        return await self._trusting(lambda: self._shadows.list(device_id, limit=limit, cursor=cursor))

    async def _trusting(self, act: Callable[[], Awaitable[T]]) -> T:
        try:
            return await act()
        except StoreUnverifiedError:
            condition = await self._keeper.look()
            generation = condition.generation or 1
            if condition.generation is None:
                await self._keeper.adopt_old_layout(generation=generation)
                await self._keeper.begin(generation, is_rebuilding=False)
            self._keeper.adopt(condition, generation=generation)
            return await act()
