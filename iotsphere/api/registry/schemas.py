from dataclasses import asdict
from datetime import timedelta
from typing import Any

from dependency_injector.wiring import Provide, inject
from marshmallow import Schema, ValidationError, fields, post_load, pre_dump, validate, validates

from iotsphere.api.fields import TYPE_NAME, VISIBLE, PageQuery, Timestamp, WholeNumber, text
from iotsphere.kernel.clock import Clock
from iotsphere.registry.model import (
    MAX_LABELS,
    Device,
    DeviceFilter,
    DeviceStatus,
    IssuedCredential,
    IssuedProvisioningKey,
)

FEW = validate.Length(max=MAX_LABELS)
LONGEST_KEY = 64
MAX_DEVICES_OF_KEY = 1_000_000
MAX_GRACE_SECONDS = 30 * 24 * 60 * 60
SETTABLE = [DeviceStatus.ACTIVE.value, DeviceStatus.SUSPENDED.value]


class DeviceAssetBody(Schema):
    """What a new device is made of, for the asset database."""

    asset_type = fields.String(validate=TYPE_NAME)
    name = text(longest=256)
    properties = fields.Dict(keys=fields.String())
    capabilities = fields.List(fields.Dict(keys=fields.String()))
    parent_id = fields.UUID(metadata={"description": "The asset that it is part of."})


class RegisterDeviceBody(Schema):
    serial_number = fields.String(required=True, validate=VISIBLE)
    device_type = fields.String(required=True, validate=TYPE_NAME)
    name = text(longest=256, load_default=None)
    labels = fields.Dict(
        keys=text(longest=LONGEST_KEY), values=text(longest=256, shortest=0), load_default=dict, validate=FEW
    )
    asset = fields.Nested(DeviceAssetBody, load_default=dict)


class ChangeDeviceBody(Schema):
    name = text(longest=256)
    labels = fields.Dict(
        keys=text(longest=LONGEST_KEY), values=text(longest=256, shortest=0, allow_none=True), validate=FEW
    )
    status = fields.String(validate=validate.OneOf(SETTABLE))

    @post_load
    def _read_status(self, loaded: dict[str, Any], **_: Any) -> dict[str, Any]:
        return loaded | ({"status": DeviceStatus(loaded["status"])} if "status" in loaded else {})


class DeviceFilterQuery(Schema):
    device_type = text(longest=64, load_default=None)
    status = fields.Enum(DeviceStatus, by_value=True, load_default=None)
    label = text(longest=321, load_default=None, metadata={"description": "A label as key:value."})
    q = text(longest=128, load_default=None, metadata={"description": "Looked for within serial numbers and names."})

    @validates("label")
    def _check_label(self, value: str | None, **_: Any) -> None:
        if value is not None and not label_readings(value):
            raise ValidationError("Must be a label's key and value with a colon between them.")

    @post_load
    def _make_filter(self, loaded: dict[str, Any], **_: Any) -> dict[str, Any]:
        narrowed_to = DeviceFilter(
            device_type=loaded["device_type"],
            status=loaded["status"],
            any_label=label_readings(loaded["label"] or ""),
            q=loaded["q"],
        )
        return {"narrowed_to": narrowed_to} | {name: loaded[name] for name in ("limit", "cursor") if name in loaded}


class DeviceListQuery(DeviceFilterQuery, PageQuery):
    pass


def label_readings(label: str) -> tuple[tuple[str, str], ...]:
    """Give every label that ``key:value`` may mean: keys and values may have colons of their own."""
    ends = [end for end, character in enumerate(label[: LONGEST_KEY + 1]) if character == ":"]
    return tuple((label[:end], label[end + 1 :]) for end in ends)


class DeviceAnswer(Schema):
    id = fields.UUID()
    serial_number = fields.String()
    device_type = fields.String()
    name = fields.String()
    labels = fields.Dict(keys=fields.String(), values=fields.String())
    status = fields.Enum(DeviceStatus, by_value=True)
    connectivity = fields.Method("_connectivity", metadata={"enum": ["online", "offline", "unknown"]})
    last_seen_at = Timestamp(allow_none=True)
    created_at = Timestamp()
    updated_at = Timestamp()
    version = fields.Integer()

    @inject
    def _connectivity(self, device: Device, clock: Clock = Provide["clock"]) -> str:
        return device.connectivity(now=clock()).value


class IssueCredentialBody(Schema):
    label = text(longest=128, load_default=None)
    expires_at = Timestamp(load_default=None, allow_none=True)


class RotateCredentialBody(Schema):
    grace_seconds = WholeNumber(
        load_default=0,
        validate=validate.Range(0, MAX_GRACE_SECONDS),
        metadata={"description": "How long the old key still works."},
    )

    @post_load
    def _read_grace(self, loaded: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {"grace": timedelta(seconds=loaded["grace_seconds"])}


class CredentialAnswer(Schema):
    id = fields.UUID()
    label = fields.String(allow_none=True)
    created_at = Timestamp()
    expires_at = Timestamp(allow_none=True)


class IssuedCredentialAnswer(CredentialAnswer):
    api_key = fields.String(metadata={"description": "Shown this once."})

    @pre_dump
    def _flatten(self, issued: IssuedCredential, **_: Any) -> dict[str, Any]:
        credential = issued.credential
        return {
            "id": credential.id,
            "label": credential.label,
            "created_at": credential.created_at,
            "expires_at": credential.expires_at,
            "api_key": issued.api_key,
        }


class IssueProvisioningKeyBody(Schema):
    device_type = fields.String(required=True, validate=TYPE_NAME)
    max_devices = WholeNumber(required=True, validate=validate.Range(1, MAX_DEVICES_OF_KEY))
    expires_at = Timestamp(required=True)


class ProvisioningKeyAnswer(Schema):
    id = fields.UUID()
    device_type = fields.String()
    max_devices = fields.Integer()
    provisioned = fields.Integer(metadata={"description": "How many devices it has made."})
    expires_at = Timestamp()
    created_at = Timestamp()


class IssuedProvisioningKeyAnswer(ProvisioningKeyAnswer):
    provisioning_key = fields.String(metadata={"description": "Shown this once."})

    @pre_dump
    def _flatten(self, issued: IssuedProvisioningKey, **_: Any) -> dict[str, Any]:
        return asdict(issued.key) | {"provisioning_key": issued.text}


class ProvisionDeviceBody(Schema):
    serial_number = fields.String(required=True, validate=VISIBLE)
    name = text(longest=256, load_default=None)


class ProvisionedDeviceAnswer(Schema):
    device = fields.Nested(DeviceAnswer)
    api_key = fields.String(metadata={"description": "Shown this once."})
