"""What room readings take, and the figures that are worked out from them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple

READINGS = "readings"


class StoredChunk(NamedTuple):
    """A table, or a part of one that lies by itself, by its name in the store; ``size`` is bytes, with indexes."""

    table: str
    name: str
    size: int
    is_compressed: bool


class ChunkContent(NamedTuple):
    readings: int
    points: int


@dataclass(slots=True)
class StorageShare:
    """What the chunks of a table take, those that are compressed apart from the others.

    Readings and points are None where the table holds figures.
    """

    table: str
    is_compressed: bool
    chunks: int = 0
    size: int = 0
    readings: int | None = None
    points: int | None = None

    def add(self, chunk: StoredChunk, content: ChunkContent | None) -> None:
        self.chunks += 1
        self.size += chunk.size
        if content is not None:
            self.readings = (self.readings or 0) + content.readings
            self.points = (self.points or 0) + content.points


@dataclass(frozen=True, slots=True)
class StorageReport:
    """``compress_after`` is the age at which chunks are compressed, None for never; ``due`` are yet to be."""

    can_compress: bool
    compress_after: timedelta | None
    due: int = 0
    shares: list[StorageShare] = field(default_factory=list)

    @property
    def points(self) -> int:
        return sum(share.points or 0 for share in self.shares)

    @property
    def size(self) -> int:
        return sum(share.size for share in self.shares)


def part_by_table(counted: Iterable[tuple[StoredChunk, ChunkContent | None]]) -> list[StorageShare]:
    shares: dict[tuple[str, bool], StorageShare] = {}
    for chunk, content in counted:
        kind = (chunk.table, chunk.is_compressed)
        shares.setdefault(kind, StorageShare(*kind)).add(chunk, content)
    return [shares[kind] for kind in sorted(shares)]
