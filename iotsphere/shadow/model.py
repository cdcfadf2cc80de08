"""The device shadow: what a device shall be, what it says it is, and how often either was changed."""

import re
from dataclasses import dataclass, field
from typing import Any

from iotsphere.kernel.errors import RuleViolationError
from iotsphere.kernel.identifiers import DeviceId
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


@dataclass(frozen=True, slots=True)
class ShadowPatch:
    """A change as it was sent: ``state`` holds the sections to merge, and null where one, or both, shall be cleared.

    ``version`` is the one that the shadow must have for the change to be made, None for any.
    """

    state: dict[str, JsonObject | None] | None
    version: int | None = None
    client_token: str | None = None

    @property
    def sections(self) -> dict[str, JsonObject | None]:
        return {DESIRED: None, REPORTED: None} if self.state is None else self.state

    def metadata(self, at: int) -> JsonObject:
        """The metadata of the part that was sent, had it been merged at that time."""
        return {
            name: show_stamps(merge({}, stamp(section, at)))
            for name, section in self.sections.items()
            if section is not None
        }


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
    """Both sections at one version. ``changed_at`` is in epoch seconds, 0 for a shadow never written.

    A deleted shadow is kept as an empty one, so that its version goes on if it is written again.
    """

    version: int = 0
    desired: Section = field(default_factory=Section)
    reported: Section = field(default_factory=Section)
    changed_at: int = 0
    is_deleted: bool = False

    @property
    def state(self) -> JsonObject:
        return _present({DESIRED: self.desired.state, REPORTED: self.reported.state})

    def change(self, sections: dict[str, JsonObject | None], at: int) -> "Shadow":
        return Shadow(
            version=self.version + 1,
            desired=self.desired.change(sections[DESIRED], at) if DESIRED in sections else self.desired,
            reported=self.reported.change(sections[REPORTED], at) if REPORTED in sections else self.reported,
            changed_at=at,
        )

    def delete(self, at: int) -> "Shadow":
        cleared = self.change({DESIRED: None, REPORTED: None}, at)
        return Shadow(cleared.version, cleared.desired, cleared.reported, at, is_deleted=True)

    def show(self, at: int) -> "ShadowDocument":
        """Show the whole document as it is answered at that time."""
        stamps = _present({DESIRED: self.desired.stamps, REPORTED: self.reported.stamps})
        return ShadowDocument(
            state=self.state | _present({"delta": delta(self.desired.state, self.reported.state)}),
            metadata={name: show_stamps(section) for name, section in stamps.items()},
            version=self.version,
            versions={DESIRED: self.desired.version, REPORTED: self.reported.version},
            timestamp=at,
        )


@dataclass(frozen=True, slots=True)
class ShadowDocument:
    """A shadow as it is shown; ``timestamp`` is when, in epoch seconds."""

    state: JsonObject
    metadata: JsonObject
    version: int
    versions: dict[str, int]
    timestamp: int


@dataclass(frozen=True, slots=True)
class ShadowChange:
    """An accepted patch: what was sent, its metadata, and the version it made of the shadow at ``timestamp``."""

    state: dict[str, JsonObject | None] | None
    metadata: JsonObject
    version: int
    timestamp: int
    client_token: str | None


@dataclass(frozen=True, slots=True)
class NamedShadow:
    """An entry in the list of a device's named shadows."""

    name: str
    version: int


def _present(sections: dict[str, Any]) -> JsonObject:
    return {name: section for name, section in sections.items() if section}
