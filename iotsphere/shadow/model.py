"""The device shadow: what a device shall be, what it says it is, and how often either was changed."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from iotsphere.kernel.errors import RuleViolationError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.kernel.times import EPOCH
from iotsphere.shadow.documents import JsonObject, delta, merge, show_stamps, stamp

DESIRED = "desired"
REPORTED = "reported"
NAME = re.compile(r"[A-Za-z0-9:_-]{1,64}")


@dataclass(frozen=True, slots=True)
class ShadowKey:
    """Which shadow of which device; the one without a name is there from the beginning.

    :raises RuleViolationError: no shadow can have that name.
    """

    device_id: DeviceId
    name: str | None = None

    def __post_init__(self) -> None:
        if self.name is not None and not NAME.fullmatch(self.name):
            message = "Must be 1 to 64 letters, digits, ':', '_' or '-'."
            raise RuleViolationError("No shadow can have this name.", {"name": [message]})


class ChangeKind(StrEnum):
    """How a version came about: somebody wrote or deleted the shadow, or it was rebuilt with changes missing."""

    UPDATED = "updated"
    DELETED = "deleted"
    RESTORED = "restored"


class RequestState(StrEnum):
    """What became of a desired value; all but the first settle it."""

    PENDING = "pending"
    APPLIED = "applied"
    REFUSED = "refused"
    SUPERSEDED = "superseded"
    CLEARED = "cleared"


@dataclass(frozen=True, slots=True)
class DesiredRefusal:
    """Why a device does not become what it shall be: a code for programs and a sentence for people."""

    code: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Violation:
    """Where a state breaks the schema of its device type; ``path`` reads ``state.reported.heating.target``."""

    path: str
    message: str


@dataclass(frozen=True, slots=True)
class ShadowPatch:
    """A change as it was sent: ``state`` holds the sections to merge, and null where one, or both, shall be cleared.

    ``version`` is the one that the shadow must have for the change to be made, None for any. ``refusals`` are a
    device's, by the JSON pointer of what is desired.
    """

    state: dict[str, JsonObject | None] | None
    version: int | None = None
    client_token: str | None = None
    refusals: dict[str, DesiredRefusal] = field(default_factory=dict)

    @property
    def sections(self) -> dict[str, JsonObject | None]:
        return {DESIRED: None, REPORTED: None} if self.state is None else self.state


@dataclass(frozen=True, slots=True)
class Section:
    """One side of a shadow. An empty one is not shown; ``version`` counts the changes that named it."""

    state: JsonObject = field(default_factory=dict)
    stamps: JsonObject = field(default_factory=dict)
    version: int = 0

    def change(self, patch: JsonObject | None, at: int) -> "Section":
        if patch is None:
            return Section(version=self.version + 1)
        return Section(merge(self.state, patch), merge(self.stamps, stamp(patch, at)), self.version + 1)


@dataclass(frozen=True, slots=True)
class Shadow:
    """Both sections at one version, as it is since ``changed_at``; the epoch for a shadow never written.

    ``pending`` has the shape of what is desired and not settled, with the version that asked for it in place of each
    value. ``violations`` are those of the reported section. A deleted shadow is kept as an empty one, so that its
    version goes on if it is written again.
    """

    version: int = 0
    desired: Section = field(default_factory=Section)
    reported: Section = field(default_factory=Section)
    pending: JsonObject = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)
    changed_at: datetime = EPOCH
    is_deleted: bool = False

    @property
    def state(self) -> JsonObject:
        return _present({DESIRED: self.desired.state, REPORTED: self.reported.state})

    def change(self, sections: dict[str, JsonObject | None], at: datetime) -> "Shadow":
        """Merge a patch; what it settles is told apart (``convergence.settle``)."""
        # A later version is never older, whatever the clocks of several processes say.
        at = max(at, self.changed_at)
        seconds = int(at.timestamp())
        return Shadow(
            version=self.version + 1,
            desired=self.desired.change(sections[DESIRED], seconds) if DESIRED in sections else self.desired,
            reported=self.reported.change(sections[REPORTED], seconds) if REPORTED in sections else self.reported,
            pending=self.pending,
            violations=self.violations,
            changed_at=at,
        )

    def delete(self, at: datetime) -> "Shadow":
        cleared = self.change({DESIRED: None, REPORTED: None}, at)
        return Shadow(
            cleared.version, cleared.desired, cleared.reported, changed_at=cleared.changed_at, is_deleted=True
        )

    def show(self, at: datetime) -> "ShadowDocument":
        """Show the whole document as it is answered at that time."""
        stamps = _present({DESIRED: self.desired.stamps, REPORTED: self.reported.stamps})
        return ShadowDocument(
            state=self.state | _present({"delta": delta(self.desired.state, self.reported.state)}),
            metadata={name: show_stamps(section) for name, section in stamps.items()},
            version=self.version,
            versions={DESIRED: self.desired.version, REPORTED: self.reported.version},
            timestamp=int(at.timestamp()),
            violations=_present({REPORTED: self.violations}),
        )

    def show_then(self) -> "ShadowDocument":
        """Show the whole document as it was answered when this version was made."""
        return self.show(self.changed_at)


@dataclass(frozen=True, slots=True)
class ShadowDocument:
    """A shadow as it is shown; ``timestamp`` is when, in epoch seconds. Only sections with violations are named."""

    state: JsonObject
    metadata: JsonObject
    version: int
    versions: dict[str, int]
    timestamp: int
    violations: dict[str, list[Violation]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a change made of a value that was desired since ``requested_version``, at a JSON pointer."""

    path: str
    requested_version: int
    state: RequestState
    refusal: DesiredRefusal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowChange:
    """An accepted change, with all that the journal keeps of it: ``shadow`` is what it made.

    ``actor`` reads ``user:<id>``, or ``platform`` for a shadow that was rebuilt. ``generation`` is the life of the
    store in which it was made, and ``position`` its place among all changes of it; both are given by the store, as is
    ``size_bytes``, what the change takes there as JSON, the whole shadow included.
    """

    key: ShadowKey
    kind: ChangeKind
    shadow: Shadow
    actor: str
    correlation_id: str
    patch: ShadowPatch | None = None
    settlements: list[Settlement] = field(default_factory=list)
    generation: int = 0
    position: int = 0
    size_bytes: int = field(default=0, compare=False, repr=False)

    @property
    def version(self) -> int:
        return self.shadow.version

    @property
    def at(self) -> datetime:
        return self.shadow.changed_at

    @property
    def timestamp(self) -> int:
        """When it was made, in epoch seconds."""
        return int(self.at.timestamp())

    @property
    def violations(self) -> dict[str, list[Violation]]:
        """Those of each section that has any."""
        return _present({REPORTED: self.shadow.violations})

    @property
    def metadata(self) -> JsonObject:
        """The metadata of the part that was sent, as it is once it is merged."""
        sections = self.patch.sections if self.patch else {}
        return {
            name: show_stamps(merge({}, stamp(section, self.timestamp)))
            for name, section in sections.items()
            if section is not None
        }


@dataclass(frozen=True, slots=True)
class ShadowHead:
    """The last state of a shadow that the journal knows."""

    key: ShadowKey
    shadow: Shadow
    generation: int


@dataclass(frozen=True, slots=True)
class DesiredRequest:
    """A value that a device was asked to take, and what became of it."""

    path: str
    value: Any
    requested_by: str
    requested_at: datetime
    requested_version: int
    state: RequestState = RequestState.PENDING
    settled_at: datetime | None = None
    settled_version: int | None = None
    refusal: DesiredRefusal | None = None


@dataclass(frozen=True, slots=True)
class Generation:
    """A life of the shadow store, from one loss of its data to the next.

    ``position`` is the last change of it that the journal has heard of. Where changes may have been lost with the
    life before, versions go on ``version_jump`` further; None as long as that is not decided.
    """

    number: int
    began_at: datetime
    position: int = 0
    version_jump: int | None = None
    rebuilt_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NamedShadow:
    """An entry in the list of a device's named shadows."""

    name: str
    version: int


def _present(sections: dict[str, Any]) -> JsonObject:
    return {name: section for name, section in sections.items() if section}
