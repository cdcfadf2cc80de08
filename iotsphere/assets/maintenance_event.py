"""What the maintenance log holds: what befell a device, and what was done to it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import ClassVar

from iotsphere.assets.documents import check_storable, refusal
from iotsphere.kernel.errors import RuleViolationError
from iotsphere.kernel.identifiers import DeviceId, MaintenanceEventId, OrganisationId

MAX_COMPONENT_LENGTH = 128
MAX_NOTES_BYTES = 8 * 1024
# Plants are older than computers. What is said to be from before that is a slip of the pen.
EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
# So far ahead of ours the clock may go of somebody who writes down what happens just now.
MAX_CLOCK_SKEW = timedelta(minutes=5)
# Enough for every currency; and a sum of a fleet's costs stays a number that everything can read.
MAX_COST = 10**18


class MaintenanceKind(StrEnum):
    """An installation and a replacement start a life, of the component or of the whole device; a failure ends one."""

    FAILURE = "failure"
    REPAIR = "repair"
    REPLACEMENT = "replacement"
    INSPECTION = "inspection"
    INSTALLATION = "installation"


@dataclass(frozen=True, slots=True)
class MaintenanceDraft:
    """What somebody says has happened. One that breaks a rule cannot be made.

    Without a component it has happened to the whole device. ``cost`` has no currency: an organisation has one.

    :raises RuleViolationError: ``errors`` names the field.
    """

    kind: MaintenanceKind
    occurred_at: datetime
    component: str | None = None
    notes: str | None = None
    cost: int | float | None = None

    def __post_init__(self) -> None:
        if self.occurred_at < EARLIEST:
            raise refusal("occurred_at", f"Must not be before {EARLIEST.year}.")
        if self.component is not None:
            _check_component(self.component)
        if self.notes is not None:
            _check_notes(self.notes)
        if self.cost is not None and not 0 <= self.cost <= MAX_COST:
            raise refusal("cost", f"Must be a number from 0 to {MAX_COST:.0e}.")

    def check_past(self, now: datetime) -> None:
        """:raises RuleViolationError: it is said to happen after ``now``, by more than clocks differ."""
        if self.occurred_at > now + MAX_CLOCK_SKEW:
            message = f"Must not be in the future; {MAX_CLOCK_SKEW.seconds // 60} minutes are let pass."
            raise refusal("occurred_at", message)


def _check_component(component: str) -> None:
    if not 1 <= len(component) <= MAX_COMPONENT_LENGTH:
        raise refusal("component", f"A text of 1 to {MAX_COMPONENT_LENGTH} characters is needed.")
    check_storable(component, "component")


def _check_notes(notes: str) -> None:
    check_storable(notes, "notes")
    if not 1 <= len(notes.encode()) <= MAX_NOTES_BYTES:
        raise refusal("notes", f"A text of 1 to {MAX_NOTES_BYTES} bytes is needed.")


@dataclass(frozen=True, slots=True)
class MaintenanceEvent:
    """An entry of the log. It is never changed: a mistake is removed, and recorded anew.

    ``recorded_by`` is the actor's name, as the audit trail has it.
    """

    id: MaintenanceEventId
    organisation_id: OrganisationId
    device_id: DeviceId
    kind: MaintenanceKind
    component: str | None
    occurred_at: datetime
    notes: str | None
    cost: int | float | None
    recorded_by: str
    recorded_at: datetime
    version: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class MaintenanceFilter:
    """What a list of events is narrowed to: none of them is before ``start``, all are before ``end``."""

    device_ids: frozenset[DeviceId] | None = None
    kind: MaintenanceKind | None = None
    component: str | None = None
    start: datetime | None = None
    end: datetime | None = None

    def __post_init__(self) -> None:
        if self.component is not None:
            _check_component(self.component)


MaintenanceOutcome = MaintenanceEvent | RuleViolationError
"""What became of one draft of many."""
