from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self

from iotsphere.kernel.identifiers import CredentialId, DeviceId, EventId, OrganisationId, ProvisioningKeyId
from iotsphere.registry.errors import (
    CredentialRotatedError,
    ExpiryPastError,
    ProvisioningKeyExpiredError,
    ProvisioningKeySpentError,
    TooManyLabelsError,
)

# A device that was heard of within this time counts as online.
ONLINE_FOR = timedelta(seconds=90)
MAX_LABELS = 64
# Enough for a rotation and a spare on every protocol; a list of them is never long.
MAX_LIVE_CREDENTIALS = 20


class DeviceStatus(StrEnum):
    PROVISIONED = "provisioned"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    RETIRED = "retired"


class Connectivity(StrEnum):
    ONLINE = "online"
    OFFLINE = "offline"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Device:
    """A machine that reports. What it is made of is the asset database's; what it said, telemetry's and shadow's."""

    id: DeviceId
    organisation_id: OrganisationId
    serial_number: str
    device_type: str
    name: str
    created_at: datetime
    updated_at: datetime
    labels: dict[str, str] = field(default_factory=dict)
    status: DeviceStatus = DeviceStatus.PROVISIONED
    last_seen_at: datetime | None = None
    version: int = 1

    def connectivity(self, *, now: datetime) -> Connectivity:
        """Derive it from the last contact: online within 90 s of it, unknown before the first."""
        if self.last_seen_at is None:
            return Connectivity.UNKNOWN
        return Connectivity.ONLINE if now - self.last_seen_at <= ONLINE_FOR else Connectivity.OFFLINE

    def change(
        self,
        *,
        name: str | None = None,
        labels: dict[str, str | None] | None = None,
        status: DeviceStatus | None = None,
        changed_at: datetime,
    ) -> Self:
        """Apply what is given; ``labels`` merge key by key, and None takes a label away.

        :raises TooManyLabelsError: more than 64 labels result.
        """
        merged = {key: value for key, value in (self.labels | (labels or {})).items() if value is not None}
        if len(merged) > MAX_LABELS:
            raise TooManyLabelsError(MAX_LABELS)
        return replace(
            self,
            name=self.name if name is None else name,
            labels=merged,
            status=self.status if status is None else status,
            updated_at=changed_at,
            version=self.version + 1,
        )


@dataclass(frozen=True, slots=True)
class DeviceDraft:
    """What is said of a device that is to be registered; ``asset`` describes it to the asset database."""

    serial_number: str
    device_type: str
    name: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    asset: dict[str, Any] = field(default_factory=dict)
    status: DeviceStatus = DeviceStatus.PROVISIONED


@dataclass(frozen=True, slots=True)
class DeviceFilter:
    """What a list of devices is narrowed to: ``any_label`` to those that have at least one of these labels.

    ``q`` is looked for within serial numbers and names.
    """

    device_type: str | None = None
    status: DeviceStatus | None = None
    any_label: tuple[tuple[str, str], ...] = ()
    q: str | None = None


@dataclass(frozen=True, slots=True)
class Credential:
    """A device's right to speak. The secret itself is known to its holder alone."""

    id: CredentialId
    device_id: DeviceId
    label: str | None
    secret_hash: bytes
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    rotated_at: datetime | None = None

    @property
    def version(self) -> int:
        """Only a rotation changes a credential that can still be seen."""
        return 1 if self.rotated_at is None else 2

    def is_live(self, *, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)

    def rotate(self, *, at: datetime, grace: timedelta) -> Self:
        """Give way to another credential, after the grace or at once; never later than it would have ended.

        :raises CredentialRotatedError: it has given way to one already.
        """
        if self.rotated_at is not None:
            raise CredentialRotatedError
        if not grace:
            # Revoked rather than expired: on a clock that is a moment behind, the end would not have come yet.
            return replace(self, rotated_at=at, revoked_at=at)
        return replace(self, rotated_at=at, expires_at=min(at + grace, self.expires_at or at + grace))


def require_future(expires_at: datetime | None, *, now: datetime) -> None:
    """:raises ExpiryPastError: it would be over before it began."""
    if expires_at is not None and expires_at <= now:
        raise ExpiryPastError


@dataclass(frozen=True, slots=True)
class IssuedCredential:
    """A new credential with its API key, which is shown this once."""

    credential: Credential
    api_key: str

    @property
    def version(self) -> int:
        return self.credential.version


@dataclass(frozen=True, slots=True)
class ProvisioningKey:
    """The right to make so many devices of a type until a moment, for devices that are still to be made."""

    id: ProvisioningKeyId
    organisation_id: OrganisationId
    device_type: str
    max_devices: int
    secret_hash: bytes
    created_at: datetime
    expires_at: datetime
    provisioned: int = 0
    revoked_at: datetime | None = None

    @property
    def version(self) -> int:
        """Every use changes it, and nothing else does while it can be seen."""
        return self.provisioned + 1

    def use(self, *, now: datetime) -> Self:
        """Count one more device.

        :raises ProvisioningKeyExpiredError: its time is over.
        :raises ProvisioningKeySpentError: it has made all that it may make.
        """
        if self.expires_at <= now:
            raise ProvisioningKeyExpiredError
        if self.provisioned >= self.max_devices:
            raise ProvisioningKeySpentError
        return replace(self, provisioned=self.provisioned + 1)


@dataclass(frozen=True, slots=True)
class IssuedProvisioningKey:
    """A new provisioning key with its text, which is shown this once."""

    key: ProvisioningKey
    text: str

    @property
    def version(self) -> int:
        return self.key.version


class EventKind(StrEnum):
    DEVICE_REGISTERED = "device_registered"


@dataclass(frozen=True, slots=True)
class OutboxEvent:
    """Something that the other stores have yet to hear of; committed together with the row it tells about.

    ``actor`` is who made it happen, in one word.
    """

    id: EventId
    kind: EventKind
    organisation_id: OrganisationId
    device_id: DeviceId
    payload: dict[str, Any]
    actor: str
    correlation_id: str
    created_at: datetime
    due_at: datetime
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class ProvisionedDevice:
    """A device that has made itself known with a provisioning key, and its first API key, shown this once."""

    device: Device
    api_key: str
    event: OutboxEvent
