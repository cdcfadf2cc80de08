"""Who may call what, written down by hand from the contract: the code has no part in it.

An operation that the API describes and that is not in here fails the build, and so does one that is in here alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from iotsphere.kernel.actor import Role

VIEWER, ENGINEER, OPERATOR, ADMIN = Role
ANYBODY = None
PROVISIONERS_ALONE = None
EMAIL = "of a user"
REFRESH_TOKEN = "of a session"
DEVICE_ID = "of a device"
PASSWORD = "correct horse battery"


@dataclass(frozen=True)
class Access:
    """The lowest role that may (None: anybody, without a credential), whether a device may for itself, whether it
    takes the platform administrator, and whether it is for users alone and not for keys. What is for ``provisioning``
    takes a provisioning key, and nobody else's credential.

    The rest makes a request that is valid: what it sends, where something comes back, and whether it uses up the
    credential it is made with. ``{}`` in a text is replaced by something that nobody has used.
    """

    lowest: Role | None
    device: bool = False
    platform: bool = False
    users_alone: bool = False
    provisioning: bool = False
    status: int = 200
    json: Any = None
    query: Mapping[str, str] = field(default_factory=dict)
    spends_caller: bool = False

    def body(self) -> Any:
        return _filled(self.json)


def _filled(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _filled(member) for name, member in value.items()}
    return value.replace("{}", uuid4().hex) if isinstance(value, str) else value


REPORT = {"state": {"reported": {"temperature": 21.5}}}
INSPECTED = {"kind": "inspection", "occurred_at": "2024-05-17T08:00:00Z"}
FIRST_ADMIN = {"email": "{}@example.org", "password": PASSWORD}

TABLE = {
    # Identity
    "log_in": Access(ANYBODY, json={"email": EMAIL, "password": PASSWORD}),
    "refresh": Access(ANYBODY, json={"refresh_token": REFRESH_TOKEN}),
    "log_out": Access(VIEWER, users_alone=True, status=204, spends_caller=True),
    "found_organisation": Access(ADMIN, platform=True, status=201, json={"name": "Org {}", "admin": FIRST_ADMIN}),
    "list_organisations": Access(ADMIN, platform=True),
    "get_organisation": Access(VIEWER),
    "change_organisation": Access(ADMIN, json={"name": "Org {}"}),
    "add_user": Access(ADMIN, status=201, json={"email": "{}@example.org", "password": PASSWORD, "role": "viewer"}),
    "list_users": Access(ADMIN),
    "get_user": Access(ADMIN),
    "change_user": Access(ADMIN, json={"name": "Renamed"}),
    "remove_user": Access(ADMIN, status=204),
    "get_me": Access(VIEWER, device=True),
    "change_me": Access(VIEWER, users_alone=True, json={"name": "Renamed"}),
    "issue_api_key": Access(ADMIN, status=201, json={"label": "integration", "role": "viewer"}),
    "list_api_keys": Access(ADMIN),
    "get_api_key": Access(ADMIN),
    "revoke_api_key": Access(ADMIN, status=204),
    # Audit
    "list_audit_entries": Access(ADMIN),
    # Device registry
    "register_device": Access(OPERATOR, status=201, json={"serial_number": "{}", "device_type": "pump"}),
    "list_devices": Access(VIEWER),
    "import_devices": Access(OPERATOR, json={"serial_number": "{}", "device_type": "pump"}),
    "export_devices": Access(OPERATOR),
    "get_device": Access(VIEWER, device=True),
    "change_device": Access(OPERATOR, json={"name": "Renamed"}),
    "issue_credential": Access(ADMIN, status=201, json={"label": "second"}),
    "list_credentials": Access(ADMIN),
    "get_credential": Access(ADMIN),
    "rotate_credential": Access(ADMIN, status=201, json={"grace_seconds": 60}),
    "revoke_credential": Access(ADMIN, status=204),
    "issue_provisioning_key": Access(
        ADMIN, status=201, json={"device_type": "pump", "max_devices": 1, "expires_at": "2100-01-01T00:00:00Z"}
    ),
    "list_provisioning_keys": Access(ADMIN),
    "get_provisioning_key": Access(ADMIN),
    "revoke_provisioning_key": Access(ADMIN, status=204),
    "provision_device": Access(PROVISIONERS_ALONE, provisioning=True, status=201, json={"serial_number": "{}"}),
    # Assets
    "add_asset": Access(OPERATOR, status=201, json={"asset_type": "hall", "name": "Hall {}"}),
    "list_assets": Access(VIEWER),
    "import_assets": Access(OPERATOR, json={"asset_type": "hall", "name": "Hall {}"}),
    "export_assets": Access(OPERATOR),
    "list_asset_changes": Access(VIEWER),
    "aggregate_assets": Access(VIEWER, json={"measures": [{"op": "count"}]}),
    "get_asset": Access(VIEWER),
    "change_asset": Access(OPERATOR, json={"name": "Renamed"}),
    "remove_asset": Access(OPERATOR, status=204),
    "get_device_asset": Access(VIEWER, device=True),
    "list_ancestors": Access(VIEWER),
    "list_descendants": Access(VIEWER),
    "relate_assets": Access(OPERATOR, json={"properties": {"bar": 4}}),
    "get_relationship": Access(VIEWER),
    "list_relationships": Access(VIEWER),
    "unrelate_assets": Access(OPERATOR, status=204),
    # Device types
    "list_device_types": Access(VIEWER),
    "get_device_type": Access(VIEWER),
    "remove_device_type": Access(OPERATOR, status=204),
    "define_device_type": Access(OPERATOR, json={"maintenance": {"seal": {"every_hours": 8000}}}),
    # Maintenance log
    "record_maintenance_event": Access(ENGINEER, status=201, json=INSPECTED),
    "list_device_maintenance_events": Access(VIEWER),
    "get_maintenance_event": Access(VIEWER),
    "remove_maintenance_event": Access(ENGINEER, status=204),
    "list_maintenance_events": Access(VIEWER),
    "import_maintenance_events": Access(OPERATOR, json={"device_id": DEVICE_ID} | INSPECTED),
    "export_maintenance_events": Access(OPERATOR),
    # Telemetry
    "record_readings": Access(OPERATOR, device=True, status=201, json={"values": {"temperature": 21.5}}),
    "record_stream": Access(OPERATOR, status=201, json={"device_id": DEVICE_ID, "values": {"temperature": 21.5}}),
    "read_series": Access(VIEWER, device=True),
    "remove_points": Access(ADMIN),
    "query_fleet": Access(VIEWER, json={"filter": {}, "metrics": ["temperature"], "interval": "1h"}),
    "show_latest": Access(VIEWER, device=True),
    "show_ledger": Access(VIEWER, device=True),
    "list_retention_classes": Access(ADMIN, platform=True),
    "get_retention_class": Access(ADMIN, platform=True),
    "redefine_retention_class": Access(ADMIN, platform=True, json={"raw_days": None}),
    # The one that is there anyway cannot be removed.
    "remove_retention_class": Access(ADMIN, platform=True, status=409),
    # Shadows
    "get_shadow": Access(VIEWER, device=True),
    "update_shadow": Access(OPERATOR, device=True, json=REPORT),
    "delete_shadow": Access(OPERATOR),
    "list_named_shadows": Access(VIEWER, device=True),
    "list_shadow_changes": Access(VIEWER, device=True),
    "list_shadow_requests": Access(VIEWER, device=True),
    "get_named_shadow": Access(VIEWER, device=True),
    "update_named_shadow": Access(OPERATOR, device=True, json=REPORT),
    "delete_named_shadow": Access(OPERATOR),
    "list_named_shadow_changes": Access(VIEWER, device=True),
    "list_named_shadow_requests": Access(VIEWER, device=True),
    # Operation
    "show_liveness": Access(ANYBODY),
    "show_readiness": Access(ANYBODY),
}
