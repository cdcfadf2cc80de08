"""What the audit trail keeps: who tried what, on what, from where, and how it ended.

An ``Attempt`` goes with every call that may change something. The service that makes the change adds the entry to the
trail in the same transaction, so that there is neither a change without an entry nor an entry without a change.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID, uuid4

from iotsphere.kernel.actor import Actor
from iotsphere.kernel.identifiers import OrganisationId

NOBODY = "anonymous"


class AuditOutcome(StrEnum):
    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the trail. ``actor`` and ``target`` read ``<kind>:<id>``; ``code`` is that of a refusal.

    Without an organisation, because nobody was recognised, it is for the platform administrator to see.
    """

    at: datetime
    organisation_id: OrganisationId | None
    actor: str
    action: str
    target: str | None
    address: str
    correlation_id: str
    outcome: AuditOutcome
    code: str | None = None
    details: dict[str, Any] = field(default_factory=dict)
    id: UUID = field(default_factory=uuid4)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request to do something: ``action`` is the name of the operation, ``address`` where it came from.

    ``actor`` is None where nobody is recognised, as before a log-in.
    """

    actor: Actor | None
    action: str
    address: str
    correlation_id: str

    @property
    def caller(self) -> Actor:
        """Who acts; somebody has been recognised by then."""
        assert self.actor is not None  # noqa: S101  # an operation that anybody may call does not ask
        return self.actor

    @property
    def organisation_id(self) -> OrganisationId:
        """The organisation that is acted for."""
        return self.caller.organisation_id

    def done(self, target: str, *, at: datetime, by: Actor | None = None, **details: Any) -> AuditEntry:
        """Give the entry for what was done to ``target``; ``by`` names who turned out to be acting.

        ``details`` say what changed, and never hold a secret.
        """
        return self._entry(at=at, actor=by or self.actor, target=target, outcome=AuditOutcome.DONE, details=details)

    def refused(
        self,
        code: str,
        *,
        at: datetime,
        target: str | None = None,
        organisation_id: OrganisationId | None = None,
        **details: Any,
    ) -> AuditEntry:
        """Give the entry for a refusal; the organisation is the one whose thing was tried, if nobody is acting."""
        return self._entry(
            at=at,
            actor=self.actor,
            target=target,
            outcome=AuditOutcome.REFUSED,
            code=code,
            organisation_id=organisation_id,
            details=details,
        )

    def _entry(
        self, *, actor: Actor | None, organisation_id: OrganisationId | None = None, **given: Any
    ) -> AuditEntry:
        return AuditEntry(
            actor=actor.name if actor else NOBODY,
            organisation_id=actor.organisation_id if actor else organisation_id,
            action=self.action,
            address=self.address,
            correlation_id=self.correlation_id,
            **given,
        )


class AuditTrail(Protocol):
    """The trail as those see it who write it; nobody changes or removes what it holds."""

    async def add(self, *entries: AuditEntry) -> None: ...
