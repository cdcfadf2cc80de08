from collections.abc import Sequence
from typing import Protocol

from iotsphere.throttling.model import Demand, Taking


class ThrottleStore(Protocol):
    """Every method raises UnavailableError when the store does not answer within the time it is given."""

    async def take(self, demands: Sequence[Demand]) -> Taking:
        """Take from all of several allowances, or from none; nothing comes between, whoever else takes."""

    async def give_back(self, demands: Sequence[Demand]) -> None:
        """Give back what was taken, and not used."""

    async def add_familiar(self, account: str, network: str) -> None:
        """Keep for FAMILIAR_SECONDS that the account's owner has been at the network."""

    async def find_familiar(self, account: str, network: str) -> bool:
        """Tell whether the account's owner has been at the network lately."""
