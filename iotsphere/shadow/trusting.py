"""What shadows do with for as long as nothing verifies their store."""

from iotsphere.shadow.model import ShadowChange, ShadowKey
from iotsphere.shadow.ports import ShadowStoreKeeper


class TrustingRecovery:
    """Takes whatever the store holds as it is. Goes when ``ShadowRecovery`` verifies it."""

    def __init__(self, keeper: ShadowStoreKeeper) -> None:
        self._keeper = keeper

    @property
    def is_rebuilding(self) -> bool:
        return False

    async def verify(self) -> None:
        condition = await self._keeper.look()
        generation = condition.generation or 1
        if condition.generation is None:
            await self._keeper.adopt_old_layout(generation=generation)
            await self._keeper.begin(generation, is_rebuilding=False)
        self._keeper.adopt(condition, generation=generation)

    async def restore(self, key: ShadowKey) -> None:
        """Nothing is ever lost that would have to be."""

    def remember(self, change: ShadowChange) -> None:
        """Nobody will ask for it."""

    def doubt(self) -> None:
        """Nobody will ask for it."""
