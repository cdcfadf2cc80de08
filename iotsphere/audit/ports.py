import builtins
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Protocol, Self

from iotsphere.audit.model import AuditFilter, AuditRecord, AuditScope, ChainHead, Waiting
from iotsphere.kernel.audit import AuditEntry
from iotsphere.kernel.pagination import Page


class AuditTrailRepository(Protocol):
    """The trail as those see it who read and seal it."""

    async def add(self, *entries: AuditEntry) -> None: ...

    async def list(
        self, scope: AuditScope, narrowed_to: AuditFilter, *, limit: int, cursor: str | None
    ) -> Page[AuditRecord]:
        """List by time, the oldest first.

        :raises CursorMalformedError: the cursor is not one of this list.
        """

    async def find_head(self, *, for_sealing: bool = False) -> ChainHead | None:
        """Give the end of the chain; ``for_sealing`` keeps others from lengthening it until the transaction ends."""

    async def find_place(self, position: int) -> ChainHead | None:
        """Give the seal at a position."""

    async def list_unsealed(self, *, limit: int) -> builtins.list[AuditEntry]:
        """List what has no place in the chain, by time and id."""

    async def list_sealed(self, *, after: int | None, limit: int) -> builtins.list[AuditRecord]:
        """List in the order of the chain what stands behind a position, or from its beginning."""

    async def save_places(self, records: Iterable[AuditRecord]) -> None:
        """Keep the places and seals of entries that had none."""

    async def count_unsealed(self) -> Waiting: ...


class AuditUnitOfWork(Protocol):
    trail: AuditTrailRepository

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    async def commit(self) -> None: ...


AuditUnitOfWorkFactory = Callable[[], AuditUnitOfWork]
