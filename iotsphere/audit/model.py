"""The audit trail as it is read: entries, their places in the chain, and what is wrong with it."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from iotsphere.kernel.audit import AuditEntry, AuditOutcome
from iotsphere.kernel.identifiers import OrganisationId


@dataclass(frozen=True, slots=True)
class ChainHead:
    """The last place in the chain and the seal there, which depends on every entry before it."""

    position: int
    seal: bytes

    def __str__(self) -> str:
        return f"{self.position}:{self.seal.hex()}"


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """An entry as it is kept; ``place`` is None until the worker has sealed it."""

    entry: AuditEntry
    place: ChainHead | None = None


@dataclass(frozen=True, slots=True)
class AuditScope:
    """Whose entries somebody sees; ``with_unowned`` adds those of no organisation, where nobody was recognised."""

    organisation_id: OrganisationId
    with_unowned: bool = False


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What a list is narrowed to; None asks for nothing.

    ``actor`` and ``target`` are ``<kind>:<id>`` or the id alone. ``start`` is inclusive, ``end`` exclusive.
    """

    actor: str | None = None
    action: str | None = None
    target: str | None = None
    outcome: AuditOutcome | None = None
    correlation_id: str | None = None
    start: datetime | None = None
    end: datetime | None = None


class ChainFaultKind(StrEnum):
    ALTERED = "altered"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class ChainFault:
    """Something wrong from ``position`` to ``last_position``; ``entry_id`` is that of the entry that stands there.

    An altered entry is one that was changed, put in, or moved there from another place.
    """

    kind: ChainFaultKind
    position: int
    last_position: int
    entry_id: UUID | None = None


@dataclass(slots=True)
class ChainReport:
    """What a walk along the chain has found so far: no more than the first few of ``fault_count`` faults."""

    sealed: int = 0
    head: ChainHead | None = None
    faults: list[ChainFault] = field(default_factory=list)
    fault_count: int = 0


@dataclass(frozen=True, slots=True)
class Waiting:
    """Entries that have no seal yet."""

    count: int
    oldest_at: datetime | None
