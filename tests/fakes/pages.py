"""How far a page of documents goes."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from iotsphere.assets.documents import size_of
from iotsphere.assets.model import Asset
from iotsphere.kernel.pagination import MAX_PAGE_BYTES

T = TypeVar("T")


def within_room(items: Sequence[T], limit: int, document_of: Callable[[T], Any]) -> list[T]:
    shown: list[T] = []
    taken = 0
    for item in items[:limit]:
        if taken >= MAX_PAGE_BYTES:
            break
        shown.append(item)
        taken += size_of(document_of(item))
    return shown


def documents_of(asset: Asset) -> list[Any]:
    return [asset.properties, asset.capabilities]
