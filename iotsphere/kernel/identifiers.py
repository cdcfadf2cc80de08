"""Every id is a UUID; the names keep one kind from being handed in for another."""

from collections.abc import Callable
from typing import NewType
from uuid import UUID

OrganisationId = NewType("OrganisationId", UUID)
UserId = NewType("UserId", UUID)
DeviceId = NewType("DeviceId", UUID)
CredentialId = NewType("CredentialId", UUID)
ProvisioningKeyId = NewType("ProvisioningKeyId", UUID)
AssetId = NewType("AssetId", UUID)
SigningKeyId = NewType("SigningKeyId", UUID)
EventId = NewType("EventId", UUID)
MaintenanceEventId = NewType("MaintenanceEventId", UUID)

IdSource = Callable[[], UUID]
"""Makes a new id. ``uuid4`` when running, a counter in tests."""


def rising(new_id: IdSource, count: int) -> IdSource:
    """Make a source of so many ids, each above the one before: so lists have them that came at the same moment."""
    return iter(sorted(new_id() for _ in range(count))).__next__
