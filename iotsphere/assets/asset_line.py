"""What a line of a file says of an asset, and what a file names while its lines are worked through."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Self, TypeVar, cast

from iotsphere.assets.documents import refusal
from iotsphere.assets.errors import TreeBusyError
from iotsphere.assets.model import AssetPatch
from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import AssetId, DeviceId, OrganisationId

MAX_KEY_LENGTH = 64
# Of one file, all told: as long as to move the largest trees takes.
MOST_WAITS = 30
WAIT_SECONDS = 1.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetLine:
    """What a line says of the asset that it names, or of a new one if it names none.

    An asset is named by its id, or as that of a device, by the id or the serial number of this one. ``key`` is what
    lines further down call it, as their ``parent_key`` if they are to be below it.
    """

    patch: AssetPatch
    key: str | None = None
    parent_key: str | None = None
    asset_id: AssetId | None = None
    device_id: DeviceId | None = None
    serial_number: str | None = None

    def as_copy(self) -> Self:
        """Give what a line says that was written elsewhere: ids are keys, and devices are known by serial number.

        :raises RuleViolationError: it tells of the asset of a device, and not of which.
        """
        if self.device_id is not None and self.serial_number is None:
            raise refusal("serial_number", "Needed of a device that is copied.")
        parent_id = self.patch.get("parent_id")
        patch = {member: value for member, value in self.patch.items() if member != "parent_id" or value is None}
        return replace(
            self,
            patch=cast("AssetPatch", patch),
            key=self.key or _text(self.asset_id),
            parent_key=self.parent_key or _text(parent_id),
            asset_id=None,
            device_id=None,
        )


@dataclass(frozen=True, slots=True)
class KnownAsset:
    """As much of an asset as tells in which order lines that name it are worked through.

    ``is_parent`` says that others are below it, and ``size`` how many bytes its properties and capabilities take.
    """

    id: AssetId
    device_id: DeviceId | None
    parent_id: AssetId | None
    is_parent: bool
    size: int


def _text(asset_id: AssetId | None) -> str | None:
    return None if asset_id is None else str(asset_id)


class AssetFile:
    """What is to be known of a file from one portion of its lines to the next: which asset has which key.

    ``actor`` is who brings it, in one word, as the history of assets keeps it.
    """

    def __init__(self, organisation_id: OrganisationId, *, actor: str, is_copy: bool = False) -> None:
        self.organisation_id = organisation_id
        self.actor = actor
        self.is_copy = is_copy
        self._ids: dict[str, AssetId] = {}
        self._waits_left = MOST_WAITS

    def find(self, key: str) -> AssetId | None:
        return self._ids.get(key)

    def remember(self, key: str, asset_id: AssetId) -> None:
        self._ids[key] = asset_id

    async def patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do it once more where a store does not answer, or others are at the trees, as long as there is time.

        Lines that are left out for that could not simply be sent again: the keys in them are of this file.

        :raises UnavailableError: it still does not answer.
        :raises TreeBusyError: they still are.
        """
        while True:
            try:
                return await work()
            except (UnavailableError, TreeBusyError):
                if not self._waits_left:
                    raise
                self._waits_left -= 1
            await asyncio.sleep(WAIT_SECONDS)
