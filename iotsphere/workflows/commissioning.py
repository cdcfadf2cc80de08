"""Brings a device into being in every store: the registry first, then the others from its outbox."""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, replace
from itertools import repeat
from typing import Any
from uuid import UUID

import structlog

from iotsphere.assets.errors import AssetParentUnknownError, AssetTooDeepError
from iotsphere.assets.known_types import KnownTypes
from iotsphere.assets.model import AssetDescription
from iotsphere.assets.properties_schema import PropertiesSchema
from iotsphere.assets.service import AssetService
from iotsphere.kernel.audit import Attempt
from iotsphere.kernel.errors import DomainError, RuleViolationError, UnavailableError
from iotsphere.kernel.identifiers import AssetId, DeviceId, OrganisationId, ProvisioningKeyId
from iotsphere.registry.errors import SerialNumberTakenError
from iotsphere.registry.model import Device, DeviceDraft, OutboxEvent, ProvisionedDevice
from iotsphere.registry.provisioning import ProvisioningService
from iotsphere.registry.service import DeviceRegistryService, OutboxService

log = structlog.get_logger()

DEVICE = "device"


class CommissioningWorkflow:
    """Registers devices and carries the news to the asset database.

    The shadow needs no carrying: the empty document of a registered device is version 0, and nothing is stored
    for it until somebody writes.
    """

    def __init__(
        self,
        *,
        devices: DeviceRegistryService,
        provisioning: ProvisioningService,
        outbox: OutboxService,
        assets: AssetService,
        types: KnownTypes,
    ) -> None:
        self._devices = devices
        self._provisioning = provisioning
        self._outbox = outbox
        self._assets = assets
        self._types = types

    async def register_device(
        self,
        *,
        attempt: Attempt,
        serial_number: str,
        device_type: str,
        name: str | None,
        labels: dict[str, str],
        asset: dict[str, Any],
    ) -> Device:
        """Register a device; its asset exists on return, or soon after the asset store is back.

        :raises SerialNumberTakenError: another device of the organisation has the serial number.
        :raises RuleViolationError: the description of its asset breaks a rule, or nothing can be put below what it
            is to be part of; nothing is registered.
        :raises AssetTooLargeError: likewise, over a limit.
        :raises UnavailableError: the asset store does not tell whether it has what the asset is to be part of.
        """
        # Made here, so that the asset store, which may hear of it much later, has nothing left to refuse.
        schema = await self._find_schema(attempt.organisation_id, device_type) if asset.get("properties") else None
        description = _described({"asset_type": DEVICE, "name": name or serial_number} | asset, schema)
        await self._check_parent(attempt.organisation_id, description.parent_id)
        device, event = await self._devices.register_device(
            attempt=attempt,
            serial_number=serial_number,
            device_type=device_type,
            name=name,
            labels=labels,
            asset=_payload(description),
        )
        await self._deliver(event)
        return device

    async def provision_device(
        self, *, attempt: Attempt, key_id: ProvisioningKeyId, serial_number: str, name: str | None
    ) -> ProvisionedDevice:
        """Let a device in that holds a provisioning key; its asset exists on return, or soon after.

        :raises ProvisioningKeyExpiredError: the key's time is over.
        :raises ProvisioningKeySpentError: the key has made all that it may make.
        :raises ProvisioningKeyRevokedError: the key has been revoked since it was recognised.
        :raises SerialNumberTakenError: another device of the organisation has the serial number; no use is spent.
        """
        description = _described({"asset_type": DEVICE, "name": name or serial_number})
        provisioned = await self._provisioning.provision_device(
            attempt=attempt, key_id=key_id, serial_number=serial_number, name=name, asset=_payload(description)
        )
        await self._deliver(provisioned.event)
        return provisioned

    async def register_devices(
        self, *, attempt: Attempt, drafts: Sequence[DeviceDraft]
    ) -> list[DeviceId | DomainError]:
        """Register many devices; give for each draft the device's id, or why there is none.

        What a draft says of its asset is checked as for a single device. All that are registered are so in one
        transaction, and while the registry does not answer none is.
        """
        checked = await self._check(attempt.organisation_id, drafts)
        good = [draft for draft in checked if isinstance(draft, DeviceDraft)]
        outcomes = await self._register_checked(attempt, good)
        return [draft if isinstance(draft, DomainError) else next(outcomes) for draft in checked]

    async def _check(
        self, organisation_id: OrganisationId, drafts: Sequence[DeviceDraft]
    ) -> list[DeviceDraft | DomainError]:
        types = {draft.device_type for draft in drafts if draft.asset.get("properties")}
        schemas = {name: await self._find_schema(organisation_id, name) for name in types}
        parent_ids = {draft.asset["parent_id"] for draft in drafts if draft.asset.get("parent_id")}
        refused = await self._find_refused_parents(organisation_id, parent_ids)
        checked = []
        for draft in drafts:
            made = _checked(draft, schemas.get(draft.device_type))
            refusal = refused.get(draft.asset.get("parent_id"))
            checked.append(refusal if refusal and isinstance(made, DeviceDraft) else made)
            if draft.asset.get("properties"):
                # To hold properties against a schema may take long; others get their turn.
                await asyncio.sleep(0)
        return checked

    async def _find_schema(self, organisation_id: OrganisationId, device_type: str) -> PropertiesSchema | None:
        """Give what the type says of properties: nothing, where the asset store is away and it was never known.

        A device does not wait for its description; what is said of it counts when it is next changed.
        """
        try:
            return await self._types.find_properties_schema(organisation_id=organisation_id, device_type=device_type)
        except UnavailableError:
            return None

    async def _check_parent(self, organisation_id: OrganisationId, parent_id: AssetId | None) -> None:
        """Refuse a place in the tree that is none; only who names one waits for the asset store."""
        if parent_id is None:
            return
        refused = await self._find_refused_parents(organisation_id, {parent_id})
        if refused:
            raise refused[parent_id]

    async def _find_refused_parents(
        self, organisation_id: OrganisationId, parent_ids: Collection[AssetId]
    ) -> dict[AssetId | None, DomainError]:
        if not parent_ids:
            return {}
        try:
            refused = await self._assets.find_refused_parents(organisation_id=organisation_id, parent_ids=parent_ids)
        except UnavailableError as error:
            return dict.fromkeys(parent_ids, error)
        return {parent_id: _of_asset(error) for parent_id, error in refused.items()}

    async def _register_checked(
        self, attempt: Attempt, drafts: Sequence[DeviceDraft]
    ) -> Iterator[DeviceId | DomainError]:
        if not drafts:
            return iter(())
        try:
            registered = await self._devices.register_devices(attempt=attempt, drafts=drafts)
        except UnavailableError as error:
            return repeat(error)
        await self.deliver_events(events=[event for _, event in filter(None, registered)])
        return (
            made[0].id if made else SerialNumberTakenError(draft.serial_number)
            for made, draft in zip(registered, drafts, strict=True)
        )

    async def claim_due_events(self, *, limit: int) -> list[OutboxEvent]:
        """Take what is due, oldest first, to deliver it."""
        return await self._outbox.claim_due_events(limit=limit)

    async def deliver_events(self, *, events: Sequence[OutboxEvent]) -> bool:
        """Carry claimed events, those of one actor together; give whether the asset store heard of them.

        What it has not heard of is put off. So is, by itself, what it refuses.
        """
        of_actors: dict[tuple[OrganisationId, str], list[OutboxEvent]] = {}
        for event in events:
            of_actors.setdefault((event.organisation_id, event.actor), []).append(event)
        return all([await self._deliver_together(*actor, together) for actor, together in of_actors.items()])

    async def _deliver_together(
        self, organisation_id: OrganisationId, actor: str, events: Sequence[OutboxEvent]
    ) -> bool:
        """Carry the events of devices that somebody has registered in an organisation, or put all of them off."""
        try:
            descriptions = {event.device_id: _read(event.payload) for event in events}
            await self._assets.describe_devices(
                organisation_id=organisation_id, described_by=actor, descriptions=descriptions
            )
            await self._outbox.settle_events(events=events)
        except UnavailableError as error:
            correlation_ids = sorted({event.correlation_id for event in events})
            log.warning(
                "outbox.events.postponed", count=len(events), code=error.code, correlation_ids=correlation_ids
            )
            await self._postpone(*events)
            return False
        except DomainError:
            # Which of them is refused shows when each is carried by itself.
            for event in events:
                await self._deliver(event)
        return True

    async def _deliver(self, event: OutboxEvent) -> None:
        """Carry one event, or put it off: the registry holds it until every store has heard."""
        try:
            await self._describe(event, _read(event.payload))
            await self._outbox.settle_events(events=[event])
        # A refusal is no more the end of it than an outage is: it must not keep the events behind it waiting.
        except DomainError as error:
            log.warning(
                "outbox.event.postponed",
                event_id=str(event.id),
                attempts=event.attempts + 1,
                code=error.code,
                correlation_id=event.correlation_id,
            )
            await self._postpone(event)

    async def _describe(self, event: OutboxEvent, description: AssetDescription) -> None:
        """Make the asset of a device; where it was to be part of something that is gone since, it is a root."""
        try:
            await self._assets.describe_device(
                organisation_id=event.organisation_id,
                device_id=event.device_id,
                described_by=event.actor,
                description=description,
            )
        except (AssetParentUnknownError, AssetTooDeepError) as error:
            log.warning(
                "outbox.event.without_place",
                event_id=str(event.id),
                parent_id=str(description.parent_id),
                reason=error.detail,
                correlation_id=event.correlation_id,
            )
            await self._describe(event, replace(description, parent_id=None))

    async def _postpone(self, *events: OutboxEvent) -> None:
        try:
            await self._outbox.postpone_events(events=events)
        except UnavailableError:
            # The claim on an event runs out by itself, and then it is due again.
            for event in events:
                log.warning("outbox.event.claim_left", event_id=str(event.id), correlation_id=event.correlation_id)


def _checked(draft: DeviceDraft, schema: PropertiesSchema | None) -> DeviceDraft | DomainError:
    """Give the draft with all that its asset will be, or what is wrong with that."""
    said = {"asset_type": DEVICE, "name": draft.name or draft.serial_number} | draft.asset
    try:
        description = _described(said, schema)
    except DomainError as error:
        return error
    return replace(draft, asset=_payload(description))


def _described(asset: dict[str, Any], schema: PropertiesSchema | None = None) -> AssetDescription:
    """Make the description; what is wrong with it is named by its path in the registration."""
    try:
        description = AssetDescription(**asset)
        if schema is not None:
            schema.check(description.properties)
    except RuleViolationError as error:
        raise _of_asset(error) from error
    return description


def _of_asset(error: RuleViolationError) -> RuleViolationError:
    errors = {f"asset.{path}": messages for path, messages in error.errors.items()}
    return RuleViolationError(f"asset.{error.detail}", errors)


def _payload(description: AssetDescription) -> dict[str, Any]:
    """Write a description down for the outbox."""
    payload = asdict(description)
    parent_id = payload.pop("parent_id")
    return payload if parent_id is None else payload | {"parent_id": str(parent_id)}


def _read(payload: dict[str, Any]) -> AssetDescription:
    """Read what the outbox holds of an asset."""
    parent_id = payload.get("parent_id")
    return AssetDescription(**payload | {"parent_id": None if parent_id is None else AssetId(UUID(parent_id))})
