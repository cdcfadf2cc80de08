from typing import Protocol

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.kernel.pagination import Page
from iotsphere.shadow.model import NamedShadow, Shadow, ShadowKey


class ShadowRepository(Protocol):
    """Every method raises UnavailableError when the store does not answer within the time it is given."""

    async def find(self, key: ShadowKey) -> Shadow | None:
        """Give the shadow, also a deleted one; None if it was never written."""

    async def save(self, key: ShadowKey, shadow: Shadow, *, replacing: int, fsynced: bool) -> bool:
        """Store the shadow if the stored one still has the version ``replacing``, 0 for none.

        False means that another write came first, and that nothing was stored. With ``fsynced``, True is given only
        when the change is on the disk.

        :raises ShadowChangeUnconfirmedError: it is not known whether it was stored.
        """

    async def list(self, device_id: DeviceId, *, limit: int, cursor: str | None) -> Page[NamedShadow]:
        """List the named shadows that are there, the newest last.

        :raises CursorMalformedError: the cursor is none of this list.
        """
