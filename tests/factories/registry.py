# mypy: disable-error-code="no-untyped-call"
# factory-boy's declarations carry no types; the functions at the end put them back.

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from factory.base import Factory
from factory.declarations import LazyAttribute, LazyFunction, SelfAttribute, Sequence

from iotsphere.identity.secrets import hash_secret
from iotsphere.registry.model import Credential, Device, DeviceStatus, EventKind, OutboxEvent, ProvisioningKey

FIRST_DAY = datetime(2026, 11, 20, tzinfo=UTC)


class DeviceFactory(Factory[Device]):
    """Provisioned devices of one organisation each, every one a second younger than the one before."""

    class Meta:
        model = Device

    id = LazyFunction(uuid4)
    organisation_id = LazyFunction(uuid4)
    serial_number = Sequence(lambda number: f"SN-{number}")
    device_type = "pump"
    name = LazyAttribute(lambda device: f"Pump {device.serial_number}")
    labels = LazyFunction(lambda: {"site": "north"})
    status = DeviceStatus.PROVISIONED
    last_seen_at = None
    created_at = Sequence(lambda number: FIRST_DAY + timedelta(seconds=number))
    updated_at = SelfAttribute("created_at")
    version = 1


class CredentialFactory(Factory[Credential]):
    class Meta:
        model = Credential

    id = LazyFunction(uuid4)
    device_id = LazyFunction(uuid4)
    label = "workshop"
    secret_hash = LazyAttribute(lambda credential: hash_secret(str(credential.id)))
    created_at = Sequence(lambda number: FIRST_DAY + timedelta(seconds=number))
    expires_at = None
    revoked_at = None


class ProvisioningKeyFactory(Factory[ProvisioningKey]):
    """Unused keys for ten pumps, good for a year."""

    class Meta:
        model = ProvisioningKey

    id = LazyFunction(uuid4)
    organisation_id = LazyFunction(uuid4)
    device_type = "pump"
    max_devices = 10
    secret_hash = LazyAttribute(lambda key: hash_secret(str(key.id)))
    created_at = Sequence(lambda number: FIRST_DAY + timedelta(seconds=number))
    expires_at = LazyAttribute(lambda key: key.created_at + timedelta(days=365))
    provisioned = 0
    revoked_at = None


class OutboxEventFactory(Factory[OutboxEvent]):
    """Events that are due as soon as they were made."""

    class Meta:
        model = OutboxEvent

    id = LazyFunction(uuid4)
    kind = EventKind.DEVICE_REGISTERED
    organisation_id = LazyFunction(uuid4)
    device_id = LazyFunction(uuid4)
    payload = LazyFunction(lambda: {"name": "Pump", "properties": {"power": 1.5}})
    actor = f"user:{UUID(int=1)}"
    correlation_id = Sequence(lambda number: f"request-{number}")
    created_at = Sequence(lambda number: FIRST_DAY + timedelta(seconds=number))
    due_at = SelfAttribute("created_at")
    attempts = 0


def build_device(**given: Any) -> Device:
    return DeviceFactory.build(**given)


def build_credential(**given: Any) -> Credential:
    return CredentialFactory.build(**given)


def build_event(**given: Any) -> OutboxEvent:
    return OutboxEventFactory.build(**given)


def build_provisioning_key(**given: Any) -> ProvisioningKey:
    return ProvisioningKeyFactory.build(**given)
