"""Who is acting, and how much they may do. Every service that records or limits something is told."""

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from uuid import UUID

from iotsphere.kernel.identifiers import DeviceId, OrganisationId


class Role(IntEnum):
    """Each role may do whatever the one before it may."""

    VIEWER = 1
    ENGINEER = 2
    OPERATOR = 3
    ADMIN = 4


class ActorKind(StrEnum):
    USER = "user"
    INTEGRATION = "integration"
    DEVICE = "device"
    PROVISIONING_KEY = "provisioning_key"


@dataclass(frozen=True, slots=True)
class Actor:
    """An authenticated caller.

    ``role`` is None for a device, which acts for ``device_id`` alone, and for a provisioning key, which may make
    devices and nothing else; ``device_id`` is None for everybody but a device. ``session_id`` is the log-in through
    which a user acts, and says nothing about who it is.
    """

    kind: ActorKind
    id: UUID
    organisation_id: OrganisationId
    role: Role | None = None
    device_id: DeviceId | None = None
    is_platform_administrator: bool = False
    session_id: UUID | None = field(default=None, compare=False)

    def may(self, role: Role) -> bool:
        return self.role is not None and self.role >= role

    @property
    def name(self) -> str:
        """The actor in one word, as history and audit keep it: ``user:<id>``."""
        return f"{self.kind}:{self.id}"
